"""Becomes the embedded Valkey server: run as a script, never imported.

    python valkey_child.py PARENT LOCK SERVER ARGUMENT ...

It asks the kernel to be told when its parent is gone, waits for the data directory's lock, and executes the server.
Both the wish and the lock outlive the exec: the server dies with its node, and never two serve the same directory.
"""

import ctypes
import fcntl
import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
LOCK_WAIT_S = 10.0
"""A server whose node was killed writes its last and leaves within a second or two."""
LOCKED = 75
"""EX_TEMPFAIL: somebody else keeps the lock."""


def main() -> int:
    """Answers an exit status if the server is not to be started, and otherwise never returns."""
    parent, lock_path, server = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        return 0  # the parent died before the wish was heard
    lock = os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + LOCK_WAIT_S
    while not _locked(lock):
        if time.monotonic() > deadline:
            return LOCKED
        time.sleep(0.05)
    os.set_inheritable(lock, True)
    return os.execv(server, [server, *sys.argv[4:]])


def _locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
