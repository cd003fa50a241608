import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.codecs.opus import OpusConfig, packet_samples
from wire.errors import Malformed, Truncated, Unsupported, WireError

SURROUND = bytes([1, 4, 2, 0, 4, 1, 2, 3, 5])


@pytest.mark.parametrize(
    "config",
    [OpusConfig(2), OpusConfig(1, 3840, 16000, -256), OpusConfig(6, 312, 48000, 0, SURROUND)],
)
def test_heads_come_back(config: OpusConfig) -> None:
    assert OpusConfig.from_head(config.to_head()) == config
    assert OpusConfig.from_head(config.to_head() + b"more") == config


def test_the_head_of_rfc_7845() -> None:
    assert OpusConfig(2, 312, 48000).to_head().hex() == "4f707573486561640102380180bb0000000000"


@pytest.mark.parametrize(
    ("change", "error"),
    [((0, 0x6F), Malformed), ((8, 0x10), Unsupported), ((9, 0), Malformed), ((9, 3), Malformed), ((18, 1), Truncated)],
)
def test_bad_heads(change: tuple[int, int], error: type[WireError]) -> None:
    head = bytearray(OpusConfig(2).to_head())
    head[change[0]] = change[1]
    with pytest.raises(error):
        OpusConfig.from_head(bytes(head))


def test_every_cut_of_a_head_is_truncated() -> None:
    head = OpusConfig(6, mapping=SURROUND).to_head()
    for size in range(len(head)):
        with pytest.raises(Truncated):
            OpusConfig.from_head(head[:size])


@pytest.mark.parametrize(
    ("configuration", "samples"),
    [(0, 480), (1, 960), (2, 1920), (3, 2880), (11, 2880), (12, 480), (15, 960), (16, 120), (19, 960), (31, 960)],
)
def test_frame_sizes_of_table_2(configuration: int, samples: int) -> None:
    toc = configuration << 3
    assert packet_samples(bytes([toc])) == samples
    assert packet_samples(bytes([toc | 4 | 1])) == 2 * samples
    assert packet_samples(bytes([toc | 2])) == 2 * samples
    assert packet_samples(bytes([toc | 3, 0x80 | 1])) == samples


@pytest.mark.parametrize(
    ("packet", "error"), [(b"", Truncated), (b"\x03", Truncated), (b"\x03\x00", Malformed), (b"\x1b\x03", Malformed)]
)
def test_bad_packets(packet: bytes, error: type[WireError]) -> None:
    with pytest.raises(error):
        packet_samples(packet)


@given(st.binary(max_size=40))
def test_anything_parses_or_raises_wire_error(data: bytes) -> None:
    steps = (
        lambda: OpusConfig.from_head(data),
        lambda: OpusConfig.from_head(b"OpusHead" + data),
        lambda: packet_samples(data),
    )
    for step in steps:
        with contextlib.suppress(WireError):
            step()
