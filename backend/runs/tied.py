"""python -m backend.runs.tied MODULE ARGUMENTS: run a module that ends when whoever started it does.

Its standard input is a pipe that the parent holds: it closes with the parent, however that ends, on every system.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


def main() -> None:
    """Run the module under its own name."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
