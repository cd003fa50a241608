"""Which rendition one WHEP viewer is sent: what it can decode, what its path carries, and its way to another one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from media.reasons import CODEC_CHANGED, RUNG_SHED, Reason
from media.rung import Rendition
from media.stream import Stream, StreamState
from media.track import SOURCE, Codec
from relay.adaptation import Adaptation, Cause, Look
from relay.crossing import nearest
from relay.path_estimate import PathEstimate
from relay.renditions import OVERHEAD, choices_of
from relay.rtp_packager import RtpPackager
from relay.rtp_sender import Scheduler
from relay.rtp_switch import RtpSwitch
from relay.rtp_target import RtpTarget
from relay.whep_offer import can_carry
from wire.sdp import RtpCodec

__all__ = ["WhepSeat", "WhepSeats"]

SENT_WINDOW = 4.0
"""Seconds over which what is sent is averaged: two groups of pictures, as they usually are."""
MIN_SENT_WINDOW = 1.0
LOOK_INTERVAL = 0.1
"""Seconds between two looks: reports come a few times a second, requests for lost packets more often."""
CONTENT_INTERVAL = 1.9
"""The same for a viewer that has the best it can have and no trouble: two looks fit `SENT_WINDOW`."""
ALARM_INTERVAL = 0.15
"""Seconds to the next look where there is trouble."""
LOST_WINDOW = 0.5
"""Seconds over which packets that were asked for again are counted: they tell of trouble before any report."""
MIN_PACKETS = 20
MANY_LOST = 0.25
"""The share of them that tells of trouble. Three lost in a hundred are often two in twenty, and repaired."""
ORPHAN_TIME = 10.0
"""Seconds a viewer waits for the first picture of another rung after its own has ended."""


class WhepSeats(Protocol):
    """The relay, as far as a seat needs it."""

    def packager_of(self, stream: Stream, rendition: str) -> RtpPackager: ...

    def renditions_of(self, stream: Stream) -> tuple[Rendition, ...]:
        """As `list_renditions`, worked out once for all who look at the same time."""

    def note_switch(self, old: str, new: str, cause: Cause, *, is_up: bool) -> None: ...


class Sitter(Protocol):
    """The session, as far as a seat needs it."""

    @property
    def target(self) -> RtpTarget | None:
        """Of its picture; None before the handshake is over."""

    @property
    def octets(self) -> int:
        """Payload bytes that it was sent so far, repeats left out."""

    @property
    def losses(self) -> tuple[int, int]:
        """Packets of its picture that it asked for again, and packets that it was sent, so far."""

    def sit(self, packager: RtpPackager) -> None:
        """Its picture comes from here from now on."""

    def forget_losses(self) -> None:
        """Repair nothing of what was sent up to now: it would only fill a path that is too narrow, and a keyframe
        follows."""

    def probe(self, bits_per_second: int) -> None:
        """Fill the path up to this rate; 0 ends it."""

    def give_up(self) -> None:
        """Nothing can be shown to it any more."""


class WhepSeat:
    """One viewer's. `wanted` is the rendition that was asked for, None where the path decides."""

    def __init__(
        self,
        stream: Stream,
        sitter: Sitter,
        *,
        codec: RtpCodec,
        packager: RtpPackager,
        wanted: str | None,
        seats: WhepSeats,
        estimate: PathEstimate,
        scheduler: Scheduler,
        now: Callable[[], float],
    ) -> None:
        self.packager = packager
        self.wanted = wanted
        self.switch: RtpSwitch | None = None
        self.switches = 0
        self._is_closed = False
        self._is_stranded = False
        self._stream = stream
        self._sitter = sitter
        self._codec = codec
        self._seats = seats
        self._estimate = estimate
        self._scheduler = scheduler
        self._now = now
        self._adaptation = Adaptation(now())
        self._cause = Cause.ASKED
        self._carried: dict[tuple[Codec, str, bool], bool] = {}
        self._order: tuple[str, ...] = ()
        self._looked_at = float("-inf")
        self._orphan_since: float | None = None
        self._sent: deque[tuple[float, int]] = deque()
        self._last_remb: int | None = None
        self._is_rising = False
        self._losses: deque[tuple[float, int, int]] = deque()
        self._alarm: object | None = None

    def __repr__(self) -> str:
        return f"<WhepSeat {self.packager.track.rendition} switch={self.switch}>"

    @property
    def rendition(self) -> str:
        """What it is sent now."""
        return self.packager.track.rendition

    def menu(self) -> tuple[Rendition, ...]:
        """What it can be sent, best first."""
        return tuple([each for each in self._seats.renditions_of(self._stream) if self._can_carry(each)])

    def _can_carry(self, rendition: Rendition) -> bool:
        """Worked out once: it is asked for each rung every second, and says the same."""
        key = (rendition.codec, rendition.codec_string, rendition.reorders)
        known = self._carried.get(key)
        if known is None:
            known = self._carried[key] = can_carry(self._codec, rendition)
        return known

    def glance(self, now: float) -> None:
        """As `look`, where there is no news: seldom while nothing better can be had. About once a second."""
        if not self.is_content or now - self._looked_at >= CONTENT_INTERVAL:
            self.look(now)

    @property
    def is_content(self) -> bool:
        """Has it the best that it can have, and no trouble?"""
        best = self.wanted or next(iter(self._order), None)
        is_moving = self.switch is not None or self._is_stranded or self._adaptation.is_probing
        return best == self.rendition and not is_moving and not self._adaptation.is_alarmed

    def look(self, now: float) -> None:
        """See how the path does, and go where the policy wants it. As often as there is news."""
        if now - self._looked_at < LOOK_INTERVAL or self._sitter.target is None:
            return
        self._looked_at = now
        if self._is_stranded or (self.switch is not None and self.switch.is_orphan):
            self._look_after_orphan(now)
            return
        menu = self.menu()
        self._order = tuple([rendition.name for rendition in menu])
        if self.wanted is not None:
            self._return_to_wanted()
        elif len(menu) > 1:
            self._adapt(now, menu)

    def _look_after_orphan(self, now: float) -> None:
        is_over = self._stream.state is StreamState.ENDED
        if is_over or (self._orphan_since is not None and now - self._orphan_since > ORPHAN_TIME):
            self._sitter.give_up()
        elif self._is_stranded:
            self._is_stranded = not self._find_another()
        elif self.switch is not None and self.switch.new.is_ended:
            self._find_another()  # where there is none now, one may be there at the next look
        elif self.switch is not None:
            self.switch.insist()

    def move(self, rendition: str, cause: Cause) -> None:
        """Begin to go to another rendition; what it was about to do before is over."""
        if self.switch is not None:
            if self.switch.new.track.rendition == rendition or self.switch.is_orphan:
                return
            self.switch.cancel()
        if rendition == self.rendition:
            return
        self._cause = cause
        new = self._seats.packager_of(self._stream, rendition)
        self._start(new, wants_keyframe=cause not in (Cause.FITS, Cause.TRIAL))

    def lose(self, packager: RtpPackager, reason: Reason) -> bool:
        """A packager has ended. Whether that is not the end for this viewer: it goes to the nearest rung below, else
        above, else waits for one to come back."""
        is_shown = packager is self.packager
        if not self._is_shed(packager, reason) or not (is_shown or self._has_fled_to(packager)):
            return False
        if packager.track.rendition == SOURCE and len(self.menu()) == 0:
            return False
        self._cause = Cause.SHED
        self._orphan_since = self._now() if self._orphan_since is None else self._orphan_since
        self._sitter.probe(0)
        self._is_stranded = not self._find_another()
        return True

    def _find_another(self) -> bool:
        """False where there is none now."""
        switch = self.switch
        if switch is not None and not switch.is_orphan and not switch.new.is_ended:
            switch.orphan()
            return True
        lost = switch.new if switch is not None and switch.is_orphan else self.packager
        present = [rendition.name for rendition in self.menu()]
        name = nearest(self._order or present, present, lost.track.rendition)
        if name not in present:
            return False
        new = self._seats.packager_of(self._stream, name)
        if switch is not None and switch.is_orphan:
            switch.retarget(new)
        else:
            self._start(new, wants_keyframe=True)
        return True

    def close(self) -> None:
        """The viewer is gone."""
        self._is_closed = True
        if self.switch is not None:
            self.switch.close()
            self.switch = None

    def _is_shed(self, packager: RtpPackager, reason: Reason) -> bool:
        """B-frames in a source that had none are no end either, where there are rungs."""
        return reason is RUNG_SHED or (reason is CODEC_CHANGED and packager.reordered)

    def _has_fled_to(self, packager: RtpPackager) -> bool:
        return self.switch is not None and self.switch.is_orphan and self.switch.new is packager

    def _adapt(self, now: float, menu: tuple[Rendition, ...]) -> None:
        remb = self._estimate.remb(now)
        if remb != self._last_remb:
            self._is_rising = remb is not None and self._last_remb is not None and remb > self._last_remb
            self._last_remb = remb
        look = Look(
            now,
            choices_of(menu, has_sound=bool(self._stream.audio), current=self.rendition),
            self.rendition,
            sent=self._sent_rate(now),
            limit=None if self._is_rising else remb,
            proven=remb,
            loss=max(self._estimate.recent_loss(now), self._asked_again(now)),
            can_probe=remb is not None,
        )
        decision = self._adaptation.decide(look)
        self._sitter.probe(decision.probe if self.switch is None else 0)
        if decision.cause is not None:
            self.move(decision.rung, decision.cause)
        elif self._adaptation.is_alarmed and self._alarm is None:
            self._alarm = self._scheduler.call_later(ALARM_INTERVAL, self._look_again) or self

    def _look_again(self) -> None:
        self._alarm = None
        if not self._is_closed:
            self.look(self._now())

    def _asked_again(self, now: float) -> float:
        """The share of packets that it asked for again lately, where it is large."""
        asked, sent = self._sitter.losses
        losses = self._losses
        losses.append((now, asked, sent))
        while now - losses[0][0] > LOST_WINDOW:
            losses.popleft()
        packets = sent - losses[0][2]
        share = (asked - losses[0][1]) / packets if packets >= MIN_PACKETS else 0.0
        return min(1.0, share) if share >= MANY_LOST else 0.0

    def _sent_rate(self, now: float) -> int | None:
        """Bits a second that it was sent lately, on this rung."""
        sent = self._sent
        sent.append((now, self._sitter.octets))
        while now - sent[0][0] > SENT_WINDOW:
            sent.popleft()
        span = now - sent[0][0]
        return int(8 * OVERHEAD * (sent[-1][1] - sent[0][1]) / span) if span >= MIN_SENT_WINDOW else None

    def _return_to_wanted(self) -> None:
        wanted = self.wanted
        if wanted is not None and wanted != self.rendition and self.switch is None and wanted in self._order:
            self.move(wanted, Cause.ASKED)

    def _start(self, new: RtpPackager, *, wants_keyframe: bool) -> None:
        target = self._sitter.target
        if target is None:
            self._arrive(new)
            return
        self.switch = RtpSwitch(
            target,
            self.packager,
            new,
            wants_keyframe=wants_keyframe,
            scheduler=self._scheduler,
            on_over=self._switch_is_over,
        )
        self.switch.start()

    def _switch_is_over(self, switch: RtpSwitch, moved: bool) -> None:
        self.switch = None
        if moved:
            self._arrive(switch.new)

    def _arrive(self, new: RtpPackager) -> None:
        order, old = self._order, self.rendition
        self.packager = new
        self._orphan_since = None
        self._sent.clear()
        self._sitter.sit(new)
        if self._cause in (Cause.ESTIMATE, Cause.LOSS):
            self._sitter.forget_losses()
        is_up = new.track.rendition in order and old in order
        is_up = is_up and order.index(new.track.rendition) < order.index(old)
        self._seats.note_switch(old, new.track.rendition, self._cause, is_up=is_up)
        self.switches += 1
        self._adaptation.moved(self._now())
