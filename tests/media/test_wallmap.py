from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from media.ticks import TICKS_PER_SECOND as SECOND
from media.wallmap import WallMap

START = 1_700_000_000.0


def test_a_steady_stream_maps_back_to_itself() -> None:
    wall_map = WallMap()
    for i in range(300):
        wall_map.observe(i * 3000, START + i / 30)
    assert abs(wall_map.to_media(START + 5) - 5 * SECOND) <= 90


def test_jitter_is_ignored_because_the_smallest_delay_counts() -> None:
    wall_map, dice = WallMap(), random.Random(7)
    for i in range(1800):
        wall_map.observe(i * 3000, START + i / 30 + dice.random() * 0.2)
    assert abs(wall_map.to_media(START + 59) - 59 * SECOND) < 0.02 * SECOND


def test_drift_of_500_ppm_is_followed() -> None:
    wall_map = WallMap()
    for i in range(30 * 600):
        wall_map.observe(i * 3000, START + i / 30 * 1.0005)
    assert abs(wall_map.to_media(START + 600 * 1.0005) - 600 * SECOND) < 0.05 * SECOND


def test_a_correction_is_slewed_by_at_most_a_millisecond_a_second() -> None:
    wall_map = WallMap()
    for i in range(300):
        wall_map.observe(i * 3000, START + i / 30 + 0.1)
    before = wall_map.to_media(START + 10)
    wall_map.observe(300 * 3000, START + 10)
    after = wall_map.to_media(START + 10)
    assert 0 <= after - before <= 0.001 * SECOND


def test_an_instant_inside_an_outage_is_the_seam() -> None:
    wall_map = WallMap()
    for i in range(300):
        wall_map.observe(i * 3000, START + i / 30)
    wall_map.close()
    assert wall_map.to_media(START + 15) == 299 * 3000
    for i in range(300, 600):
        wall_map.observe(i * 3000, START + 20 + i / 30)
    assert wall_map.to_media(START + 15) == 300 * 3000
    assert abs(wall_map.to_media(START + 35) - 15 * SECOND) <= 90
    assert abs(wall_map.to_media(START + 5) - 5 * SECOND) <= 90


def test_before_anything_arrived_it_is_the_beginning() -> None:
    assert WallMap().to_media(START) == 0


@given(st.lists(st.tuples(st.floats(0, 5), st.booleans()), min_size=1, max_size=60))
def test_media_time_never_runs_backwards_with_the_wall(script: list[tuple[float, bool]]) -> None:
    wall_map, wall, t = WallMap(), START, 0
    for gap, closes in script:
        wall += gap + 1 / 30
        t += 3000
        if closes:
            wall_map.close()
        wall_map.observe(t, wall)
    instants = [START + i * (wall - START + 10) / 50 for i in range(50)]
    values = [wall_map.to_media(w) for w in instants]
    assert values == sorted(values)
