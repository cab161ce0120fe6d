"""python -m taggers FOLDER --model NAME: tag the pictures of a folder, as a run, and follow it."""

import sys

from taggers.command import main

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
