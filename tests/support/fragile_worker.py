"""The real worker, with a codec that some units kill and that hangs at others."""

from __future__ import annotations

import os
import signal
import sys
import time

from ingest.transcode_messages import Message, SourceUnit
from ingest.transcode_worker import Lanes, main

CRASH, HANG = b"crash me", b"hang me"


class FragileLanes(Lanes):
    def handle(self, message: Message) -> None:
        if isinstance(message, SourceUnit) and message.parts == (CRASH,):
            os.kill(os.getpid(), signal.SIGSEGV)
        if isinstance(message, SourceUnit) and message.parts == (HANG,):
            time.sleep(60)
        super().handle(message)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], FragileLanes))
