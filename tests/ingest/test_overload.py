"""The order in which rungs go when there is too much, and how they come back: a table of machines, and no clock."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ingest.overload import BAR_FIRST, SETTLE, Overload, Remedy, RungLoad
from ingest.processor_time import IdleMeter, own_groups

BASE = RungLoad("a", "720p", 0.5, 10, lag_ms=0, late=0, age=100, is_last_resort=False, is_lowered=False)
LOW = replace(BASE, name="360p", cores=0.2, is_last_resort=True)
FULL, IDLE = 0.05, 1.5


def late(load: RungLoad) -> RungLoad:
    return replace(load, lag_ms=350)


def judge(overload: Overload, loads, *, at: float = 0.0, idle: float | None = FULL, looks: int = 2):
    decisions = [overload.judge(at + look, loads, idle=idle, cores=2) for look in range(looks)]
    return next((decision for decision in decisions if decision is not None), None)


@pytest.mark.parametrize(
    ("loads", "expected"),
    [
        pytest.param([BASE, late(LOW)], ("a", "720p", Remedy.SHED), id="the last resort stays"),
        pytest.param([late(BASE), LOW, replace(BASE, room="b", cores=0.9)], ("b", "720p", Remedy.SHED), id="dearest"),
        pytest.param(
            [late(BASE), replace(BASE, room="b", cores=0.9, viewers=100)], ("a", "720p", Remedy.SHED), id="per viewer"
        ),
        pytest.param(
            [late(BASE), replace(BASE, name="480p", cores=0.1, viewers=0)], ("a", "480p", Remedy.SHED), id="nobody's"
        ),
        pytest.param([late(LOW)], ("a", "360p", Remedy.LOWER), id="nothing else is left"),
        pytest.param([late(replace(LOW, is_lowered=True))], None, id="nothing at all is left"),
        pytest.param([BASE, LOW], None, id="nothing lags"),
        pytest.param([replace(BASE, late=3), LOW], ("a", "720p", Remedy.SHED), id="pictures were left out"),
        pytest.param([replace(late(BASE), age=1), LOW], None, id="it has just begun"),
    ],
)
def test_the_order(loads, expected) -> None:
    decision = judge(Overload(), loads)
    assert (decision and (*decision.load.key, decision.remedy)) == expected


def test_one_large_picture_is_no_lag() -> None:
    overload = Overload()
    assert judge(overload, [late(BASE), LOW], looks=1) is None
    assert judge(overload, [BASE, LOW], at=1, looks=1) is None
    assert judge(overload, [late(BASE), LOW], at=2, looks=1) is None


def test_what_lags_on_an_idle_machine_goes_alone() -> None:
    dear = replace(BASE, name="1080p", cores=0.9)
    decision = judge(Overload(), [dear, late(BASE), LOW], idle=IDLE)
    assert decision is not None
    assert decision.load.name == "720p"
    decision = judge(Overload(), [dear, BASE, late(LOW)], idle=IDLE)
    assert decision is not None
    assert (decision.load.name, decision.remedy) == ("360p", Remedy.LOWER)


def test_one_decision_is_given_time_to_show() -> None:
    overload = Overload()
    loads = [late(BASE), replace(BASE, name="480p"), LOW]
    assert judge(overload, loads) is not None
    assert judge(overload, [loads[1], late(LOW)], at=1 + SETTLE / 2, looks=1) is None
    decision = judge(overload, [loads[1], late(LOW)], at=1 + SETTLE + 1)
    assert decision is not None
    assert decision.load.name == "480p"


def test_a_rung_that_was_shed_stays_away_longer_each_time() -> None:
    overload, at, stays = Overload(), 0.0, []
    for _ in range(7):
        assert judge(overload, [late(BASE), LOW], at=at) is not None
        begun = at = next(t for t in (at, at + 1) if overload.is_barred("a", "720p", t))
        while overload.is_barred("a", "720p", at):
            at += 1
        stays.append(at - begun)
        at += 10
    assert stays == pytest.approx([15, 30, 60, 120, 240, 300, 300], abs=1)
    assert judge(overload, [late(BASE), LOW], at=at + 1000) is not None
    assert not overload.is_barred("a", "720p", at + 1001 + BAR_FIRST)


def test_a_rung_is_begun_only_where_its_cost_is_idle() -> None:
    overload = Overload()
    assert overload.has_room("a", "720p")
    judge(overload, [BASE, LOW], idle=0.55, looks=1)
    assert not overload.has_room("a", "720p")
    assert overload.has_room("a", "360p")
    assert overload.has_room("b", "new")
    judge(overload, [BASE, LOW], idle=0.3, looks=1)
    assert not overload.has_room("b", "new")
    assert overload.cost("a", "720p") == 0.5
    overload.rest()
    assert overload.has_room("a", "720p")


def test_a_lowered_rung_is_raised_when_there_is_room_and_not_at_once() -> None:
    overload = Overload()
    assert judge(overload, [late(LOW)]) is not None
    lowered = replace(LOW, is_lowered=True, cores=0.1)
    assert judge(overload, [lowered], at=5, idle=IDLE) is None
    assert judge(overload, [lowered], at=1 + BAR_FIRST + 1, idle=0.05) is None
    decision = judge(overload, [lowered], at=40, idle=IDLE, looks=1)
    assert decision is not None
    assert decision.remedy is Remedy.RAISE


def test_a_stream_that_is_over_is_forgotten() -> None:
    overload = Overload()
    judge(overload, [late(BASE), LOW])
    overload.forget("a")
    assert overload.barred("a", 0) == ()
    assert overload.cost("a", "720p") is None


def test_idle_processors_are_read_from_the_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stat = tmp_path / "stat"
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 2})
    stat.write_text("cpu 0 0 0 900 0\ncpu0 10 0 5 300 10 0\ncpu1 0 0 0 300 0\ncpu2 1 1 1 100 0\nctxt 5\n")
    meter = IdleMeter(stat, ())
    assert meter.cores == 2
    assert meter.read(10.0) is None
    stat.write_text("cpu 0 0 0 900 0\ncpu0 10 0 5 350 10 0\ncpu1 0 0 0 999 0\ncpu2 1 1 1 150 50\nctxt 5\n")
    assert meter.read(11.0) == pytest.approx(1.5)
    meter.forget()
    assert meter.read(12.0) is None
    assert IdleMeter(tmp_path / "none").read(1.0) is None
    assert 0 <= (IdleMeter().read(1.0) or 0) <= 64


def test_in_a_container_the_quota_counts_and_what_was_used_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2, 3})
    own, stat, above = tmp_path / "own", tmp_path / "stat", tmp_path / "groups" / "pod"
    own.write_text("1:cpu:/old\n0::/pod/node\n")
    (above / "node").mkdir(parents=True)
    (above / "node" / "cpu.max").write_text("max 100000\n")
    (above / "cpu.max").write_text("150000 100000\n")
    groups = own_groups(own, tmp_path / "groups")
    assert groups == (above / "node", above, tmp_path / "groups")
    meter = IdleMeter(stat, groups)
    assert meter.cores == 1.5

    def spend(used_us: int, idle: int) -> None:
        (above / "cpu.stat").write_text(f"usage_usec {used_us}\nuser_usec 5\n")
        stat.write_text("".join(f"cpu{number} 0 0 0 {idle} 0\n" for number in range(4)))

    spend(1_000_000, 0)
    assert meter.read(10.0) is None
    spend(2_400_000, 80)
    assert meter.read(11.0) == pytest.approx(0.1), "others leave four processors idle, which are not ours"
    spend(2_500_000, 90)
    assert meter.read(12.0) == pytest.approx(0.4), "others use them, and the quota is no promise"
    (above / "cpu.max").write_text("max 100000\n")
    assert meter.cores == 4
    assert meter.read(13.0) is None


@pytest.mark.parametrize("text", ["", "1:cpu:/old\n", "0::/../other\n"])
def test_without_a_cgroup_of_its_own_the_root_is_asked(tmp_path: Path, text: str) -> None:
    (tmp_path / "own").write_text(text)
    assert own_groups(tmp_path / "own", tmp_path) == (tmp_path,)
    assert own_groups(tmp_path / "none", tmp_path) == (tmp_path,)
