"""Whatever a WebRTC peer sends: nothing raises, no answer to a stranger is larger than the question, calls go on."""

import random

import pytest

from tests.support.link import Conditions
from tests.support.webrtc_pair import CALLER_ADDRESS, Pair
from wire.dtls import DtlsRole
from wire.rtp import rtcp
from wire.rtp.packet import RtpPacket
from wire.stun import Address
from wire.webrtc import PeerState, RtcpReceived

STRANGER = Address("203.0.113.66", 6666)


def recorded(seed: int, role: DtlsRole) -> list[bytes]:
    """All that a caller sends from its first check to some media."""
    pair = Pair(Conditions(), seed=seed, server_role=role)
    sent: list[bytes] = []
    send = pair.up.send

    def note(datagram: bytes, now: float) -> None:
        sent.append(datagram)
        send(datagram, now)

    pair.up.send = note  # type: ignore[method-assign]
    assert pair.run_until(PeerState.CONNECTED)
    assert pair.caller.sender is not None
    for index in range(1, 10):
        packet = RtpPacket(96, index, 3000 * index, 7, bytes(200))
        pair.up.send(pair.caller.sender.protect(packet.to_bytes(), index), pair.now)
        pair.caller.send_rtcp([rtcp.ReceiverReport(7)])
        pair.step()
    return sent


def mutate(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((0, 1, 1, 2, 8))):
        at = rng.randrange(len(out)) if out else 0
        match rng.randrange(4):
            case 0 if out:
                out[at] = rng.randrange(256)
            case 1 if out:
                out[at] ^= 1 << rng.randrange(8)
            case 2:
                del out[at : at + rng.choice((1, 4, 40))]
            case 3:
                out[at:at] = rng.randbytes(rng.choice((1, 4, 300)))
    return bytes(out)


@pytest.mark.parametrize("role", list(DtlsRole))
@pytest.mark.parametrize("seed", range(6))
def test_nothing_raises_and_no_stranger_gets_more_than_it_sent(seed: int, role: DtlsRole) -> None:
    rng = random.Random(seed)
    corpus = recorded(seed, role)
    pair = Pair(seed=seed, server_role=role)
    connected = Pair(seed=seed + 100, server_role=role)
    assert connected.run_until(PeerState.CONNECTED)
    connected.server.datagrams_to_send()
    for step in range(600):
        datagram = mutate(rng.choice(corpus), rng)
        for peer in (pair.server, connected.server):
            known = STRANGER in peer.ice._verified
            peer.receive_datagram(datagram, STRANGER, pair.now)
            answers = peer.datagrams_to_send()
            if not known and STRANGER not in peer.ice._verified:
                assert sum(len(answer) for answer, _ in answers) <= len(datagram)
            if step % 20 == 0:
                peer.handle_timeout(pair.now)
        pair.now += 0.01


@pytest.mark.parametrize("seed", range(6))
def test_a_call_goes_on_under_a_rain_of_mutated_copies(seed: int) -> None:
    rng = random.Random(seed)
    foreign = recorded(seed, DtlsRole.SERVER)
    pair = Pair(seed=seed)
    assert pair.run_until(PeerState.CONNECTED)
    for _ in range(600):
        datagram = mutate(rng.choice(foreign), rng)
        if datagram[:1] and datagram[0] >= 20:  # its checks would be good: the credentials are the same
            pair.server.receive_datagram(datagram, CALLER_ADDRESS, pair.now)
    pair.caller.send_rtcp([rtcp.Pli(7, 8)])
    pair.run(0.1)
    assert pair.server.connected
    assert pair.server_events[-1] == RtcpReceived((rtcp.Pli(7, 8),))
