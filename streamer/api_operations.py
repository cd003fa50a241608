"""Every operation of the API, in one table: routes, checks and the description are made from it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from streamer.api_answers import RenditionsAnswer, StreamAnswer, StreamsAnswer, ViewerAnswer, ViewersAnswer

__all__ = ["OPERATIONS", "PREFIX", "Operation", "Query", "Who"]

PREFIX = "/api/v1"
MAX_BLOCK_S = 86_400
"""A day: longer than any show, and a forgotten block ends by itself."""
DEFAULT_VIEWERS, MAX_VIEWERS = 1_000, 10_000
"""Viewers in one answer: ten thousand are 3 MB, and making them holds the event loop for some 50 ms."""


class Who(Enum):
    """Whose key an operation takes."""

    ANYONE = "anyone"
    HOST = "host"
    """The operator, or whoever holds the stream key of the room in the path."""
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Query:
    """A number in the query string. None as default: the parameter means something by being there."""

    name: str
    about: str
    low: float
    high: float
    default: float | None = None
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """`id` is also the name of the method of `streamer.api.Api` that does it. Without `answer` it is 204."""

    id: str
    method: str
    path: str
    who: Who
    summary: str
    answer: type | None
    query: tuple[Query, ...] = ()

    @property
    def path_parameters(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.path)


_BLOCK = Query(
    "block",
    "Refuse publishers of this room for so many seconds, so that an encoder's own reconnecting does not undo the end. "
    "It also works while the room is not live; 0 lifts a block.",
    0,
    MAX_BLOCK_S,
)
_LIMIT = Query("limit", "The most viewers to answer with.", 1, MAX_VIEWERS, DEFAULT_VIEWERS, whole=True)

OPERATIONS = (
    Operation("describe", "GET", "/openapi.json", Who.ANYONE, "This description", dict),
    Operation(
        "list_streams", "GET", "/streams", Who.OPERATOR, "All streams, with what is wrong with each", StreamsAnswer
    ),
    Operation("get_stream", "GET", "/streams/{room}", Who.HOST, "One stream, with its health", StreamAnswer),
    Operation(
        "end_stream",
        "DELETE",
        "/streams/{room}",
        Who.OPERATOR,
        "End a broadcast at once, also one whose publisher is gone and may come back",
        None,
        (_BLOCK,),
    ),
    Operation(
        "list_stream_viewers", "GET", "/streams/{room}/viewers", Who.OPERATOR, "Who watches", ViewersAnswer, (_LIMIT,)
    ),
    Operation(
        "list_stream_renditions",
        "GET",
        "/streams/{room}/renditions",
        Who.HOST,
        "The source and the rungs of its ladder, with what each costs and who is shown it",
        RenditionsAnswer,
    ),
    Operation("list_viewers", "GET", "/viewers", Who.OPERATOR, "All viewers of this node", ViewersAnswer, (_LIMIT,)),
    Operation("get_viewer", "GET", "/viewers/{id}", Who.OPERATOR, "One viewer", ViewerAnswer),
    Operation(
        "close_viewer", "DELETE", "/viewers/{id}", Who.OPERATOR, "Close a viewer, who may not come back by itself", None
    ),
)
