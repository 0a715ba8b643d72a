"""The `intact8` command."""

from __future__ import annotations

import os
import signal
import sys


def main() -> int:
    """Runs the `intact8` command on the words of the command line and returns its exit code."""
    # The command handles interrupts itself, and Python would only remember them.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    # The runtimes of this environment are found, also if it is not activated.
    os.environ.setdefault("VIRTUAL_ENV", sys.prefix)
    from . import _native

    return _native.run_command(["intact8", *sys.argv[1:]])
