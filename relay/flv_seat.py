"""Where one FLV viewer sits: its packager, its way to another one, and what its connection says about its rung."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

from media.flv_muxer import FlvOptions
from media.reasons import RECONNECT
from media.stream import Stream
from media.ticks import to_ms
from media.track import Codec
from relay.adaptation import Adaptation, Cause, Choice, Look
from relay.crossing import nearest
from relay.flv_packager import FlvPackager
from relay.flv_switch import FlvSwitch
from relay.flv_viewer import FlvViewer
from relay.outlet import TcpPath

__all__ = ["FlvSeat", "Seats"]

SMALL = 12 * 1024
"""Bytes that the kernel has not sent: a picture or two, which says nothing."""
ACKED_WINDOW = 1.0
MIN_ACKED_WINDOW = 0.25
"""Seconds over which it is counted what has arrived."""
HOPELESS_SKIPS = 6
HOPELESS_TIME = 60.0
"""Seconds: a viewer that skips so often within them on the lowest rung is closed as too slow."""
ORPHAN_TIME = 10.0
"""Seconds a viewer waits for the first picture of another rung after its own has ended."""


class Seats(Protocol):
    """The relay, as far as a seat needs it."""

    def packager_for(self, stream: Stream, rendition: str, audio: str, options: FlvOptions) -> FlvPackager: ...

    def note_switch(self, old: str, new: str, cause: Cause, *, is_up: bool) -> None: ...


class FlvSeat:
    """One viewer's. `wanted` is the rendition that was asked for, None where the network decides.

    `is_watched`: something waits for it, so it should be looked at as often as can be.
    """

    __slots__ = (
        "_acked",
        "_adaptation",
        "_audio",
        "_cause",
        "_now",
        "_options",
        "_order",
        "_orphan_since",
        "_rated",
        "_seats",
        "_skips",
        "is_watched",
        "number",
        "packager",
        "stream",
        "switch",
        "switches",
        "viewer",
        "wanted",
    )

    def __init__(
        self,
        viewer: FlvViewer,
        stream: Stream,
        *,
        number: int,
        audio: str,
        options: FlvOptions,
        wanted: str | None,
        seats: Seats,
        now: Callable[[], float],
    ) -> None:
        self.viewer = viewer
        self.number = number
        self.stream = stream
        self.wanted = wanted
        self.switch: FlvSwitch | None = None
        self.switches = 0
        self.packager: FlvPackager
        self._audio = audio
        self._options = options
        self._seats = seats
        self._now = now
        self._adaptation = Adaptation(now())
        self._cause = Cause.ASKED
        self._acked: deque[tuple[float, int]] = deque()
        self._rated: str | None = None
        self.is_watched = False
        self._skips: deque[tuple[float, int]] = deque()
        self._orphan_since: float | None = None
        self._order: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<FlvSeat {self.viewer.id} {self.packager.rendition} switch={self.switch}>"

    @property
    def family(self) -> Codec:
        """The codec of its pictures, which never changes within a connection."""
        video = self.packager.video
        return Codec.H264 if video is None else video.codec

    def sit(self, rendition: str) -> None:
        """Begin here."""
        self.packager = self._find(rendition)
        if self.wanted is None and self.stream.could_encode():
            self._expect_rate(rendition, self.stream.bitrate(rendition))
        self.packager.join(self.viewer)

    def leave(self) -> None:
        """The viewer is gone."""
        if self.switch is not None:
            self.switch.close()
        self.packager.leave(self.viewer)

    def move(self, rendition: str, cause: Cause) -> None:
        """Begin to go to another rendition; what it was about to do before is over."""
        if self.switch is not None:
            if self.switch.new.rendition == rendition or self.switch.is_orphan:
                return
            self.switch.cancel()
        if rendition == self.packager.rendition:
            return
        self._cause = cause
        self._start(self._find(rendition), wants_keyframe=cause not in (Cause.FITS, Cause.TRIAL))

    def find_another(self, choices: Sequence[Choice]) -> bool:
        """Its rendition has ended: go to the nearest one below, else above. False where there is none now: `retry`."""
        self._cause = Cause.SHED
        self._orphan_since = self._now() if self._orphan_since is None else self._orphan_since
        present = [choice.name for choice in choices]
        switch = self.switch
        if switch is not None and not switch.is_orphan and not switch.new.is_ended:
            switch.orphan()
            return True
        lost = switch.new if switch is not None and switch.is_orphan else self.packager
        name = nearest(self._order, present, lost.rendition)
        if name not in present:
            return False
        new = self._find(name)
        if switch is not None and switch.is_orphan:
            switch.retarget(new)
        else:
            self._start(new, wants_keyframe=True)
        return True

    def retry(self, choices: Sequence[Choice]) -> bool:
        """The same once more, some time later, when the lost one may be back too. False to try again."""
        if self._is_orphan_for_too_long():
            self.viewer.finish(RECONNECT)
            return True
        return self.find_another(choices)

    def look(self, choices: Sequence[Choice]) -> None:
        """See how the connection does, and go where the policy wants it. About twice a second."""
        now = self._now()
        self._order = tuple([choice.name for choice in choices])
        self._give_up_if_hopeless(now, choices)
        if self.switch is not None:
            self.switch.insist()
            if self._is_orphan_for_too_long():
                self.viewer.finish(RECONNECT)
        if self.switch is not None and self.switch.is_orphan:
            return
        if self.wanted is not None:
            self._return_to_wanted(choices)
            return
        look = self._look(now, choices)
        if look is None:
            return
        decision = self._adaptation.decide(look)
        if decision.cause is not None:
            self.move(decision.rung, decision.cause)
        elif self.switch is not None and self._cause in (Cause.FITS, Cause.TRIAL) and look.backlog_ms:
            self.switch.cancel()  # the way up is not clear any more

    def _is_orphan_for_too_long(self) -> bool:
        return self._orphan_since is not None and self._now() - self._orphan_since > ORPHAN_TIME

    def _look(self, now: float, choices: Sequence[Choice]) -> Look | None:
        """None where there is nothing to decide: nothing waits, and there is nothing better."""
        viewer, current = self.viewer, self.packager.rendition
        path = viewer.path
        is_behind = bool(viewer.queued_bytes) or (path is not None and path.unsent > SMALL)
        if not is_behind and not self.is_watched and choices[0].name == current and self._rated == current:
            self._adaptation.rest(now)
            return None
        sent = self.stream.bitrate(current)
        self._expect_rate(current, sent)
        backlog = self._backlog(path, sent)
        if not is_behind:
            self._acked.clear()
        known = self._delivered(path, now) if path is not None and is_behind else None
        self.is_watched = is_behind
        fastest = 8 * path.delivery_rate if path is not None and path.delivery_rate else None
        return Look(now, choices, current, sent=sent, limit=known, backlog_ms=backlog, fastest=fastest)

    def _backlog(self, path: TcpPath | None, sent: int | None) -> int:
        """Milliseconds of media between the live edge and the player: here, in the kernel, and in the network."""
        viewer = self.viewer
        backlog = to_ms(viewer.queued_ticks(self.packager.newest_dts))
        if viewer.is_skipping:
            backlog = max(backlog, to_ms(max(0, self.packager.newest_t - viewer.skipped_t)))
        if path is not None and path.unsent > SMALL:
            backlog += int(1000 * (path.rtt - path.min_rtt))
            backlog += path.unsent * 8000 // sent if sent else 0
        return backlog

    def _delivered(self, path: TcpPath, now: float) -> int | None:
        """Bits a second that arrived lately, while something waited all the time: what the path carries."""
        acked = self._acked
        acked.append((now, path.acked))
        while now - acked[0][0] > ACKED_WINDOW:
            acked.popleft()
        span = now - acked[0][0]
        return int(8 * (acked[-1][1] - acked[0][1]) / span) if span >= MIN_ACKED_WINDOW else None

    def _expect_rate(self, rendition: str, rate: int | None) -> None:
        if rate is not None and self._rated != rendition:
            self._rated = rendition
            self.viewer.expect_rate(rate)

    def _return_to_wanted(self, choices: Sequence[Choice]) -> None:
        """Pinned, but somewhere else: its rung was shed, or was not made yet."""
        wanted = self.wanted
        if wanted is None or wanted == self.packager.rendition or self.switch is not None:
            return
        if any(choice.name == wanted for choice in choices):
            self.move(wanted, Cause.ASKED)

    def _give_up_if_hopeless(self, now: float, choices: Sequence[Choice]) -> None:
        skips = self._skips
        if not skips or skips[-1][1] != self.viewer.skips:
            skips.append((now, self.viewer.skips))
        while skips and now - skips[0][0] > HOPELESS_TIME:
            skips.popleft()
        is_lowest = choices[-1].name == self.packager.rendition
        if is_lowest and len(choices) > 1 and skips and self.viewer.skips - skips[0][1] >= HOPELESS_SKIPS:
            self.viewer.give_up()

    def _start(self, new: FlvPackager, *, wants_keyframe: bool) -> None:
        self.switch = FlvSwitch(
            self.viewer, self.packager, new, wants_keyframe=wants_keyframe, on_over=self._switch_is_over
        )
        self.switch.start()

    def _switch_is_over(self, switch: FlvSwitch, moved: bool) -> None:
        self.switch = None
        self._orphan_since = None
        if not moved:
            return
        old, new = self.packager.rendition, switch.new.rendition
        order = self._order
        is_up = new in order and old in order and order.index(new) < order.index(old)
        self._seats.note_switch(old, new, self._cause, is_up=is_up)
        self.packager = switch.new
        self.switches += 1
        self.is_watched = True
        self._adaptation.moved(self._now())
        self._acked.clear()
        self._expect_rate(new, self.stream.bitrate(new))

    def _find(self, rendition: str) -> FlvPackager:
        return self._seats.packager_for(self.stream, rendition, self._audio, self._options)
