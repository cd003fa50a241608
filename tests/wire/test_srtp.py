"""SRTP against RFC 7714's vectors, libsrtp, wraps, replays and changed bytes."""

import pylibsrtp
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from tests.support.mutations import parses_or_raises_wire_error
from wire.dtls import SrtpKeys, SrtpProfile
from wire.errors import LimitExceeded, Truncated, Unsupported, WireError
from wire.rtp.history import DEFAULT_CAPACITY
from wire.rtp.packet import RtpPacket
from wire.srtp import (
    MAX_INDEX,
    MAX_SOURCES,
    REPLAY_WINDOW,
    GcmReceiver,
    GcmSender,
    Replayed,
    SrtpReceiver,
    SrtpSender,
    Unauthentic,
    _derive,
    make_receiver,
    make_sender,
)

KEY, SALT = bytes(range(16)), bytes(range(100, 112))
RTCP = bytes.fromhex("80c90001") + b"SSRC" + b"body of the report"

# RFC 7714, 16 and 17: session keys, given directly
RFC_KEY = bytes.fromhex("000102030405060708090a0b0c0d0e0f")
RFC_SALT = int.from_bytes(b"Quid pro quo", "big")
RFC_RTP = bytes.fromhex("8040f17b8041f8d35501a0b2") + b"Gallia est omnis divisa in partes tres"
RFC_SRTP = bytes.fromhex(
    "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833"
    "899d7f27beb16a9152cf765ee4390cce"
)
RFC_RTCP = bytes.fromhex(
    "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef"
)
RFC_SRTCP = bytes.fromhex(
    "81c8000d4d61727363e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275b"
    "c84aa45896cf4d2fc5abf87245d9eade800005d4"
)


def packet(index: int, ssrc: int = 0x1234, payload: bytes = b"payload") -> bytes:
    return RtpPacket(96, index & 0xFFFF, 90 * index & 0xFFFFFFFF, ssrc, payload).to_bytes()


def report(ssrc: int) -> bytes:
    return RTCP[:4] + ssrc.to_bytes(4, "big") + RTCP[8:]


def keys(profile: SrtpProfile) -> SrtpKeys:
    salt = bytes(range(50, 50 + profile.salt_size))
    return SrtpKeys(profile, KEY, salt, KEY, salt)


@pytest.fixture(params=list(SrtpProfile))
def both(request: pytest.FixtureRequest) -> tuple[SrtpSender, SrtpReceiver]:
    return make_sender(keys(request.param)), make_receiver(keys(request.param))


def gcm() -> tuple[GcmSender, GcmReceiver]:
    return GcmSender(KEY, SALT), GcmReceiver(KEY, SALT)


def rfc_pair() -> tuple[GcmSender, GcmReceiver]:
    """With the session keys of RFC 7714, which leaves the derivation out."""
    sender, receiver = gcm()
    sender.aead = sender._rtcp_aead = receiver._aead = receiver._rtcp_aead = AESGCM(RFC_KEY)
    sender.salt = sender._rtcp_salt = receiver._salt = receiver.rtcp_salt = RFC_SALT
    return sender, receiver


def test_the_rtp_vectors_of_rfc_7714() -> None:
    sender, receiver = rfc_pair()
    assert sender.protect(RFC_RTP, 0xF17B) == RFC_SRTP
    assert receiver.unprotect(RFC_SRTP) == RFC_RTP


def test_the_rtcp_vectors_of_rfc_7714() -> None:
    sender, receiver = rfc_pair()
    sender._rtcp_index = 0x5D3
    assert sender.protect_rtcp(RFC_RTCP) == RFC_SRTCP
    assert receiver.unprotect_rtcp(RFC_SRTCP) == RFC_RTCP


def test_the_key_derivation_of_rfc_3711_b_3() -> None:
    master_key = bytes.fromhex("e1f97a0d3e018be0d64fa32c06de4139")
    master_salt = bytes.fromhex("0ec675ad498afeebb6960b3aabe6")
    assert _derive(master_key, master_salt, 0, 16).hex() == "c61e7a93744f39ee10734afe3ff7a087"
    assert _derive(master_key, master_salt, 2, 14).hex() == "30cbbc08863d8c85d49db34a9ae1"


