"""SRTP and SRTCP (RFC 3711), AES-GCM (RFC 7714) by `cryptography`, AES-CM with HMAC-SHA1 by libsrtp.

The sender names the 48-bit packet index itself: sequence number `index & 0xFFFF`, roll-over counter `index >> 16`. One
place hands out indices, so no nonce is ever used twice, and no sender has to guess its own roll-over counter.
"""

from __future__ import annotations

from collections.abc import Collection
from functools import cached_property
from struct import Struct
from typing import Protocol

import pylibsrtp
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from wire.dtls import SrtpKeys, SrtpProfile
from wire.errors import LimitExceeded, Malformed, Truncated, Unsupported
from wire.rtp.history import DEFAULT_CAPACITY
from wire.rtp.packet import header_size

__all__ = [
    "MAX_INDEX",
    "MAX_PACKET_SIZE",
    "GcmReceiver",
    "GcmSender",
    "Replayed",
    "SrtpReceiver",
    "SrtpSender",
    "Unauthentic",
    "make_receiver",
    "make_sender",
]

MAX_INDEX = (1 << 48) - 1
MAX_SRTCP_INDEX = (1 << 31) - 1
MAX_PACKET_SIZE = 2048
"""Nobody's path MTU for RTP is over 1,500."""
MAX_SOURCES = 32
"""SSRCs that one peer may send: three simulcast layers, audio and their RTX are eight."""
REPLAY_WINDOW = 1024
"""Packets. Half a second of a 20 Mb/s publisher: an RTX packet must still be fresh."""

_TAG_SIZE = 16
_GCM_KEY_SIZE = 16
_INDEX = Struct("!I")
_SSRC_AT_8 = Struct("!8xI")
_SSRC_AT_4 = Struct("!4xI")
_SEQUENCE_AT_2 = Struct("!2xH")
_ENCRYPTED = 0x80000000  # RFC 3711, 3.4: the E bit in front of the SRTCP index
_RTCP_HEADER_SIZE = 8

# RFC 3711, 4.3.2: labels of the key derivation
_RTP_KEY, _RTP_SALT, _RTCP_KEY, _RTCP_SALT = 0, 2, 3, 5


class Unauthentic(Malformed):
    """The packet was not made with the key that was agreed on, or it was changed on the way."""


class Replayed(Malformed):
    """The packet was authenticated before, or it is too old to tell."""


class SrtpSender(Protocol):
    """Protects what one peer is sent."""

    def protect(self, packet: bytes, index: int) -> bytes:
        """The RTP packet encrypted; its sequence number must be `index & 0xFFFF`. Never use an index twice."""

    def protect_rtcp(self, packet: bytes) -> bytes:
        """The compound RTCP packet encrypted."""


class SrtpReceiver(Protocol):
    """Opens what one peer sends. Both methods raise `WireError`; `Unauthentic` and `Replayed` are two of them."""

    def unprotect(self, packet: bytes) -> bytes:
        """The RTP packet in clear."""

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        """The compound RTCP packet in clear."""


def make_sender(keys: SrtpKeys) -> SrtpSender:
    if keys.profile is SrtpProfile.AEAD_AES_128_GCM:
        return GcmSender(keys.local_key, keys.local_salt)
    return _CmSender(keys.local_key, keys.local_salt)


def make_receiver(keys: SrtpKeys) -> SrtpReceiver:
    if keys.profile is SrtpProfile.AEAD_AES_128_GCM:
        return GcmReceiver(keys.remote_key, keys.remote_salt)
    return _CmReceiver(keys.remote_key, keys.remote_salt)


