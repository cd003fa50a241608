"""Two peers over a bad link in fake time, and one peer against what nobody should send."""

import random
from dataclasses import replace

import pytest

from tests.support.link import Conditions
from tests.support.webrtc_pair import CALLER, CALLER_ADDRESS, SERVER, SERVER_ADDRESS, Pair
from wire.dtls import DtlsRole, Fingerprint, SrtpProfile
from wire.ice import CONSENT_TIMEOUT
from wire.rtp import rtcp
from wire.rtp.packet import RtpPacket
from wire.stun import Address
from wire.webrtc import (
    FIRST_CHECK_TIMEOUT,
    AddressChanged,
    CloseCause,
    Connected,
    PeerClosed,
    PeerState,
    RtcpReceived,
    RtpReceived,
)

ELSEWHERE = Address("203.0.113.66", 6666)


def connected(**options: object) -> Pair:
    pair = Pair(**options)  # type: ignore[arg-type]
    assert pair.run_until(PeerState.CONNECTED)
    return pair


def video(index: int) -> bytes:
    return RtpPacket(96, index & 0xFFFF, 3000 * index & 0xFFFFFFFF, 0x1234, b"picture %d" % index).to_bytes()


@pytest.mark.parametrize("role", list(DtlsRole))
def test_two_peers_connect_and_agree_on_keys(role: DtlsRole) -> None:
    pair = connected(server_role=role)
    server, caller = pair.server.keys, pair.caller.keys
    assert server is not None
    assert caller is not None
    assert server.profile is SrtpProfile.AEAD_AES_128_GCM
    assert (server.local_key, server.local_salt) == (caller.remote_key, caller.remote_salt)
    assert (server.remote_key, server.remote_salt) == (caller.local_key, caller.local_salt)
    assert pair.server_events == [AddressChanged(CALLER_ADDRESS), Connected(CALLER_ADDRESS)]
    assert "key=" not in repr(server)


@pytest.mark.parametrize("role", list(DtlsRole))
@pytest.mark.parametrize("seed", range(12))
def test_the_handshake_survives_loss_doubling_and_reordering(seed: int, role: DtlsRole) -> None:
    conditions = Conditions(loss=0.3 if seed % 2 else 0.2, duplication=0.1, delay=0.02, jitter=0.05)
    pair = Pair(conditions, seed=seed, server_role=role)
    assert pair.run_until(PeerState.CONNECTED, seconds=20)
    assert pair.up.sent + pair.down.sent < 400


def test_a_clean_handshake_waits_for_nothing() -> None:
    pair = connected()
    assert pair.now - 100.0 < 0.1  # the check and two flights each way, 10 ms a way, in steps of 5 ms


def test_media_passes_both_ways() -> None:
    pair = connected()
    assert pair.server.sender is not None
    assert pair.caller.sender is not None
    for index in range(1, 40):
        pair.down.send(pair.server.sender.protect(video(index), index), pair.now)
    pair.caller.send_rtcp([rtcp.ReceiverReport(7), rtcp.Pli(7, 0x1234)])
    pair.run(0.1)
    got = [event.packet.payload for event in pair.caller_events if isinstance(event, RtpReceived)]
    assert got == [b"picture %d" % index for index in range(1, 40)]
    assert RtcpReceived((rtcp.ReceiverReport(7), rtcp.Pli(7, 0x1234))) in pair.server_events


def test_doubled_media_arrives_once_and_lost_media_not_at_all() -> None:
    pair = Pair(Conditions(loss=0.1, duplication=0.3, jitter=0.03), seed=5)
    assert pair.run_until(PeerState.CONNECTED)
    assert pair.server.sender is not None
    for index in range(1, 500):
        pair.down.send(pair.server.sender.protect(video(index), index), pair.now)
        pair.step()
    pair.run(0.2)
    got = [event.packet.sequence for event in pair.caller_events if isinstance(event, RtpReceived)]
    assert 400 < len(got) < 499
    assert len(set(got)) == len(got)
    assert pair.caller.discarded > 50


def test_a_certificate_that_was_not_announced_is_refused_with_its_fingerprint() -> None:
    pair = Pair(fingerprint=Fingerprint("sha-256", ":".join(["00"] * 32)))
    pair.run(1.0)
    assert pair.server.state is PeerState.CLOSED
    closed = pair.server_events[-1]
    assert isinstance(closed, PeerClosed)
    assert closed.cause is CloseCause.HANDSHAKE
    assert "not the announced one" in closed.detail
    assert pair.server.sender is None


def test_dtls_and_media_from_an_unverified_address_get_no_answer() -> None:
    pair = connected()
    hello = b"\x16\xfe\xfd" + bytes(8) + b"\x00\x20" + bytes(32)
    assert pair.caller.sender is not None
    stolen = pair.caller.sender.protect(video(1), 1)
    before = pair.server.discarded
    for datagram in (hello, stolen):
        assert pair.server.receive_datagram(datagram, ELSEWHERE, pair.now) == []
    assert pair.server.datagrams_to_send() == []
    assert pair.server.discarded == before + 2
    assert pair.server.remote == CALLER_ADDRESS


