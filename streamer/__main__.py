"""`python -m streamer` is the command."""

from __future__ import annotations

import sys

from streamer.cli import main

sys.exit(main())
