"""A server's peer and a caller's, joined by two bad links in fake time. The caller checks as browsers do."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache

from tests.support.link import Conditions, Link
from wire import stun
from wire.dtls import DtlsContext, DtlsRole, Fingerprint
from wire.ice import IceCredentials
from wire.stun import Address
from wire.webrtc import PeerEvent, WebRtcPeer

SERVER = IceCredentials("serv", "server-password-long-enough")
CALLER = IceCredentials("call", "caller-password-long-enough")
SERVER_ADDRESS = Address("192.0.2.1", 8189)
CALLER_ADDRESS = Address("198.51.100.7", 50_000)
CHECK_INTERVAL = 0.25
STEP = 0.005


@cache
def contexts() -> tuple[DtlsContext, DtlsContext]:
    today = datetime(2026, 1, 1, tzinfo=UTC)
    return DtlsContext(today=today), DtlsContext(today=today)


class Pair:
    """`run_until` steps the time; events of both sides pile up in `server_events` and `caller_events`."""

    def __init__(
        self,
        conditions: Conditions | None = None,
        *,
        seed: int = 0,
        server_role: DtlsRole = DtlsRole.SERVER,
        fingerprint: Fingerprint | None = None,
    ) -> None:
        conditions = conditions or Conditions()
        server_context, caller_context = contexts()
        caller_role = DtlsRole.CLIENT if server_role is DtlsRole.SERVER else DtlsRole.SERVER
        self.now = 100.0
        self.server = WebRtcPeer(
            server_context,
            local=SERVER,
            remote_ufrag=CALLER.ufrag,
            role=server_role,
            fingerprints=(fingerprint or caller_context.fingerprint,),
            now=self.now,
        )
        self.caller = WebRtcPeer(
            caller_context,
            local=CALLER,
            remote_ufrag=SERVER.ufrag,
            role=caller_role,
            fingerprints=(server_context.fingerprint,),
            now=self.now,
        )
        self.caller_address = CALLER_ADDRESS
        self.up, self.down = Link(conditions, seed), Link(conditions, seed + 1)
        self.server_events: list[PeerEvent] = []
        self.caller_events: list[PeerEvent] = []
        self.checking = True
        self._unread: list[tuple[bytes, float]] = []
        self._between_reads = 0.0
        self._reads_at = self.now
        self._checks = 0
        self._next_check = self.now

    def hold_up(self, seconds: float) -> None:
        """The server looks into its socket no more often from now on."""
        self._between_reads = seconds

    def run_until(self, done: str, *, seconds: float = 30.0) -> bool:
        """Step until both peers have this state; False when they have not within `seconds`."""
        end = self.now + seconds
        while self.now < end:
            if self.server.state == self.caller.state == done:
                return True
            self.step()
        return False

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.step()

    def step(self) -> None:
        self._check()
        self._unread += [(datagram, self.now) for datagram in self.up.arrived(self.now)]
        if self.now >= self._reads_at:
            self._reads_at = self.now + self._between_reads
            for datagram, arrived in self._unread:
                waited = self.now - arrived
                self.server_events += self.server.receive_datagram(datagram, self.caller_address, self.now, waited)
            self._unread.clear()
        for datagram in self.down.arrived(self.now):
            self._receive_down(datagram)
        for peer, events in ((self.server, self.server_events), (self.caller, self.caller_events)):
            due = peer.next_timeout(self.now)
            if due is not None and due <= self.now:
                events.extend(peer.handle_timeout(self.now))
        self.flush()
        self.now += STEP

    def flush(self) -> None:
        for datagram, _ in self.server.datagrams_to_send():
            self.down.send(datagram, self.now)
        for datagram, _ in self.caller.datagrams_to_send():
            if not stun.is_stun(datagram):  # answers to the check that we pretend the server sent
                self.up.send(datagram, self.now)

    def _check(self) -> None:
        if self.now < self._next_check or not self.checking:
            return
        self._next_check = self.now + CHECK_INTERVAL
        self.up.send(self.check(SERVER, CALLER), self.now)

    def _receive_down(self, datagram: bytes) -> None:
        if stun.is_stun(datagram):
            # A full agent believes an address that answers its check. The lite one under test here never sends
            # checks, so the answer stands for one.
            check = self.check(CALLER, SERVER)
            self.caller_events += self.caller.receive_datagram(check, SERVER_ADDRESS, self.now)
        else:
            self.caller_events += self.caller.receive_datagram(datagram, SERVER_ADDRESS, self.now)

    def check(self, to: IceCredentials, sender: IceCredentials) -> bytes:
        self._checks += 1
        return stun.binding_request(
            self._checks.to_bytes(12, "big"),
            username=f"{to.ufrag}:{sender.ufrag}",
            password=to.password.encode(),
            priority=1,
            tie_breaker=1,
            controlling=True,
            use_candidate=True,
        )
