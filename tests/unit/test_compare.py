"""What a comparison installs and how often it plays what."""

from __future__ import annotations

import pytest

from harness.local import furnish
from harness.local.compare import CONTENDERS, OFFICIAL, RECIPE, Contender, manifests, rounds, with_short_lived_channels
from stanft import faults
from stanft.conf.parse import parse as parse_conf
from stanft.ground.errors import UserError
from stanft.kube.objects import find

furnish.add_faults()


def test_a_round_is_played_as_often_on_the_others_as_on_the_chart_unless_told() -> None:
    found = rounds(["kill=30/10", "hang=2", "delete"], faults.find)
    assert [(each.fault.name, each.runs, each.others) for each in found] == [
        ("kill", 30, 10),
        ("hang", 2, 2),
        ("delete", 1, 1),
    ]


@pytest.mark.parametrize("word", ["kill=", "kill=0", "kill=x", "kill=3/", "kill=3/x", "kill=501", "kill=1/501"])
def test_a_number_of_runs_that_is_none_is_explained(word: str) -> None:
    with pytest.raises(UserError, match=r"such as kill=10 or kill=10/3, each up to 500"):
        rounds([word], faults.find)


@pytest.mark.parametrize("contender", [RECIPE, OFFICIAL], ids=lambda one: one.key)
def test_all_servers_of_a_contender_share_one_claim_that_several_nodes_can_mount(contender: Contender) -> None:
    found = manifests(contender)
    claim = find(found, "PersistentVolumeClaim")
    servers = find(found, "StatefulSet", contender.name)
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    volumes = [
        each["persistentVolumeClaim"]
        for each in servers["spec"]["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in each
    ]
    assert volumes == [{"claimName": claim["metadata"]["name"]}]
    assert not servers["spec"].get("volumeClaimTemplates")


def test_routes_lead_to_the_servers_of_the_same_namespace() -> None:
    text = find(manifests(OFFICIAL, "elsewhere"), "ConfigMap")["data"]["stan.conf"]
    assert text.count(".my-stan.elsewhere.svc:6222") == 3
    assert "default" not in text


@pytest.mark.parametrize("contender", [RECIPE, OFFICIAL], ids=lambda one: one.key)
def test_only_the_life_of_channels_is_changed_for_a_comparison(contender: Contender) -> None:
    before = parse_conf(find(manifests(contender), "ConfigMap")["data"]["stan.conf"])
    after = parse_conf(find(with_short_lived_channels(manifests(contender)), "ConfigMap")["data"]["stan.conf"])
    limits = after["streaming"].pop("store_limits")
    assert limits.pop("max_inactivity") == "60s"
    assert limits.pop("max_channels") == 1000
    assert {**before["streaming"].pop("store_limits"), "max_channels": 1000} == {**limits, "max_channels": 1000}
    assert after == before


def test_no_two_contenders_meet_in_a_namespace() -> None:
    assert len({each.namespace for each in CONTENDERS}) == len(CONTENDERS) == 3
