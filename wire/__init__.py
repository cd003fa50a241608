"""Bytes to values and back. No sockets, no clocks, no tasks: `now` and random bytes are arguments."""
