"""What scripts/bench presets compares, and how it computes."""

from __future__ import annotations

import pytest

from harness.cli import bench_presets
from harness.dev import presets
from harness.dev.presets import Measured
from stanft.ground.errors import UserError


def test_a_bare_server_has_the_chart_s_store_options_and_no_fault_tolerance() -> None:
    found = bench_presets.configurations()
    for preset in presets.PRESETS:
        chart, bare = found[f"chart, {preset}"], found[f"bare, {preset}"]
        assert all(presets.block(chart, name) == presets.block(bare, name) for name in ("file_options", "store_limits"))
        assert "ft_group_name" in chart
        assert not any(word in bare for word in ("ft_group_name", "cluster {", "routes"))


def test_the_presets_differ_in_what_reaches_the_volume() -> None:
    found = bench_presets.configurations()
    assert "sync_on_flush: true" in found["bare, durable"]
    assert "sync_on_flush: false" in found["bare, throughput"]
    assert "sync_on_flush: false" in found[bench_presets.BESIDE_RECIPE]


def test_a_block_ends_with_its_own_brace() -> None:
    assert presets.block("a {\n b { c: 1 }\n d: 2\n}\ne: 3", "a") == "a {\n b { c: 1 }\n d: 2\n}"


def test_a_configuration_without_the_block_is_refused_by_its_name() -> None:
    with pytest.raises(UserError, match="file_options"):
        presets.bare("streaming { id: x }")


def test_the_rate_is_what_stan_bench_says() -> None:
    assert presets.rate("Pub stats: 65,912 msgs/sec ~ 32.18 MB/sec") == 65912


def test_a_bench_that_says_no_rate_is_an_error_with_its_words() -> None:
    with pytest.raises(UserError, match="no servers available"):
        presets.rate("Can't connect: nats: no servers available")


def test_every_server_takes_every_place_in_the_rounds() -> None:
    names = ["a", "b", "c", "d", "e"]
    rounds = [presets.order(names, turn) for turn in range(10)]
    assert all(sorted(each) == names for each in rounds)
    assert all({each[place] for each in rounds} == set(names) for place in range(5))


def test_fewer_acknowledgements_and_longer_waits_are_an_overhead() -> None:
    assert presets.overheads([90.0], [100.0], more_is_better=True) == pytest.approx([10.0])
    assert presets.overheads([0.011], [0.010], more_is_better=False) == pytest.approx([10.0])
    assert presets.overheads([110.0], [100.0], more_is_better=True) == pytest.approx([-10.0])


def test_rounds_are_compared_with_their_own_neighbours() -> None:
    # The machine becomes twice as fast half-way: each pair shares that, so the overhead stays 4 %.
    ours = Measured([96, 96, 192, 192], [[0.0104], [0.0104], [0.0052], [0.0052]])
    other = Measured([100, 100, 200, 200], [[0.010], [0.010], [0.005], [0.005]])
    found = presets.compared(ours, other)
    for cost in found.values():
        assert (cost.low, cost.median, cost.high) == pytest.approx((4.0, 4.0, 4.0))
        assert cost.met


def test_one_odd_round_does_not_break_the_goal_but_most_rounds_do() -> None:
    assert presets.overhead([1.0, 2.0, 80.0]).met
    assert not presets.overhead([1.0, 8.0, 9.0]).met


def test_one_round_is_too_few_to_tell() -> None:
    with pytest.raises(ValueError, match="two rounds"):
        presets.overhead([1.0])


def test_a_row_counts_every_acknowledgement() -> None:
    found = presets.row(Measured([10, 30, 20], [[0.001] * 99, [0.001] * 99, [0.009] * 4]))
    assert (found["rate"], found["rate_lowest"], found["rate_highest"]) == (20, 10, 30)
    assert found["acknowledgements"] == 202
    assert (found["latency_median_ms"], found["latency_p99_ms"]) == pytest.approx((1.0, 9.0))


def test_the_table_has_a_line_for_each_server() -> None:
    text = presets.table({"chart, durable": presets.row(Measured([1000], [[0.0025]]))})
    assert text.splitlines()[1].split() == ["chart,", "durable", "1,000", "1,000", "1,000", "2.50", "2.50", "1"]
