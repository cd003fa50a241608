"""One viewer that reads everything: packets in clear to repaired, ordered and judged pictures and sound."""

from __future__ import annotations

from bench.media_sample import SampleTaker
from bench.picture_log import Picture
from bench.stamp import SEARCHED, find_ns
from bench.whep_offer import WhepAnswer
from bench.whep_sound import SoundProbe
from wire.codecs.h264 import nal_type
from wire.errors import WireError
from wire.rtp import packet as rtp
from wire.rtp import rtx
from wire.rtp.assembly import AccessUnitAssembler, RtpUnit
from wire.rtp.h264 import H264Depacketiser
from wire.rtp.packet import RtpPacket
from wire.rtp.reorder import InOrder, ReorderBuffer
from wire.rtp.rtcp import Nack, Pli, RtcpPacket, SenderReport
from wire.rtp.sequence import Unwrapper

__all__ = ["SentPicture", "WhepProbe"]

MAX_SENT = 2000  # pictures of the floor's schedule, which is played round and round: over a minute
PLI_S = 0.5  # between two requests for a keyframe: Chromium asks again after 200 ms to 1 s
_IDR, _SPS, _PPS = 5, 7, 8
_FIRST_SLICE, _LAST_SLICE = 1, 5

SentPicture = tuple[int, tuple[int, ...]]
"""RTP timestamp of a picture, and the datagrams that carried it and the sound before it: sizes in bytes."""


class WhepProbe:
    """Feed what was decrypted with `receive`, then send `feedback`. `pictures` grows while `measuring`, and so does
    `sent`, the schedule for the floor. `keyframe_at` is when the first decodable keyframe was complete. With a
    `taker` some seconds are kept.
    """

    def __init__(self, answer: WhepAnswer, taker: SampleTaker | None = None) -> None:
        self.sound = SoundProbe(taker)
        self.taker = taker
        self.keyframe_at: float | None = None
        self.first_rtp_time: int | None = None
        self.measuring = False
        self.pictures: list[Picture] = []
        self.sent: list[SentPicture] = []
        self.malformed = 0
        self.retransmissions = 0
        self._answer = answer
        self._order = ReorderBuffer()
        self._assembler = AccessUnitAssembler(H264Depacketiser())
        self._ssrc: int | None = None
        self._sets = answer.parameter_sets
        self._intact = False
        self._pli_at = 0.0
        self._wants_keyframe = False
        self._sent_time = Unwrapper(32)
        self._sending: int | None = None
        self._sizes: list[int] = []
        self._sound_sizes: list[int] = []
        self._before = (0, 0, 0)

    @property
    def lost(self) -> int:
        """Packets given up since the measurement began: neither they nor their repetition came in time."""
        return self._order.lost - self._before[0]

    @property
    def repaired(self) -> int:
        """Packets that came after they had been missed, by retransmission or by themselves."""
        return self._order.repaired - self._before[1]

    @property
    def damaged(self) -> int:
        """Pictures that arrived in part."""
        return self._assembler.damaged - self._before[2]

    def measure(self) -> None:
        self.measuring = True
        self.retransmissions = 0
        self.sound.measure()
        self._before = (self._order.lost, self._order.repaired, self._assembler.damaged)

    def receive(self, clear: bytes, size: int, now: float) -> None:
        """One packet in clear, and how long its datagram was."""
        try:
            packet = rtp.parse(clear)
            repeated = packet.payload_type in self._answer.rtx
            if repeated:
                self._receive_repeated(packet, now)
            elif packet.payload_type == self._answer.video.payload_type:
                self._note_sent(packet, size)
                self._receive_video(packet, now)
            else:
                self._receive_other(packet, size, now)
        except WireError:
            self.malformed += 1

    def handle_timeout(self, now: float) -> None:
        """Give up what is missing for too long."""
        due = self._order.next_timeout()
        if due is not None and now >= due:
            self._take(self._order.handle_timeout(now), now)
        self.sound.handle_timeout(now)

    def reported(self, report: SenderReport, payload_type: int) -> None:
        """A sender report about packets of this type."""
        if self.taker is not None:
            self.taker.reported(report.ntp, report.rtp_time, video=payload_type == self._answer.video.payload_type)

    def feedback(self, own_ssrc: int, now: float, rtt: float) -> list[RtcpPacket]:
        """What to ask for now: lost packets again, or a keyframe."""
        packets: list[RtcpPacket] = []
        if self._ssrc is None:
            return packets
        if self._answer.repairs and (lost := self._order.requests(now, rtt)):
            packets.append(Nack(own_ssrc, self._ssrc, lost))
        if self._wants_keyframe and now >= self._pli_at:
            self._pli_at = now + PLI_S
            packets.append(Pli(own_ssrc, self._ssrc))
        return packets

    def _receive_repeated(self, packet: RtpPacket, now: float) -> None:
        if self._ssrc is None or self._answer.rtx[packet.payload_type] != self._answer.video.payload_type:
            return
        original = rtx.unwrap(packet, payload_type=self._answer.video.payload_type, ssrc=self._ssrc)
        if original is not None:
            self.retransmissions += 1
            self._take(self._order.receive(original, now), now)

    def _receive_other(self, packet: RtpPacket, size: int, now: float) -> None:
        if self.measuring:
            self._sound_sizes.append(size)
        if self._answer.audio is not None and packet.payload_type == self._answer.audio.payload_type:
            self.sound.receive(packet, now)

    def _receive_video(self, packet: RtpPacket, now: float) -> None:
        if self._ssrc is None:
            self._ssrc = packet.ssrc
            self.first_rtp_time = packet.timestamp
        self._take(self._order.receive(packet, now), now)

    def _take(self, items: list[InOrder], now: float) -> None:
        for item in items:
            for unit in self._assembler.receive(item):
                self._picture(unit, now)

    def _picture(self, unit: RtpUnit, now: float) -> None:
        kinds = {nal_type(nal) for nal in unit.nals}
        self._sets = self._sets or {_SPS, _PPS} <= kinds
        if not any(_FIRST_SLICE <= kind <= _LAST_SLICE for kind in kinds):
            return  # parameter sets that travel alone
        keyframe = _IDR in kinds and self._sets
        self._intact = keyframe or (self._intact and not unit.after_loss)
        self._wants_keyframe = not self._intact
        if keyframe and self.keyframe_at is None:
            self.keyframe_at = now
        if self.measuring:
            stamp = find_ns(b"".join(unit.nals[:4])[:SEARCHED])
            self.pictures.append(Picture(now, unit.rtp_time, keyframe, self._intact, stamp))
        if self.taker is not None and self._intact:
            self.taker.picture(unit.rtp_time, unit.nals, now, keyframe=keyframe)

    def _note_sent(self, packet: RtpPacket, size: int) -> None:
        if not self.measuring or len(self.sent) >= MAX_SENT:
            return
        time = self._sent_time(packet.timestamp)
        if self._sending is not None and time > self._sending:
            self.sent.append((self._sending, (*self._sizes, *self._sound_sizes)))
            self._sizes, self._sound_sizes = [], []
        self._sending = time if self._sending is None else max(time, self._sending)
        self._sizes.append(size)
