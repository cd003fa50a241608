"""Repeats of what was sent, to see what a path carries: a receiver's estimate grows only with what arrives."""

from __future__ import annotations

from collections.abc import Callable

from relay.rtp_batch import TAG_SIZE, SharedPacket
from relay.rtp_sender import Scheduler
from relay.rtp_target import RtpTarget

__all__ = ["RtxProbe"]

STEP = 0.02
"""Seconds between two small bursts."""
LIFETIME = 0.7
"""Seconds after which a probe ends that is not renewed."""
RECENT_PACKETS = 32
"""The newest packets, of which the larger ones are repeated: players have them, or are about to ask for them."""
MIN_PAYLOAD = 400
"""Bytes. Small packets would be many."""
MAX_BURST = 24
"""Packets in one step: 11 Mb/s."""
HEADERS = 20 + 2 + TAG_SIZE + 28


class RtxProbe:
    """Sends repeats through `send_again(own index, packet, now)` until the path has been filled up to the wanted rate.

    RFC 4588 lets a sender repeat what it likes; receivers drop what they have, after they have counted it.
    """

    def __init__(
        self,
        send_again: Callable[[int, SharedPacket, float], object],
        *,
        scheduler: Scheduler,
        now: Callable[[], float],
    ) -> None:
        self.packets = 0
        self._send_again = send_again
        self._scheduler = scheduler
        self._now = now
        self._fill = 0
        self._until = 0.0
        self._owed = 0.0
        self._is_running = False
        self._target: RtpTarget | None = None

    def fill(self, bits_per_second: int, target: RtpTarget) -> None:
        """So much besides everything else, for a moment. 0 ends it at once."""
        self._fill = bits_per_second
        self._target = target
        self._until = self._now() + LIFETIME
        if bits_per_second and not self._is_running:
            self._is_running = True
            self._owed = 0.0
            self._step()

    def _step(self) -> None:
        if not self._fill or self._target is None or self._now() >= self._until:
            self._is_running = False
            return
        now = self._now()
        self._owed += self._fill / 8 * STEP
        for own, packet in _choose(self._target):
            if self._owed <= 0:
                break
            self._owed -= len(packet.payload) + HEADERS
            self._send_again(own, packet, now)
            self.packets += 1
        self._owed = min(self._owed, 0.0)
        self._scheduler.call_later(STEP, self._step)


def _choose(target: RtpTarget) -> list[tuple[int, SharedPacket]]:
    """With their own indices. What went out before the target was moved had other ones than its `base` says now."""
    since = target.since_move
    if since is None:
        return []
    first, history = since
    newest = target.next - 1
    recent = (history.get(index) for index in range(newest, max(newest - RECENT_PACKETS, first - 1), -1))
    found = [(packet.shared - target.base, packet) for packet in recent if packet is not None]
    large = [entry for entry in found if len(entry[1].payload) >= MIN_PAYLOAD] or found
    return (large * MAX_BURST)[:MAX_BURST] if large else []
