"""ICE-lite (RFC 8445, 2.5): answer connectivity checks, and remember where they came from.

A public server needs no candidates of its peers: an address that sends a check signed with our password is good, and
the one that the peer nominates carries the media. DTLS and media are believed only from verified addresses.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass

from wire import stun
from wire.errors import Malformed, Unsupported
from wire.stun import Address, StunMessage

__all__ = [
    "CONSENT_TIMEOUT",
    "CREDENTIAL_RANDOM_SIZE",
    "IceCredentials",
    "IceLiteAgent",
    "IceReply",
    "host_candidate",
    "local_ufrag_of",
    "make_credentials",
]

CONSENT_TIMEOUT = 30.0
"""Seconds. RFC 7675, 5.1: a peer that has proved nothing for this long has not agreed to receive any more."""
MAX_VERIFIED = 16
"""A phone with IPv4 and IPv6 on two networks, UDP and TCP, needs eight; the oldest is forgotten."""
MAX_REMEMBERED_CHECKS = 32
"""Transaction ids kept against replays: more than a minute of consent checks."""
CREDENTIAL_RANDOM_SIZE = 24
"""Random bytes that one pair of credentials is made of."""

_UFRAG_BYTES = 6  # 8 characters: 48 bits; RFC 8445, 5.3 asks for 24
_LOCAL_PREFERENCE = 65535
_HOST_TYPE_PREFERENCE = 126
_TCP_PENALTY = 40  # so that every UDP path is tried and preferred first (RFC 6544, 4.2)


@dataclass(frozen=True, slots=True)
class IceCredentials:
    """A user name fragment and a password, as they stand in the SDP."""

    ufrag: str
    password: str


@dataclass(frozen=True, slots=True)
class IceReply:
    """What came of one check: the answer, if any, and whether the address for media is now another one."""

    datagram: bytes | None = None
    verified: bool = False
    moved: bool = False


def make_credentials(random: bytes) -> IceCredentials:
    """Credentials from `CREDENTIAL_RANDOM_SIZE` random bytes: 8 and 24 ice-chars (RFC 8839, 5.4)."""
    if len(random) != CREDENTIAL_RANDOM_SIZE:
        raise ValueError(f"{len(random)} random bytes instead of {CREDENTIAL_RANDOM_SIZE}")
    return IceCredentials(b64encode(random[:_UFRAG_BYTES]).decode(), b64encode(random[_UFRAG_BYTES:]).decode())


def local_ufrag_of(message: StunMessage) -> str | None:
    """Our ufrag, by which a check finds its session: USERNAME is "theirs-to-us", ours first (RFC 8445, 7.2.2)."""
    if message.kind != stun.BINDING_REQUEST or message.username is None:
        return None
    return message.username.partition(":")[0]


def host_candidate(address: Address, *, tcp: bool = False, rank: int = 0) -> str:
    """The value of an `a=candidate` line for one public address; `rank` 0 is the best of several."""
    preference = _LOCAL_PREFERENCE - rank
    type_preference = _HOST_TYPE_PREFERENCE - (_TCP_PENALTY if tcp else 0)
    priority = (type_preference << 24) | (preference << 8) | 255
    transport, suffix = ("tcp", " tcptype passive") if tcp else ("udp", "")
    foundation = 2 * rank + (2 if tcp else 1)
    return f"{foundation} 1 {transport} {priority} {address.host} {address.port} typ host{suffix}"


class IceLiteAgent:
    """The answering half of ICE for one peer.

    `remote` is where to send: the address of the latest nominated check, before the first nomination any verified one.
    """

    def __init__(self, local: IceCredentials, *, remote_ufrag: str) -> None:
        self.local = local
        self.remote: Address | None = None
        self.nominated = False
        self._remote_ufrag = remote_ufrag
        self._retired: tuple[IceCredentials, str] | None = None
        self._verified: dict[Address, float] = {}
        self._checks: dict[bytes, Address] = {}

    def __repr__(self) -> str:
        return f"<IceLiteAgent {self.local.ufrag}:{self._remote_ufrag} remote={self.remote} nominated={self.nominated}>"

    @property
    def local_ufrags(self) -> tuple[str, ...]:
        """The fragments that belong to this agent: after a restart the old one too, until a new check arrives."""
        return (self.local.ufrag,) if self._retired is None else (self.local.ufrag, self._retired[0].ufrag)

    @property
    def consent(self) -> tuple[bytes, bytes] | None:
        """User name and password of the checks that come from now on, once `remote` was nominated: they change nothing
        more. None before, and after a restart, until the next check has come."""
        if not self.nominated or self._retired is not None:
            return None
        return f"{self.local.ufrag}:{self._remote_ufrag}".encode(), self.local.password.encode()

    def is_verified(self, address: Address, now: float) -> bool:
        """Whether this address sent a good check within the consent time."""
        checked_at = self._verified.get(address)
        return checked_at is not None and now - checked_at < CONSENT_TIMEOUT

    def verified_at(self, address: Address) -> float | None:
        """When this address last proved itself; None: never, or too many others have since."""
        return self._verified.get(address)

    def refresh(self, address: Address, now: float) -> None:
        """Something authentic came from this verified address: it counts as a check."""
        self._verified[address] = now

    def follow_handshake(self, address: Address) -> bool:
        """Before a nomination, answer the verified address that DTLS comes from; returns whether that is a move."""
        if self.nominated or address == self.remote:
            return False
        self.remote = address
        return True

    def restart(self, local: IceCredentials, *, remote_ufrag: str) -> None:
        """RFC 8445, 9: new credentials; media stays where it is until a check with them arrives."""
        self._retired = (self.local, self._remote_ufrag)
        self.local = local
        self._remote_ufrag = remote_ufrag

    def receive_check(self, datagram: bytes, message: StunMessage, address: Address, now: float) -> IceReply:
        """Answer one parsed STUN message. Raises `WireError` for what deserves no answer at all."""
        if message.kind != stun.BINDING_REQUEST:
            raise Unsupported(f"STUN message 0x{message.kind:04x}: a lite agent sends no requests")
        password = self._password_for(message.username)
        if password is None or message.integrity_at is None:
            code = stun.UNAUTHENTICATED if message.integrity_at is not None else stun.BAD_REQUEST
            return _refusal(datagram, message, code)
        if not stun.check_integrity(datagram, message, password):
            return _refusal(datagram, message, stun.UNAUTHENTICATED)
        return self._accept(message, address, password, now)

    def _password_for(self, username: str | None) -> bytes | None:
        if username == f"{self.local.ufrag}:{self._remote_ufrag}":
            return self.local.password.encode()
        if self._retired is not None and username == f"{self._retired[0].ufrag}:{self._retired[1]}":
            return self._retired[0].password.encode()
        return None

    def _accept(self, message: StunMessage, address: Address, password: bytes, now: float) -> IceReply:
        if message.unknown:
            reply = stun.binding_error(
                message.transaction_id, stun.UNKNOWN_ATTRIBUTE, password=password, unknown=message.unknown
            )
            return IceReply(reply)
        if message.controlled is not None:
            # RFC 8445, 7.3.1.1: a lite agent can never control, so the peer has to
            return IceReply(stun.binding_error(message.transaction_id, stun.ROLE_CONFLICT, password=password))
        # the address as it is known already, so that remembered checks do not hold thirty copies of it
        address = next((known for known in self._verified if known == address), address)
        self._refuse_replay(message.transaction_id, address)
        if self._retired is not None and password == self.local.password.encode():
            self._retired = None
        self._verify(address, now)
        moved = self._follow(message, address)
        return IceReply(stun.binding_success(message.transaction_id, address, password), verified=True, moved=moved)

    def _refuse_replay(self, transaction_id: bytes, address: Address) -> None:
        """A copied check sent again from elsewhere must not move the media there."""
        seen_from = self._checks.setdefault(transaction_id, address)
        if seen_from != address:
            raise Malformed(f"check {transaction_id.hex()} of {seen_from} was replayed from {address}")
        while len(self._checks) > MAX_REMEMBERED_CHECKS:
            del self._checks[next(iter(self._checks))]

    def _verify(self, address: Address, now: float) -> None:
        self._verified.pop(address, None)  # to the end of the row
        self._verified[address] = now
        while len(self._verified) > MAX_VERIFIED:
            del self._verified[next(iter(self._verified))]

    def _follow(self, message: StunMessage, address: Address) -> bool:
        if message.use_candidate:
            self.nominated = True
        elif self.remote is not None:
            return False
        moved = self.remote != address
        self.remote = address
        return moved


def _refusal(datagram: bytes, message: StunMessage, code: int) -> IceReply:
    reply = stun.binding_error(message.transaction_id, code)
    # never answer an unverified packet with a larger one: its source may be forged
    return IceReply(reply if len(reply) <= len(datagram) else None)
