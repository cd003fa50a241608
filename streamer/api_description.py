"""The OpenAPI 3.1 description of the API, made from the table of its operations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from streamer.api_answers import ProblemAnswer
from streamer.api_operations import OPERATIONS, PREFIX, Operation, Query, Who
from streamer.api_schema import schemas_of

__all__ = ["describe_api"]

API_VERSION = "1.0.0"
ABOUT = """\
What an operator sees and does. The key is made with `streamer key --operator` and sent as a Bearer token; a room's own
stream key may read the state of its room. After wrong keys an address has to wait, as after wrong stream keys.
"""
_SECURITY: dict[Who, list[dict[str, list[str]]]] = {
    Who.ANYONE: [],
    Who.HOST: [{"operatorKey": []}, {"streamKey": []}],
    Who.OPERATOR: [{"operatorKey": []}],
}
_REFUSALS = {
    400: "A parameter is wrong",
    401: "No key, or one that is not valid",
    403: "A key for something else",
    404: "There is no such thing here",
    429: "This address must wait after wrong keys",
}
_PARAMETERS = {"room": "The room's name.", "id": "The viewer's id, from a list."}
_HEADERS = {401: {"WWW-Authenticate"}, 403: {"WWW-Authenticate"}, 429: {"Retry-After"}}


def describe_api() -> dict[str, Any]:
    """The whole document."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(PREFIX + operation.path, {})[operation.method.lower()] = _operation(operation)
    answers = [operation.answer for operation in OPERATIONS if operation.answer not in (None, dict)]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Streamer", "version": API_VERSION, "description": ABOUT},
        "paths": paths,
        "components": {
            "schemas": schemas_of(ProblemAnswer, *filter(None, answers)),
            "securitySchemes": {
                "operatorKey": {"type": "http", "scheme": "bearer", "description": "The operator's key."},
                "streamKey": {"type": "http", "scheme": "bearer", "description": "The stream key of the room."},
            },
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    parameters = [*map(_path_parameter, operation.path_parameters), *map(_query_parameter, operation.query)]
    return {
        "operationId": operation.id,
        "summary": operation.summary,
        "security": _SECURITY[operation.who],
        **({"parameters": parameters} if parameters else {}),
        "responses": {**_success(operation), **{str(status): _refusal(status) for status in _statuses(operation)}},
    }


def _path_parameter(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": _PARAMETERS[name],
        "schema": {"type": "string", "minLength": 1},
    }


def _query_parameter(query: Query) -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "integer" if query.whole else "number",
        "minimum": query.low,
        "maximum": query.high,
    }
    if query.default is not None:
        schema["default"] = query.default
    return {"name": query.name, "in": "query", "description": query.about, "schema": schema}


def _statuses(operation: Operation) -> Iterable[int]:
    """Which refusals can happen."""
    if operation.query:
        yield 400
    if operation.who is not Who.ANYONE:
        yield from (401, 403)
    if operation.path_parameters:
        yield 404
    if operation.who is not Who.ANYONE:
        yield 429


def _success(operation: Operation) -> dict[str, Any]:
    if operation.answer is None:
        return {"204": {"description": "Done"}}
    schema = {"type": "object"} if operation.answer is dict else _reference(operation.answer)
    return {"200": {"description": "Here it is", "content": {"application/json": {"schema": schema}}}}


def _refusal(status: int) -> dict[str, Any]:
    refusal: dict[str, Any] = {
        "description": _REFUSALS[status],
        "content": {"application/problem+json": {"schema": _reference(ProblemAnswer)}},
    }
    if status in _HEADERS:
        refusal["headers"] = {name: {"schema": {"type": "string"}} for name in sorted(_HEADERS[status])}
    return refusal


def _reference(answer: type) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{answer.__name__}"}
