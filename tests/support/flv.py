"""Reading back what a viewer was sent."""

from __future__ import annotations

from typing import Any

from wire.flv import FlvHeader, FlvParser
from wire.flv_script import parse_script
from wire.flv_tag import AUDIO, SCRIPT, VIDEO, FlvTag

__all__ = ["FlvFile", "read_flv", "whole_tags"]


class FlvFile:
    """Header and tags of a finished or running FLV stream."""

    def __init__(self, data: bytes) -> None:
        parser = FlvParser()
        parser.receive_data(data)
        self.header: FlvHeader | None = None
        self.tags: list[FlvTag] = []
        while (event := parser.next_event()) is not None:
            if isinstance(event, FlvHeader):
                self.header = event
            else:
                self.tags.append(event)

    @property
    def media(self) -> list[FlvTag]:
        """Tags of sound and picture, without sequence headers."""
        return [t for t in self.tags if t.kind != SCRIPT and not self.is_config(t)]

    @property
    def configs(self) -> list[FlvTag]:
        return [t for t in self.tags if t.kind != SCRIPT and self.is_config(t)]

    @property
    def pictures(self) -> list[FlvTag]:
        return [t for t in self.media if t.kind == VIDEO]

    @property
    def sounds(self) -> list[FlvTag]:
        return [t for t in self.media if t.kind == AUDIO]

    def scripts(self, name: str) -> list[Any]:
        """The first value of each script tag of this name."""
        scripts = [parse_script(t.body) for t in self.tags if t.kind == SCRIPT]
        return [s.values[0] for s in scripts if s.name == name]

    @staticmethod
    def is_config(tag: FlvTag) -> bool:
        """AVC, AAC and the FourCC forms of a sequence start."""
        if tag.kind == VIDEO and tag.body[0] & 0x80:
            return tag.body[0] & 0x0F == 0
        if tag.kind == AUDIO and tag.body[0] >> 4 == 9:
            return tag.body[0] & 0x0F == 0
        return (tag.kind == VIDEO or tag.body[0] >> 4 == 10) and tag.body[1] == 0


def read_flv(data: bytes | bytearray) -> FlvFile:
    return FlvFile(bytes(data))


def whole_tags(data: bytes) -> bytes:
    """Without the tag that was cut when the viewer left, which a decoder would complain of."""
    return data[: 13 + sum(11 + len(tag.body) + 4 for tag in read_flv(data).tags)]
