"""The path that loses packets, with the kernel's own devices and firewall."""

from __future__ import annotations

import socket
import subprocess
import sys

import pytest

from bench.network import MIN_LOST_SIZE as SIZE
from bench.network import Network, NoNetwork, lossy_network
from relay.segmentation import UDP_SEGMENT
from tests.support.network import or_skip

SEGMENTS, LOST = 60, 50.0
SEND_ONE_BUFFER = f"""
import socket, struct, sys
buffer = b"".join(bytes([number]) * {SIZE} for number in range({SEGMENTS}))
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
    cut = (socket.IPPROTO_UDP, {UDP_SEGMENT}, struct.pack("=H", {SIZE}))
    sender.sendmsg([buffer], [cut], 0, (sys.argv[1], int(sys.argv[2])))
    sender.sendto(b"end", (sys.argv[1], int(sys.argv[2])))
"""


def test_loss_needs_root_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(NoNetwork, match="root and the programs ip and nft"), lossy_network(2.0):
        pass


def test_packets_of_one_send_are_lost_one_by_one() -> None:
    """Sixty packets, each lost with a chance of one half: none or all would be so by chance once in 10**17 runs. Twice,
    since a network that has ended must leave nothing behind that the next one meets.
    """
    for _ in range(2):
        with or_skip(lossy_network(LOST)) as network:
            arrived = _arrived(network)
        assert 0 < len(arrived) < SEGMENTS
        assert arrived == [bytes([packet[0]]) * SIZE for packet in arrived], "cut where the sender asked for it"


def _arrived(network: Network) -> list[bytes]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.settimeout(10)
        receiver.bind((network.outside, 0))
        where = (network.outside, str(receiver.getsockname()[1]))
        subprocess.run([*network.prefix, sys.executable, "-c", SEND_ONE_BUFFER, *where], check=True)
        packets = []
        while (packet := receiver.recv(2048)) != b"end":
            packets.append(packet)
        return packets
