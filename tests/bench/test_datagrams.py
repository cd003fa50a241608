"""recvmmsg through ctypes, on real sockets of loopback."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest

from bench.datagrams import BATCH, DatagramBatch, dropped_by_kernel, widen_buffer


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
    with socket.socket(type=kind) as sender, socket.socket(type=kind) as receiver:
        sender.bind(("127.0.0.1", 0))
        receiver.bind(("127.0.0.1", 0))
        receiver.connect(sender.getsockname())
        sender.connect(receiver.getsockname())
        yield sender, receiver


def test_datagrams_come_in_order_with_their_lengths(pair: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = pair
    sent = [bytes([k]) * (k * 20) for k in range(1, 6)]
    for datagram in sent:
        sender.send(datagram)
    batch = DatagramBatch(2048)
    assert batch.receive(receiver.fileno()) == 5
    assert [batch.datagram(k) for k in range(5)] == sent
    assert batch.receive(receiver.fileno()) == 0


def test_what_is_cut_still_tells_its_length(pair: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = pair
    sender.send(b"head" + bytes(1196))
    batch = DatagramBatch(16)
    assert batch.receive(receiver.fileno()) == 1
    assert (batch.size(0), batch.datagram(0)) == (1200, b"head" + bytes(12))


def test_no_more_than_a_batch_is_taken_at_once(pair: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = pair
    widen_buffer(receiver)
    for _ in range(BATCH + 3):
        sender.send(b"x")
    batch = DatagramBatch(64)
    assert [batch.receive(receiver.fileno()) for _ in range(3)] == [BATCH, 3, 0]


def test_a_port_that_nobody_listens_on_is_an_error(pair: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = pair
    sender.close()
    receiver.send(b"hello")
    with pytest.raises(OSError) as raised:
        DatagramBatch(64).receive(receiver.fileno())
    assert raised.value.errno == errno.ECONNREFUSED


def test_what_the_kernel_dropped_is_known(pair: tuple[socket.socket, socket.socket]) -> None:
    sender, receiver = pair
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    assert dropped_by_kernel(receiver) == 0
    for _ in range(50):
        sender.send(bytes(1000))
    batch = DatagramBatch(64)
    assert dropped_by_kernel(receiver) == 50 - batch.receive(receiver.fileno())
