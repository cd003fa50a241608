"""Processes of a run: started by exec, never by fork, and told what to do over a pipe."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

from wire.errors import WireError

__all__ = ["Child", "ChildError"]

JOIN_S = 5.0


class ChildError(Exception):
    """A process of the run ended early or said nothing in time. The sentence names it."""


@dataclass(frozen=True, slots=True)
class _Failure:
    sentence: str


class Child(AbstractContextManager["Child"]):
    """One process that runs `main(*arguments, connection)`; leaving the context ends it."""

    def __init__(self, name: str, main: Callable[..., None], *arguments: object) -> None:
        context = get_context("spawn")
        here, there = context.Pipe()
        self.name = name
        self._control: Connection = here
        self._process = context.Process(target=_run, args=(main, arguments, there), name=name, daemon=True)
        self._process.start()
        there.close()

    @property
    def pid(self) -> int:
        return self._process.pid or 0

    def tell(self, message: object) -> None:
        """ChildError when it has gone."""
        try:
            self._control.send(message)
        except OSError as exc:
            raise ChildError(f"{self.name} ended early") from exc

    def hear(self, timeout: float) -> Any:
        """Its next message. ChildError when none comes within `timeout` seconds, or the process has ended."""
        if not self._control.poll(timeout):
            raise ChildError(f"{self.name} said nothing for {timeout:.0f} s")
        try:
            message = self._control.recv()
        except (EOFError, OSError) as exc:
            self._process.join(JOIN_S)
            raise ChildError(f"{self.name} ended early with exit code {self._process.exitcode}") from exc
        if isinstance(message, _Failure):
            raise ChildError(f"{self.name}: {message.sentence}")
        return message

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._control.close()
        self._process.join(JOIN_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def _run(main: Callable[..., None], arguments: tuple[object, ...], control: Connection) -> None:
    """Where a child begins. Signals from the terminal are the parent's to act on: it closes the pipe."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        main(*arguments, control)
    except EOFError:
        return  # the parent has left
    except (OSError, ValueError, WireError) as error:
        with suppress(OSError):  # the parent has left too
            control.send(_Failure(str(error)))
