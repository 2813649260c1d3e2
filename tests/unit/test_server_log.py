"""A server's log as the API server gives it: asked for since the run began, in this machine's monotonic seconds."""

from __future__ import annotations

import datetime
import time
from types import SimpleNamespace
from typing import Any

import pytest
from standins import played_group

from stanft.drill import server_log

AGO = 60.0  # seconds since the run began


def pod(*containers: str) -> Any:
    """A pod with these containers."""
    return SimpleNamespace(
        metadata=SimpleNamespace(name="stan-0"),
        spec=SimpleNamespace(containers=[SimpleNamespace(name=each, ports=[], image="") for each in containers]),
    )


class Api:
    """Gives a text as the log, or raises; keeps what was asked."""

    def __init__(self, answer: str | Exception) -> None:
        self.answer = answer
        self.asked: dict[str, Any] = {}

    def read_namespaced_pod_log(self, name: str, namespace: str, **options: Any) -> str:
        """The log."""
        self.asked = {"name": name, "namespace": namespace, **options}
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def line(seconds_ago: float, words: str, zone: int = 0) -> str:
    """A line that a kubelet in a zone of so many hours stamped so many seconds ago."""
    at = datetime.datetime.fromtimestamp(time.time() - seconds_ago, datetime.timezone(datetime.timedelta(hours=zone)))
    return f"{at.isoformat(timespec='microseconds')} {words}\n".replace("+00:00", "Z")


def read(
    api: Api, *, previous: bool = False, seconds: float = AGO, set_by: float = 0.0
) -> list[tuple[float, str]] | None:
    """The log since the run began, so many seconds ago; this machine's clock was set by so many since then."""
    group = played_group(api, "messaging", [], "")
    was = server_log.clock() - set_by
    return server_log.read(group, pod("metrics", "stan"), time.monotonic() - seconds, was, previous=previous)


@pytest.mark.parametrize("zone", [0, 9, -5])
def test_lines_since_the_run_began_are_told_in_monotonic_seconds_whatever_the_nodes_zone(zone: int) -> None:
    found = read(Api(line(30, "first", zone) + line(10, "second", zone)))
    assert found is not None
    assert [words for _, words in found] == ["first", "second"]
    assert [round(time.monotonic() - at) for at, _ in found] == [30, 10]


def test_the_log_is_asked_for_of_the_server_with_stamps_for_a_little_longer_than_the_run() -> None:
    api = Api("")
    read(api, previous=True)
    assert (api.asked["name"], api.asked["namespace"], api.asked["container"]) == ("stan-0", "messaging", "stan")
    assert (api.asked["timestamps"], api.asked["previous"]) == (True, True)
    assert AGO < api.asked["since_seconds"] <= AGO + 1
    assert 1 <= api.asked["_request_timeout"] <= 10, "an API server that hangs must not hold the drill"
    read(api)
    assert api.asked["previous"] is False


@pytest.mark.parametrize("ago", [3630.0, -3570.0], ids=["behind", "ahead"])
def test_what_a_server_says_on_a_node_whose_clock_is_an_hour_wrong_is_heard(ago: float) -> None:
    found = read(Api(line(ago, "claims to be active")))
    assert found is not None
    assert len(server_log.two_actives(found)) == 1


@pytest.mark.parametrize(("set_by", "more"), [(3600.0, 3600.0), (-3600.0, 0.0)])
def test_a_clock_that_is_set_during_the_run_hides_no_line(set_by: float, more: float) -> None:
    api = Api("")
    read(api, set_by=set_by)
    assert AGO + more < api.asked["since_seconds"] <= AGO + more + 1


def test_a_run_that_has_only_begun_still_asks_for_some_seconds() -> None:
    api = Api("")
    read(api, seconds=-5.0)
    assert api.asked["since_seconds"] == 1, "the API refuses less"


def test_a_silent_server_has_an_empty_log_and_one_that_cannot_be_read_is_not_known() -> None:
    assert read(Api("")) == []
    assert read(Api(" \n")) == []
    assert read(Api(OSError("no route"))) is None
    assert read(Api("unable to retrieve container logs for containerd://1\n")) is None, "no line has a stamp"


def test_a_stamp_is_taken_to_its_fraction_and_by_the_offset_of_the_clocks() -> None:
    assert server_log.parse("1970-01-01T00:01:40.250Z a\n1970-01-01T00:01:40Z b\n", 60.0) == [(40.25, "a"), (40.0, "b")]
