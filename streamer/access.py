"""Who may publish: stream keys, and a growing wait for an address that keeps trying wrong ones."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from media.reasons import KEY_REFUSED, PROTOCOL, Reason
from streamer.address import peer_group
from streamer.config import AccessSettings
from streamer.keys import KeyStore
from streamer.room_name import RoomNameError, check_room_name

__all__ = ["Access", "Backoff", "Decision"]


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a publisher may start. `reason` is what the peer may know; `detail` is for the log and has no secret."""

    allowed: bool
    reason: Reason | None = None
    detail: str = ""
    retry_after_s: float = 0.0


@dataclass(slots=True)
class _Record:
    wrong: int
    last_at: float
    blocked_until: float


class Backoff:
    """How long each address has to wait after wrong keys: bounded in memory, the oldest forgotten first.

    `now` is monotonic seconds.
    """

    def __init__(self, settings: AccessSettings) -> None:
        self._settings = settings
        self._records: OrderedDict[str, _Record] = OrderedDict()  # the latest wrong key last

    def set_settings(self, settings: AccessSettings) -> None:
        """Other settings from now on. Waits that run already stay as they are."""
        self._settings = settings

    def __len__(self) -> int:
        return len(self._records)

    def wait_s(self, address: str, now: float) -> float:
        """Seconds until this address may try again; 0.0 when it may."""
        record = self._records.get(peer_group(address))
        return max(0.0, record.blocked_until - now) if record else 0.0

    def wrong(self, address: str, now: float) -> float:
        """Count one wrong key. Returns the wait that it costs."""
        settings = self._settings
        group = peer_group(address)
        record = self._records.pop(group, None)
        if record is None or now - record.last_at > settings.backoff_forget_s:
            record = _Record(0, now, now)
        record.wrong += 1
        record.last_at = now
        wait = self._penalty_s(record.wrong)
        record.blocked_until = now + wait
        self._records[group] = record
        if len(self._records) > settings.backoff_max_addresses:
            self._records.popitem(last=False)
        return wait

    def right(self, address: str) -> None:
        """A right key clears the address."""
        self._records.pop(peer_group(address), None)

    def _penalty_s(self, wrong: int) -> float:
        over = wrong - self._settings.wrong_keys_free - 1
        if over < 0:
            return 0.0
        doublings = min(over, 32)  # 2.0 ** 32 is over a century already; a float power must not overflow
        return min(float(self._settings.backoff_first_s * 2.0**doublings), self._settings.backoff_max_s)


class Access:
    """Decides on publishers. Counts what it decides."""

    def __init__(self, settings: AccessSettings, keys: KeyStore) -> None:
        self._settings = settings
        self._keys = keys
        self.backoff = Backoff(settings)
        self.granted = 0
        self.refused = 0

    def set_settings(self, settings: AccessSettings) -> None:
        """Other settings from now on."""
        self._settings = settings
        self.backoff.set_settings(settings)

    def authorize_publish(self, room: str, secret: str, address: str, now: float) -> Decision:
        """May the peer at IP `address` publish to `room` with `secret`? `now` is monotonic seconds.

        An address that has to wait is refused whatever it brings, else the wait would slow nobody who guesses.
        """
        decision = self._decide(room, secret, address, now)
        if decision.allowed:
            self.granted += 1
        else:
            self.refused += 1
        return decision

    def _decide(self, room: str, secret: str, address: str, now: float) -> Decision:
        try:
            check_room_name(room)
        except RoomNameError as exc:
            return Decision(False, PROTOCOL, str(exc))
        if self._settings.open:
            return Decision(True)
        wait = self.backoff.wait_s(address, now)
        if wait:
            return Decision(False, KEY_REFUSED, f"must wait {wait:.1f} s after wrong keys", wait)
        if self._keys.is_valid(room, secret):
            self.backoff.right(address)
            return Decision(True)
        wait = self.backoff.wrong(address, now)
        what = "wrong key" if secret else "no key"
        return Decision(False, KEY_REFUSED, f"{what}; must wait {wait:.1f} s before the next", wait)
