"""What is made of the pictures that a viewer got."""

from __future__ import annotations

import pytest

from bench.picture_log import Picture, PictureFigures, judge

INTERVAL = 1 / 30


def pictures(numbers: list[int], *, gop: int = 10, hidden: frozenset[int] = frozenset()) -> list[Picture]:
    return [
        Picture(n * INTERVAL + 0.005, n * 3000, n % gop == 0, n not in hidden, round(n * INTERVAL * 1e9))
        for n in numbers
    ]


def test_a_clean_run_has_nothing_to_say() -> None:
    figures = judge(pictures(list(range(30))), 0.0, 1.0)
    assert (figures.pictures, figures.shown, figures.gops) == (30, 30, 3)
    assert (figures.damaged_gops, figures.holes, figures.backward, figures.freezes) == (0, 0, 0, 0)
    assert figures.latency == pytest.approx([0.005] * 30)
    assert max(figures.timestamp_error) < 1e-6


def test_missing_pictures_are_a_hole_and_damage_their_gop() -> None:
    figures = judge(pictures([n for n in range(30) if n not in (14, 15)]), 0.0, 1.0)
    assert (figures.holes, figures.damaged_gops, figures.freezes) == (1, 1, 0)


def test_a_gop_that_lost_its_end_is_the_damaged_one() -> None:
    figures = judge(pictures([n for n in range(20) if n != 9]), 0.0, 0.7)
    assert (figures.gops, figures.damaged_gops) == (2, 1)


def test_pictures_that_cannot_be_decoded_freeze_the_viewer() -> None:
    hidden = frozenset(range(12, 20))
    figures = judge(pictures(list(range(30)), hidden=hidden), 0.0, 1.0)
    assert (figures.shown, figures.damaged_gops, figures.freezes, figures.holes) == (22, 1, 1, 0)
    assert figures.frozen == pytest.approx(9 * INTERVAL)


@pytest.mark.parametrize(("begun", "ended", "freezes"), [(-1.0, 1.0, 1), (0.0, 2.0, 1), (-1.0, 2.0, 2)])
def test_waits_at_both_ends_count(begun: float, ended: float, freezes: int) -> None:
    assert judge(pictures(list(range(30))), begun, ended).freezes == freezes


def test_no_picture_at_all_is_one_long_freeze() -> None:
    figures = judge([], 0.0, 5.0)
    assert (figures.freezes, figures.frozen, figures.pictures) == (1, 5.0, 0)


def test_time_that_goes_back_or_drifts_is_told() -> None:
    played = pictures([0, 1, 2, 1, 2, 3])
    assert judge(played, 0.0, 0.2).backward == 1
    drifting = [p._replace(rtp_time=round(p.rtp_time * 1.1)) for p in pictures(list(range(31)))]
    assert max(judge(drifting, 0.0, 1.0).timestamp_error) == pytest.approx(0.05, rel=0.02)


def test_viewers_add_up() -> None:
    total = PictureFigures()
    for _ in range(2):
        total.add(judge(pictures(list(range(10))), 0.0, 0.3))
    assert (total.pictures, total.gops, len(total.latency)) == (20, 2, 20)
