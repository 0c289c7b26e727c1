"""The commands that do one thing and end, a module for each."""

import sys

from bridge import logs


def say(text: str) -> None:
    """What is for people goes to standard error; a board's words may be in it."""
    print(logs.one_line(text), file=sys.stderr, flush=True)