class GcmSender:
    """AEAD_AES_128_GCM, outgoing. `key`, its cipher `aead` and `salt` are the session's own, for a batch sender that
    builds its nonces.

    The nonce of a packet is `((ssrc << 48 | index) ^ salt).to_bytes(12, "big")` (RFC 7714, 8.1).
    """

    def __init__(self, master_key: bytes, master_salt: bytes) -> None:
        self.key, self.salt = _gcm_keys(master_key, master_salt, _RTP_KEY, _RTP_SALT)
        rtcp_key, self._rtcp_salt = _gcm_keys(master_key, master_salt, _RTCP_KEY, _RTCP_SALT)
        self._rtcp_aead = AESGCM(rtcp_key)
        self._rtcp_index = 0

    @cached_property
    def aead(self) -> AESGCM:
        """Made when it is first wanted: a cipher is 2 KB, and a batch sender with its own never wants this one."""
        return AESGCM(self.key)

    def protect(self, packet: bytes, index: int) -> bytes:
        at = header_size(packet)
        _check_index(packet, index)
        nonce = _nonce(_SSRC_AT_8.unpack_from(packet)[0], index, self.salt)
        header = packet[:at]
        return header + self.aead.encrypt(nonce, packet[at:], header)

    def protect_into(self, header: bytes, payload: bytes, index: int, out: memoryview) -> int:
        """Write header, ciphertext and tag to `out`; the header already carries the sequence number of `index`.

        Returns the bytes written: `len(header) + len(payload) + 16`.
        """
        at = len(header)
        end = at + len(payload) + _TAG_SIZE
        out[:at] = header
        nonce = ((_SSRC_AT_8.unpack_from(header)[0] << 48 | index) ^ self.salt).to_bytes(12, "big")
        self.aead.encrypt_into(nonce, payload, header, out[at:end])
        return end

    def protect_rtcp(self, packet: bytes) -> bytes:
        if len(packet) < _RTCP_HEADER_SIZE:
            raise ValueError(f"RTCP packet of {len(packet)} bytes")
        self._rtcp_index += 1
        if self._rtcp_index > MAX_SRTCP_INDEX:
            raise LimitExceeded(f"SRTCP index {self._rtcp_index} exceeds {MAX_SRTCP_INDEX}: new keys are needed")
        trailer = _INDEX.pack(_ENCRYPTED | self._rtcp_index)
        header = packet[:_RTCP_HEADER_SIZE]
        nonce = _nonce(_SSRC_AT_4.unpack_from(packet)[0], self._rtcp_index, self._rtcp_salt)
        # RFC 7714, 9.2: the trailer is authenticated too, right behind the header
        return header + self._rtcp_aead.encrypt(nonce, packet[_RTCP_HEADER_SIZE:], header + trailer) + trailer


class GcmReceiver:
    """AEAD_AES_128_GCM, incoming: roll-over counters are estimated per SSRC, replays refused.

    `rtcp_key` and `rtcp_salt` are the session's own, for a reader that builds its nonces itself.
    """

    def __init__(self, master_key: bytes, master_salt: bytes) -> None:
        self._key, self._salt = _gcm_keys(master_key, master_salt, _RTP_KEY, _RTP_SALT)
        self.rtcp_key, self.rtcp_salt = _gcm_keys(master_key, master_salt, _RTCP_KEY, _RTCP_SALT)
        self._sources: dict[int, _ReplayWindow] = {}
        self._rtcp_sources: dict[int, _ReplayWindow] = {}

    @cached_property
    def _aead(self) -> AESGCM:
        return AESGCM(self._key)  # not before it is wanted: viewers send no RTP

    @cached_property
    def _rtcp_aead(self) -> AESGCM:
        return AESGCM(self.rtcp_key)

    def unprotect(self, packet: bytes) -> bytes:
        _check_size(packet, MAX_PACKET_SIZE)
        at = header_size(packet)
        if len(packet) < at + _TAG_SIZE:
            raise Truncated(f"SRTP packet of {len(packet)} bytes has no room for its tag")
        ssrc: int = _SSRC_AT_8.unpack_from(packet)[0]
        sequence: int = _SEQUENCE_AT_2.unpack_from(packet)[0]
        window = self._sources.get(ssrc)
        if window is None:
            return self._unprotect_first(packet, at, ssrc, sequence)
        index = window.estimate(sequence)
        window.check(index)
        clear = self._open(packet, at, ssrc, index)
        window.record(index)
        return clear

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        _check_size(packet, MAX_PACKET_SIZE)
        if len(packet) < _RTCP_HEADER_SIZE + _TAG_SIZE + 4:
            raise Truncated(f"SRTCP packet of {len(packet)} bytes")
        trailer = packet[-4:]
        word: int = _INDEX.unpack(trailer)[0]
        if not word & _ENCRYPTED:
            raise Unsupported("SRTCP that is not encrypted")
        index = word & MAX_SRTCP_INDEX
        ssrc: int = _SSRC_AT_4.unpack_from(packet)[0]
        window = self._rtcp_sources.get(ssrc)
        if window is not None:
            window.check(index)
        header = packet[:_RTCP_HEADER_SIZE]
        nonce = ((ssrc << 48 | index) ^ self.rtcp_salt).to_bytes(12, "big")  # RFC 7714, 9.1
        clear = _decrypt(self._rtcp_aead, nonce, packet[_RTCP_HEADER_SIZE:-4], header + trailer)
        if window is None:
            window = _ReplayWindow(index)
            _remember(self._rtcp_sources, ssrc, window)
        window.record(index)
        return header + clear

    def _unprotect_first(self, packet: bytes, at: int, ssrc: int, sequence: int) -> bytes:
        """A new SSRC begins with roll-over counter 0; with 1 when its first packets, before a wrap, were lost."""
        try:
            index = sequence
            clear = self._open(packet, at, ssrc, index)
        except Unauthentic:
            if sequence >= 1 << 15:
                raise
            index = sequence | 1 << 16
            clear = self._open(packet, at, ssrc, index)
        window = _ReplayWindow(index)
        window.record(index)
        _remember(self._sources, ssrc, window)
        return clear

    def _open(self, packet: bytes, at: int, ssrc: int, index: int) -> bytes:
        header = packet[:at]
        return header + _decrypt(self._aead, _nonce(ssrc, index, self._salt), packet[at:], header)


