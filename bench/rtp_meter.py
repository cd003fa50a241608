"""What a receiver knows of one SSRC from the headers alone, which SRTP leaves in clear: enough for its reports."""

from __future__ import annotations

from wire.rtp.rtcp import ReportBlock, SenderReport

__all__ = ["RtpMeter"]


class RtpMeter:
    """RFC 3550, A.3 and A.8. `take` each packet; `arrived` tells the jitter."""

    __slots__ = (
        "_arrival",
        "_clock_rate",
        "_expected_before",
        "_first",
        "_jitter",
        "_received_before",
        "_received_then",
        "_report_at",
        "_report_ntp",
        "_timestamp",
        "_total_before",
        "highest",
        "payload_type",
        "received",
        "ssrc",
    )

    def __init__(self, ssrc: int, payload_type: int, clock_rate: int, sequence: int) -> None:
        self.ssrc = ssrc
        self.payload_type = payload_type
        self.highest = self._first = sequence
        self.received = 0
        self._clock_rate = clock_rate
        self._jitter = self._arrival = 0.0
        self._timestamp: int | None = None
        self._expected_before = self._received_before = 0
        self._total_before = self._received_then = 0
        self._report_ntp, self._report_at = 0, 0.0

    @property
    def expected(self) -> int:
        """Packets that were sent since `measure_from_here`."""
        return self._total - self._total_before

    @property
    def missing(self) -> int:
        """Of those, how many have not come."""
        return max(0, self.expected - (self.received - self._received_then))

    @property
    def _total(self) -> int:
        return self.highest - self._first + 1

    def take(self, sequence: int) -> None:
        ahead = (sequence - self.highest) & 0xFFFF
        if ahead < 0x8000:
            self.highest += ahead
        self.received += 1

    def take_many(self, packets: int, sequence: int) -> None:
        """So many packets at once, of which this is the last one's number."""
        ahead = (sequence - self.highest) & 0xFFFF
        if ahead < 0x8000:
            self.highest += ahead
        self.received += packets

    def measure_from_here(self) -> None:
        """Count `expected` and `missing` from now on; the reports to the server go on as they were."""
        self._total_before, self._received_then = self._total, self.received

    def arrived(self, timestamp: int, now: float) -> None:
        """RFC 3550, A.8, once for each new timestamp: packets of one picture leave together and arrive one by one."""
        if timestamp == self._timestamp:
            return
        if self._timestamp is not None:
            step = ((timestamp - self._timestamp + 0x80000000) & 0xFFFFFFFF) - 0x80000000
            difference = abs((now - self._arrival) * self._clock_rate - step)
            self._jitter += (difference - self._jitter) / 16
        self._timestamp, self._arrival = timestamp, now

    def sender_reported(self, report: SenderReport, now: float) -> None:
        self._report_ntp, self._report_at = report.ntp >> 16 & 0xFFFFFFFF, now

    def block(self, now: float) -> ReportBlock:
        """The report, and the beginning of the next interval."""
        expected = self._total - self._expected_before
        lost = expected - (self.received - self._received_before)
        self._expected_before, self._received_before = self._total, self.received
        since = round((now - self._report_at) * 65536) if self._report_ntp else 0
        return ReportBlock(
            ssrc=self.ssrc,
            fraction_lost=min(255, max(0, lost * 256 // expected)) if expected > 0 else 0,
            packets_lost=self._total - self.received,
            highest_sequence=self.highest & 0xFFFFFFFF,
            jitter=min(int(self._jitter), 0xFFFFFFFF),
            last_sr=self._report_ntp,
            delay_since_sr=min(since, 0xFFFFFFFF),
        )
