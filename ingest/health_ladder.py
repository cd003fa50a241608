"""What a host and an operator read about the rungs of a stream, when something is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ingest.health_values import Finding, Severity

__all__ = ["LadderState", "ladder_findings"]

WARNING, INFO = Severity.WARNING, Severity.INFO


@dataclass(frozen=True, slots=True)
class LadderState:
    """The names of rungs in each plight. `problem` is why there are none at all, else ''.

    `unread` is a codec whose picture is passed through unread; `has_worker`: nothing is wrong with the process.
    """

    problem: str = ""
    unread: str = ""
    has_worker: bool = True
    shed: tuple[str, ...] = ()
    lowered: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()


def ladder_findings(state: LadderState) -> Iterator[Finding]:
    """Nothing where all is well."""
    if state.unread:
        text = f"No rungs are encoded of {state.unread}, so viewers who cannot play it see nothing."
        yield Finding("ladder-codec", INFO, text, "Send H.264, which every player shows.")
    if state.problem:
        text = f"No rungs are encoded of this source: {state.problem}."
        yield Finding("ladder-source", WARNING, text, "Another encoder or other settings may help.")
    if not state.has_worker:
        text = "No rungs are encoded: the process that does it dies, or does not start. It is tried again."
        yield Finding("ladder-worker", WARNING, text, "The log says why. Look for memory, and at the installation.")
    if state.failed:
        text = f"The encoder of {_names(state.failed)} fails; it is tried again within a minute."
        yield Finding("ladder-encoder", WARNING, text, "The log says why. Name another encoder in [[ladder.rungs]].")
    yield from _overload(state)


def _overload(state: LadderState) -> Iterator[Finding]:
    advice = "Write fewer rungs or faster presets in [[ladder]], or use more processors."
    if state.shed:
        text = f"The machine is too busy to encode {_names(state.shed)}: viewers are on other rungs."
        yield Finding("ladder-shed", WARNING, text, advice)
    if state.lowered:
        text = f"The machine is too busy: {_names(state.lowered)} is encoded at half the frame rate."
        yield Finding("ladder-lowered", WARNING, text, advice)
    if state.late:
        text = f"Encoding {_names(state.late)} is too slow, so pictures are left out."
        yield Finding("ladder-late", WARNING, text, advice)


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names)