def test_a_peer_that_roams_is_followed() -> None:
    pair = connected()
    pair.caller_address = replace_port(CALLER_ADDRESS, 50_001)
    pair.run(0.6)
    assert AddressChanged(pair.caller_address) in pair.server_events
    assert pair.server.remote == pair.caller_address


def test_a_peer_that_vanishes_is_gone_after_the_consent_time() -> None:
    pair = connected()
    pair.checking = False
    pair.run(CONSENT_TIMEOUT - 1)
    assert pair.server.connected
    pair.run(1.5)
    assert pair.server_events[-1] == PeerClosed(CloseCause.SILENT)
    assert pair.server.next_timeout(pair.now) is None


def test_media_alone_keeps_a_peer_alive() -> None:
    pair = connected()
    pair.checking = False
    assert pair.caller.sender is not None
    for index in range(1, 120):
        pair.up.send(pair.caller.sender.protect(video(index), index), pair.now)
        pair.server.send_rtcp([rtcp.ReceiverReport(1)])
        pair.run(0.5)
    assert pair.server.connected
    assert isinstance(pair.server_events[-1], RtpReceived)


def test_a_peer_that_never_checks_is_given_up() -> None:
    pair = Pair()
    pair.checking = False
    pair.run(FIRST_CHECK_TIMEOUT + 0.1)
    assert pair.server_events == [PeerClosed(CloseCause.NO_CHECK)]


def test_a_peer_that_never_shakes_hands_is_given_up() -> None:
    pair = Pair(server_role=DtlsRole.CLIENT)
    pair.down.send = lambda *_: None  # type: ignore[method-assign]
    pair.run(31.0)
    closed = pair.server_events[-1]
    assert isinstance(closed, PeerClosed)
    assert (closed.cause, "30 s" in closed.detail) == (CloseCause.HANDSHAKE, True)


def test_goodbye_is_heard() -> None:
    pair = connected()
    assert pair.caller.close() == [PeerClosed(CloseCause.LOCAL)]
    assert pair.caller.close() == []
    pair.flush()
    pair.run(0.05)
    assert pair.server_events[-1] == PeerClosed(CloseCause.GOODBYE)
    assert pair.server.receive_datagram(b"\x80" * 40, CALLER_ADDRESS, pair.now) == []


def test_a_repeated_last_client_flight_is_answered_but_not_for_ever() -> None:
    pair = Pair()
    flights: list[bytes] = []
    send = pair.up.send
    pair.up.send = lambda datagram, now: (flights.append(datagram), send(datagram, now))[1]  # type: ignore[method-assign]
    assert pair.run_until(PeerState.CONNECTED)
    last = [datagram for datagram in flights if datagram[0] == 22][-1]
    answers = 0
    for _ in range(50):
        pair.server.receive_datagram(last, CALLER_ADDRESS, pair.now)
        answers += sum(len(datagram) for datagram, _ in pair.server.datagrams_to_send())
    assert 0 < answers < 16 * len(last)
    assert pair.server.connected


def test_garbage_of_every_kind_is_counted_and_harms_nothing() -> None:
    pair = connected()
    rng = random.Random(1)
    firsts = (0, 1, 3, 5, 19, 20, 22, 23, 25, 63, 64, 100, 128, 144, 191, 192, 255)
    for _ in range(2000):
        size = rng.choice((0, 1, 7, 12, 13, 20, 40, 200, 1500, 3000))
        datagram = (bytes([rng.choice(firsts)]) + rng.randbytes(size))[:size]
        for peer, address in ((pair.server, CALLER_ADDRESS), (pair.caller, SERVER_ADDRESS)):
            assert peer.receive_datagram(datagram, address, pair.now) == []
    assert pair.server.discarded >= 1500
    pair.caller.send_rtcp([rtcp.ReceiverReport(7)])
    pair.run(0.1)
    assert pair.server_events[-1] == RtcpReceived((rtcp.ReceiverReport(7),))


def test_garbage_during_the_handshake_does_not_end_it() -> None:
    pair = Pair(Conditions(delay=0.05))
    rng = random.Random(2)
    while pair.server.state is not PeerState.CONNECTED and pair.now < 110:
        pair.step()
        pair.server.receive_datagram(b"\x17\xfe\xfd" + rng.randbytes(60), CALLER_ADDRESS, pair.now)
        pair.server.receive_datagram(b"\x80" + rng.randbytes(60), CALLER_ADDRESS, pair.now)
    assert pair.run_until(PeerState.CONNECTED)


def test_a_restart_during_a_call_keeps_the_media() -> None:
    pair = connected()
    new = replace(SERVER, ufrag="new0")
    pair.server.ice.restart(new, remote_ufrag=CALLER.ufrag)
    moved_to = replace_port(CALLER_ADDRESS, 50_009)
    events = pair.server.receive_datagram(pair.check(new, CALLER), moved_to, pair.now)
    assert events == [AddressChanged(moved_to)]
    assert pair.server.connected


def replace_port(address: Address, port: int) -> Address:
    return address._replace(port=port)