def test_libsrtp_opens_what_we_close_and_the_other_way_round() -> None:
    def session(way: int) -> pylibsrtp.Session:
        profile = pylibsrtp.Policy.SRTP_PROFILE_AEAD_AES_128_GCM
        return pylibsrtp.Session(pylibsrtp.Policy(key=KEY + SALT, ssrc_type=way, srtp_profile=profile))

    theirs_in = session(pylibsrtp.Policy.SSRC_ANY_INBOUND)
    theirs_out = session(pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
    sender, receiver = gcm()
    for index in (1, 2, 40_000, 65_535, 65_536, 65_537):
        assert theirs_in.unprotect(sender.protect(packet(index), index)) == packet(index)
        assert receiver.unprotect(theirs_out.protect(packet(index))) == packet(index)
    assert theirs_in.unprotect_rtcp(sender.protect_rtcp(RTCP)) == RTCP
    assert receiver.unprotect_rtcp(theirs_out.protect_rtcp(RTCP)) == RTCP


def test_both_profiles_carry_rtp_and_rtcp(both: tuple[SrtpSender, SrtpReceiver]) -> None:
    sender, receiver = both
    for index in range(1, 20):
        sealed = sender.protect(packet(index), index)
        assert sealed[:12] == packet(index)[:12]
        assert b"payload" not in sealed
        assert receiver.unprotect(sealed) == packet(index)
        assert receiver.unprotect_rtcp(sender.protect_rtcp(RTCP)) == RTCP


def test_the_roll_over_counter_follows_a_long_stream(both: tuple[SrtpSender, SrtpReceiver]) -> None:
    sender, receiver = both
    for index in range(1, 3 * 65_536, 997):
        assert receiver.unprotect(sender.protect(packet(index), index)) == packet(index)


def test_an_index_far_into_a_stream_decrypts_for_a_receiver_that_was_there() -> None:
    sender, receiver = gcm()
    receiver.unprotect(sender.protect(packet(65_530), 65_530))
    for index in (65_540, 65_535, 65_536, 65_529):
        assert receiver.unprotect(sender.protect(packet(index), index)) == packet(index)


def test_each_viewer_counts_from_its_own_base_so_a_late_joiner_decrypts() -> None:
    shared = 200_000  # the rendition has wrapped three times before this viewer comes
    base = shared - 1
    sender, receiver = gcm()
    for offset in range(3):
        index = shared + offset - base
        assert receiver.unprotect(sender.protect(packet(index), index)) == packet(index)
    with pytest.raises(Unauthentic):
        gcm()[1].unprotect(sender.protect(packet(shared), shared))


def test_a_stream_whose_first_packets_before_a_wrap_were_lost_is_opened() -> None:
    sender, receiver = gcm()
    for index in (65_536, 65_537):
        assert receiver.unprotect(sender.protect(packet(index), index)) == packet(index)


def test_protect_into_writes_what_protect_returns() -> None:
    sender, _ = gcm()
    out = bytearray(200)
    whole = packet(70_000)
    written = sender.protect_into(whole[:12], whole[12:], 70_000, memoryview(out)[10:])
    assert out[10 : 10 + written] == sender.protect(whole, 70_000)


def test_a_replay_is_refused(both: tuple[SrtpSender, SrtpReceiver]) -> None:
    sender, receiver = both
    sealed = [sender.protect(packet(index), index) for index in range(1, 30)]
    for datagram in sealed:
        receiver.unprotect(datagram)
    for datagram in sealed:
        with pytest.raises(Replayed):
            receiver.unprotect(datagram)
    report = sender.protect_rtcp(RTCP)
    receiver.unprotect_rtcp(report)
    with pytest.raises(Replayed):
        receiver.unprotect_rtcp(report)


def test_what_is_older_than_the_window_is_refused(both: tuple[SrtpSender, SrtpReceiver]) -> None:
    sender, receiver = both
    sealed = {index: sender.protect(packet(index), index) for index in (1, 2, REPLAY_WINDOW + 1)}
    receiver.unprotect(sealed[1])
    receiver.unprotect(sealed[REPLAY_WINDOW + 1])
    assert receiver.unprotect(sealed[2]) == packet(2)
    with pytest.raises(Replayed):
        receiver.unprotect(sealed[1])


def test_a_packet_as_old_as_the_history_is_sent_again_the_same(both: tuple[SrtpSender, SrtpReceiver]) -> None:
    sender, _ = both
    sealed = [sender.protect(packet(index), index) for index in range(1, DEFAULT_CAPACITY + 1)]
    assert sender.protect(packet(1), 1) == sealed[0]


def test_a_changed_byte_anywhere_is_refused(both: tuple[SrtpSender, SrtpReceiver]) -> None:
    sender, receiver = both
    sealed, report = sender.protect(packet(1), 1), sender.protect_rtcp(RTCP)
    for at in range(len(sealed)):
        with pytest.raises(WireError):
            receiver.unprotect(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :])
    for at in range(len(report)):
        with pytest.raises(WireError):
            receiver.unprotect_rtcp(report[:at] + bytes([report[at] ^ 1]) + report[at + 1 :])
    assert receiver.unprotect(sealed) == packet(1)
    assert receiver.unprotect_rtcp(report) == RTCP


