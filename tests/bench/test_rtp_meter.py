"""Receiver statistics from headers alone."""

from __future__ import annotations

import pytest

from bench.rtp_meter import RtpMeter
from wire.rtp.rtcp import SenderReport


def meter(sequences: list[int]) -> RtpMeter:
    made = RtpMeter(1, 108, 90_000, sequences[0])
    for sequence in sequences:
        made.take(sequence)
    return made


@pytest.mark.parametrize(
    ("sequences", "expected", "missing", "highest"),
    [
        ([5, 6, 7], 3, 0, 7),
        ([5, 7, 9], 5, 2, 9),
        ([5, 7, 6], 3, 0, 7),
        ([65_534, 65_535, 0, 2], 5, 1, 65_538),
        ([5, 5, 6], 2, 0, 6),
    ],
)
def test_loss_is_what_the_numbers_say(sequences: list[int], expected: int, missing: int, highest: int) -> None:
    made = meter(sequences)
    assert (made.expected, made.missing, made.highest) == (expected, missing, highest)


def test_measuring_starts_anew_while_the_reports_go_on() -> None:
    made = meter([1, 3])
    made.measure_from_here()
    made.take(4)
    assert (made.expected, made.missing) == (1, 0)
    assert made.block(0.0).packets_lost == 1


def test_each_report_covers_its_own_interval() -> None:
    made = meter([1, 2, 4])
    assert (made.block(0.0).fraction_lost, made.block(0.0).fraction_lost) == (64, 0)
    made.take(6)
    block = made.block(0.0)
    assert (block.fraction_lost, block.packets_lost, block.highest_sequence) == (128, 2, 6)


def test_jitter_follows_arrivals_and_ignores_packets_of_one_picture() -> None:
    steady, shaky = meter([1]), meter([1])
    for k in range(200):
        for _ in range(3):
            steady.arrived(3000 * k, k / 30)
        shaky.arrived(3000 * k, k / 30 + (0.01 if k % 2 else 0.0))
    assert steady.block(0.0).jitter == 0
    assert shaky.block(0.0).jitter == pytest.approx(900, rel=0.05)


def test_the_last_sender_report_comes_back_with_its_age() -> None:
    made = meter([1])
    assert (made.block(5.0).last_sr, made.block(5.0).delay_since_sr) == (0, 0)
    made.sender_reported(SenderReport(1, 0x1111222233334444, 0, 0, 0), 5.0)
    block = made.block(5.5)
    assert (block.last_sr, block.delay_since_sr) == (0x22223333, 32_768)
