"""The viewer's half of ICE (RFC 8445): checks every candidate until one answers, then asks for consent (RFC 7675)."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence

from wire import stun
from wire.errors import Malformed, Unsupported
from wire.ice import CONSENT_TIMEOUT, IceCredentials
from wire.stun import Address, StunMessage

__all__ = ["CONSENT_S", "IceCaller"]

CHECK_S = 0.05  # between two checks: RFC 8445, 14.2 calls it Ta
CONSENT_S = 5.0  # RFC 7675, 5.1: between two consent checks, spread by a fifth
PRIORITY = 126 << 24 | 65535 << 8 | 255  # RFC 8445, 5.1.2.1: a host candidate
MAX_OUTSTANDING = 64  # checks whose answers are still taken


class IceCaller:
    """One controlling agent with one socket. `selected` is the first candidate that answered, and it is nominated.

    Every check carries USE-CANDIDATE, as a lite peer wants it. Call `handle_timeout` when `check_at` has come, and
    drain `datagrams_to_send`.
    """

    def __init__(
        self, local: IceCredentials, remote: IceCredentials, candidates: Sequence[Address], *, now: float
    ) -> None:
        self.selected: Address | None = None
        self.rtt = 0.0
        self.refusal: int | None = None
        self.check_at = now
        self.heard_at = now
        self._local_password = local.password.encode()
        self._remote_password = remote.password.encode()
        self._from_us = f"{remote.ufrag}:{local.ufrag}"
        self._to_us = f"{local.ufrag}:{remote.ufrag}"
        self._candidates = tuple(candidates)
        self._tie_breaker = int.from_bytes(os.urandom(8), "big")
        self._outstanding: dict[bytes, tuple[float, Address]] = {}
        self._turn = 0
        self._out: list[tuple[bytes, Address]] = []

    def consent_lost(self, now: float) -> bool:
        return self.selected is not None and now - self.heard_at > CONSENT_TIMEOUT

    def handle_timeout(self, now: float) -> None:
        """Send the check that is due: to the next candidate in turn, later to the selected one."""
        if now < self.check_at:
            return
        to = self.selected or self._candidates[self._turn % len(self._candidates)]
        self._turn += 1
        self._check(to, now)
        self.check_at = now + (CHECK_S if self.selected is None else CONSENT_S * random.uniform(0.8, 1.2))

    def receive(self, datagram: bytes, address: Address, now: float) -> None:
        """One STUN message. Raises `WireError` for one that is not the server's."""
        message = stun.parse(datagram)
        if message.kind == stun.BINDING_REQUEST:
            self._answer(datagram, message, address)
            return
        sent = self._outstanding.pop(message.transaction_id, None)
        if sent is None or sent[1] != address:
            raise Malformed(f"answer from {address} to no check of ours")
        if message.kind == stun.BINDING_ERROR:
            self.refusal = message.error_code
            return
        if not stun.check_integrity(datagram, message, self._remote_password):
            raise Malformed(f"answer from {address} is not signed with the answer's password")
        self._accept(address, sent[0], now)

    def datagrams_to_send(self) -> list[tuple[bytes, Address]]:
        out, self._out = self._out, []
        return out

    def _accept(self, address: Address, sent_at: float, now: float) -> None:
        self.rtt = now - sent_at
        self.heard_at = now
        if self.selected is None:
            self.selected = address
            self.check_at = now + CONSENT_S * random.uniform(0.8, 1.2)

    def _check(self, to: Address, now: float) -> None:
        transaction_id = os.urandom(12)
        self._outstanding[transaction_id] = (now, to)
        if len(self._outstanding) > MAX_OUTSTANDING:
            del self._outstanding[next(iter(self._outstanding))]
        check = stun.binding_request(
            transaction_id,
            username=self._from_us,
            password=self._remote_password,
            priority=PRIORITY,
            tie_breaker=self._tie_breaker,
            controlling=True,
            use_candidate=True,
        )
        self._out.append((check, to))

    def _answer(self, datagram: bytes, message: StunMessage, address: Address) -> None:
        """Servers with full ICE check us too (RFC 8445, 7.3)."""
        if message.username != self._to_us or not stun.check_integrity(datagram, message, self._local_password):
            raise Unsupported(f"check from {address} with foreign credentials")
        self._out.append((stun.binding_success(message.transaction_id, address, self._local_password), address))