def test_forged_packets_do_not_move_the_window_or_make_sources() -> None:
    sender, receiver = gcm()
    receiver.unprotect(sender.protect(packet(1), 1))
    for ssrc in range(5 * MAX_SOURCES):
        with pytest.raises(Unauthentic):
            receiver.unprotect(packet(30_000, ssrc) + bytes(16))
    with pytest.raises(Unauthentic):
        receiver.unprotect(packet(30_000) + bytes(16))
    assert receiver.unprotect(sender.protect(packet(2), 2)) == packet(2)
    assert len(receiver._sources) == 1


def test_sources_are_bounded(both: tuple[SrtpSender, SrtpReceiver]) -> None:
    sender, receiver = both
    for ssrc in range(MAX_SOURCES):
        receiver.unprotect(sender.protect(packet(1, ssrc), 1))
        receiver.unprotect_rtcp(sender.protect_rtcp(report(1000 + ssrc)))
    with pytest.raises(LimitExceeded, match="32"):
        receiver.unprotect(sender.protect(packet(1, 999), 1))
    with pytest.raises(LimitExceeded, match="32"):
        receiver.unprotect_rtcp(sender.protect_rtcp(report(999)))
    assert receiver.unprotect(sender.protect(packet(2, 5), 2)) == packet(2, 5)
    assert receiver.unprotect_rtcp(sender.protect_rtcp(report(1005))) == report(1005)


def test_forged_packets_take_no_place_among_the_sources(both: tuple[SrtpSender, SrtpReceiver]) -> None:
    sender, receiver = both
    for ssrc in range(5 * MAX_SOURCES):
        with pytest.raises(Unauthentic):
            receiver.unprotect(packet(1, ssrc) + bytes(16))
        with pytest.raises(Unauthentic):
            receiver.unprotect_rtcp(report(ssrc) + bytes(10) + b"\x80\0\0\1" + bytes(10) + b"\x80\0\0\1")
    assert receiver.unprotect(sender.protect(packet(1), 1)) == packet(1)
    assert receiver.unprotect_rtcp(sender.protect_rtcp(RTCP)) == RTCP


def test_a_sequence_number_that_is_not_the_index_is_a_mistake_of_ours(both: tuple[SrtpSender, SrtpReceiver]) -> None:
    for index in (2, -1, MAX_INDEX + 2):
        with pytest.raises(ValueError, match="index"):
            both[0].protect(packet(1), index)


@pytest.mark.parametrize(
    ("datagram", "error"),
    [
        (b"", Truncated),
        (packet(1), Truncated),
        (b"\x40" + bytes(40), Unsupported),
        (b"\x8f" + bytes(20), Truncated),
        (bytes([0x90]) + bytes(13) + b"\xff\xff" + bytes(30), Truncated),
        (b"\x80" + bytes(3000), LimitExceeded),
    ],
)
def test_broken_packets_raise(datagram: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        gcm()[1].unprotect(datagram)


def test_rtcp_in_clear_is_refused() -> None:
    with pytest.raises(Unsupported):
        gcm()[1].unprotect_rtcp(RTCP + bytes(20))


@given(st.binary(max_size=120))
def test_any_bytes_raise_wire_error(data: bytes) -> None:
    for profile in SrtpProfile:
        receiver = make_receiver(keys(profile))
        for open_packet in (receiver.unprotect, receiver.unprotect_rtcp):
            parses_or_raises_wire_error(open_packet, data)
