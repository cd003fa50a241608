"""The ladder as this machine can encode it: encoders of hardware are tried before anybody depends on them."""

from __future__ import annotations

import asyncio

from ingest.encoder_options import SOFTWARE
from media.rung import Rung
from streamer.ladder import Ladder

__all__ = ["usable_rungs"]


async def usable_rungs(ladder: Ladder) -> dict[tuple[Rung, ...], tuple[Rung, ...]]:
    """The rungs of each entry, by what was asked for. Encoders in software are not tried: they are always there."""
    hardware = [entry.rungs for entry in ladder.entries if any(r.encoder != SOFTWARE[r.codec] for r in entry.rungs)]
    if not hardware:
        return {}
    return await asyncio.to_thread(_try_all, hardware)


def _try_all(ladders: list[tuple[Rung, ...]]) -> dict[tuple[Rung, ...], tuple[Rung, ...]]:
    # the codecs take 40 MB, and a node that encodes in software alone leaves them to its workers
    from ingest.encoder_probe import usable  # noqa: PLC0415  see above

    return {rungs: usable(rungs) for rungs in ladders}
