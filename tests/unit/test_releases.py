"""Releases through the real pyhelm3 and a helm that keeps its releases in files: done once, told when refused."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from standins import Programs

from harness.charts import releases
from harness.ground import toolchain
from stanft.ground.errors import UserError

# What it does not know (its version) is asked of the real one.
HELM = """
release="$PLAY/$2"
case "$1" in
status|history)
  [ -e "$release-description" ] || { echo "Error: release: not found" >&2; exit 1; }
  info='"status": "'$(cat "$release-state")'", "description": "'$(cat "$release-description")'"'
  whole='"name": "'$2'", "namespace": "default", "version": 1, "manifest": "", "info": {'$info
  [ "$1" = history ] && echo "[{$info}]" || echo "{$whole, \\"last_deployed\\": \\"2026-01-01T00:00:00Z\\"}}" ;;
upgrade)
  [ ! -e "$PLAY/refusal" ] || { cat "$PLAY/refusal" >&2; exit 1; }
  cat >"$release-values"
  name=$2
  while [ "$1" != --description ]; do shift; done
  echo "$2" >"$release-description"; echo deployed >"$release-state"
  exec "$0" status "$name" ;;
uninstall)
  [ -e "$release-state" ] || { echo "Error: uninstall: Release not loaded: release: not found" >&2; exit 1; }
  rm "$release"-* ;;
show) cat "$3/Chart.yaml" ;;
*) exec REAL "$@" ;;
esac
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    """A cluster without releases."""
    real = shlex.quote(str(toolchain.ensure("helm")))
    made = Programs(tmp_path, monkeypatch)
    made.tools(helm=HELM.replace("REAL", real))
    (tmp_path / "releases").mkdir()
    monkeypatch.setenv("PLAY", str(tmp_path / "releases"))
    return made


def ensure(**values: object) -> bool:
    return releases.ensure("stan", "stan-ft", values, kubeconfig=Path("/k"))


def test_a_release_is_installed_once_and_upgraded_when_its_values_change(programs: Programs, tmp_path: Path) -> None:
    assert [ensure(replicas=3), ensure(replicas=3), ensure(replicas=5)] == [True, False, True]
    assert len(programs.asked("helm upgrade stan")) == 2
    assert json.loads((tmp_path / "releases" / "stan-values").read_text()) == {"replicas": 5}


def test_the_order_in_which_values_are_written_makes_no_difference(programs: Programs) -> None:
    assert ensure(a={"x": 1, "y": [{"p": 1, "q": 2}]}, b=2)
    assert not ensure(b=2, a={"y": [{"q": 2, "p": 1}], "x": 1})


def test_a_release_that_somebody_else_changed_is_made_right_again(programs: Programs, tmp_path: Path) -> None:
    ensure(replicas=3)
    (tmp_path / "releases" / "stan-description").write_text("Upgrade complete")
    assert ensure(replicas=3)


def test_an_install_that_was_interrupted_is_removed_and_made_again(programs: Programs, tmp_path: Path) -> None:
    ensure(replicas=3)
    (tmp_path / "releases" / "stan-state").write_text("pending-install")
    assert ensure(replicas=3)
    told = [line.split()[1] for line in programs.asked("helm") if line.split()[1] in ("upgrade", "uninstall")]
    assert told == ["upgrade", "uninstall", "upgrade"]


def test_a_refusal_is_told_in_the_words_of_helm(programs: Programs, tmp_path: Path) -> None:
    (tmp_path / "releases" / "refusal").write_text('Error: UPGRADE FAILED: services "stan" is forbidden\n')
    with pytest.raises(UserError, match='could not install stan-ft as stan:\nError: UPGRADE FAILED: services "stan"'):
        ensure()


def test_a_release_is_taken_away_and_nothing_is_said_where_there_is_none(programs: Programs, tmp_path: Path) -> None:
    ensure()
    for _ in range(2):
        releases.uninstall("stan", kubeconfig=Path("/k"))
    assert not list((tmp_path / "releases").glob("stan-*"))
    assert all("--wait" in line for line in programs.asked("helm uninstall"))