class _ReplayWindow:
    """The highest index of one SSRC, and a bit for each of the `REPLAY_WINDOW` packets up to it (RFC 3711, 3.3.2)."""

    __slots__ = ("_highest", "_seen")

    def __init__(self, index: int) -> None:
        self._highest = index
        self._seen = 0

    def estimate(self, sequence: int) -> int:
        """The index that is nearest to the highest one (RFC 3711, 3.3.1); never negative."""
        delta = ((sequence - self._highest + 0x8000) & 0xFFFF) - 0x8000
        index = self._highest + delta
        return index if index >= 0 else index + 0x10000

    def check(self, index: int) -> None:
        behind = self._highest - index
        if behind >= REPLAY_WINDOW:
            raise Replayed(f"packet index {index} is {behind} behind {self._highest}")
        if behind >= 0 and self._seen >> behind & 1:
            raise Replayed(f"packet index {index} arrived before")

    def record(self, index: int) -> None:
        """Call only for what has been authenticated."""
        ahead = index - self._highest
        if ahead > 0:
            self._highest = index
            self._seen = (self._seen << ahead | 1) & _WINDOW_MASK if ahead < REPLAY_WINDOW else 1
        else:
            self._seen |= 1 << -ahead


_WINDOW_MASK = (1 << REPLAY_WINDOW) - 1


class _CmSender:
    """AES128_CM_HMAC_SHA1_80, outgoing. libsrtp follows the sequence numbers itself, so indices must begin below 2^16
    and stay within 2^15 of each other. What is further behind than a history reaches is not protected again."""

    def __init__(self, master_key: bytes, master_salt: bytes) -> None:
        policy = _cm_policy(master_key, master_salt, pylibsrtp.Policy.SSRC_ANY_OUTBOUND)
        policy.window_size = DEFAULT_CAPACITY  # whatever may be asked for again
        policy.allow_repeat_tx = True  # the same packet may be asked for again, and is then the same to the byte
        self._session = pylibsrtp.Session(policy)

    def protect(self, packet: bytes, index: int) -> bytes:
        _check_index(packet, index)
        try:
            return self._session.protect(packet)
        except (pylibsrtp.Error, ValueError) as exc:
            raise ValueError(f"libsrtp refused packet {index} of {len(packet)} bytes: {exc}") from exc

    def protect_rtcp(self, packet: bytes) -> bytes:
        return self._session.protect_rtcp(packet)


class _CmReceiver:
    """AES128_CM_HMAC_SHA1_80, incoming. libsrtp makes room for every authentic SSRC, so they are counted here."""

    def __init__(self, master_key: bytes, master_salt: bytes) -> None:
        self._session = pylibsrtp.Session(_cm_policy(master_key, master_salt, pylibsrtp.Policy.SSRC_ANY_INBOUND))
        self._sources: set[int] = set()
        self._rtcp_sources: set[int] = set()

    def unprotect(self, packet: bytes) -> bytes:
        _check_size(packet, _LIBSRTP_BUFFER)
        header_size(packet)
        ssrc: int = _SSRC_AT_8.unpack_from(packet)[0]
        _check_sources(self._sources, ssrc)
        try:
            clear = self._session.unprotect(packet)
        except pylibsrtp.Error as exc:
            raise _libsrtp_error(exc) from exc
        self._sources.add(ssrc)
        return clear

    def unprotect_rtcp(self, packet: bytes) -> bytes:
        _check_size(packet, _LIBSRTP_BUFFER)
        if len(packet) < _RTCP_HEADER_SIZE:
            raise Truncated(f"SRTCP packet of {len(packet)} bytes")
        ssrc: int = _SSRC_AT_4.unpack_from(packet)[0]
        _check_sources(self._rtcp_sources, ssrc)
        try:
            clear = self._session.unprotect_rtcp(packet)
        except pylibsrtp.Error as exc:
            raise _libsrtp_error(exc) from exc
        self._rtcp_sources.add(ssrc)
        return clear


_LIBSRTP_BUFFER = 1500  # pylibsrtp's own buffer


def _libsrtp_error(error: pylibsrtp.Error) -> Malformed:
    text = str(error)
    return Replayed(text) if "replay" in text else Unauthentic(text)


def _cm_policy(master_key: bytes, master_salt: bytes, ssrc_type: int) -> pylibsrtp.Policy:
    policy = pylibsrtp.Policy(
        key=master_key + master_salt, ssrc_type=ssrc_type, srtp_profile=pylibsrtp.Policy.SRTP_PROFILE_AES128_CM_SHA1_80
    )
    policy.window_size = REPLAY_WINDOW
    return policy


def _remember(sources: dict[int, _ReplayWindow], ssrc: int, window: _ReplayWindow) -> None:
    _check_sources(sources, ssrc)
    sources[ssrc] = window


def _check_sources(sources: Collection[int], ssrc: int) -> None:
    if ssrc not in sources and len(sources) >= MAX_SOURCES:
        raise LimitExceeded(f"more than {MAX_SOURCES} SSRCs from one peer")


def _check_size(packet: bytes, limit: int) -> None:
    if len(packet) > limit:
        raise LimitExceeded(f"SRTP packet of {len(packet)} bytes exceeds {limit}")


def _check_index(packet: bytes, index: int) -> None:
    if not 0 <= index <= MAX_INDEX or _SEQUENCE_AT_2.unpack_from(packet)[0] != index & 0xFFFF:
        raise ValueError(f"sequence number {_SEQUENCE_AT_2.unpack_from(packet)[0]} is not that of index {index}")


def _nonce(ssrc: int, index: int, salt: int) -> bytes:
    # RFC 7714, 8.1 and 9.1: two zero bytes, the SSRC, then 48 bits of index, all XOR the session salt
    return ((ssrc << 48 | index) ^ salt).to_bytes(12, "big")


def _decrypt(aead: AESGCM, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
    try:
        return aead.decrypt(nonce, sealed, associated)
    except InvalidTag as exc:
        raise Unauthentic(f"authentication failed on {len(sealed)} bytes") from exc


def _gcm_keys(master_key: bytes, master_salt: bytes, key_label: int, salt_label: int) -> tuple[bytes, int]:
    """Key and salt of one session."""
    # RFC 7714, 11: the derivation is AES-CM's, the 12-byte salt padded with two zero bytes
    salt = master_salt + bytes(2)
    session_salt = _derive(master_key, salt, salt_label, 12)
    return _derive(master_key, salt, key_label, _GCM_KEY_SIZE), int.from_bytes(session_salt, "big")


def _derive(master_key: bytes, master_salt: bytes, label: int, size: int) -> bytes:
    """RFC 3711, 4.3.1 with a key derivation rate of 0: AES in counter mode over the salt XOR the label."""
    counter = bytearray(master_salt + bytes(2))
    counter[7] ^= label
    return Cipher(algorithms.AES(master_key), modes.CTR(bytes(counter))).encryptor().update(bytes(size))
