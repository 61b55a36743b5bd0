"""How the demo talks: plain text of at most 100 columns, colour only where a person is looking."""

from __future__ import annotations

import os
import sys
import textwrap
import time

WIDTH = 100
CODES = {"bold": "1", "dim": "2", "green": "32", "red": "1;31"}


def paint(text: str, style: str) -> str:
    """The text in a colour or weight, on a terminal whose user has not set NO_COLOR."""
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return text
    return f"\x1b[{CODES[style]}m{text}\x1b[0m"


def say(text: str = "") -> None:
    """One line, at once."""
    print(text, flush=True)


def heading(text: str) -> None:
    """The beginning of a section."""
    say(f"\n{paint(text, 'bold')}")


def paragraph(text: str, indent: str = "", first: str | None = None) -> None:
    """Text broken into lines of the terminal's width."""
    say(textwrap.fill(
        " ".join(text.split()), WIDTH, initial_indent=indent if first is None else first, subsequent_indent=indent,
        break_long_words=False, break_on_hyphens=False,
    ))  # fmt: skip


def table(rows: list[tuple[str, ...]]) -> None:
    """Rows of cells; the first column is a label, the others are right-aligned."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        say("  " + "   ".join(cells).rstrip())


class Progress:
    """How far something is: one line drawn again and again on a terminal, a line every five seconds elsewhere."""

    QUIET_SECONDS = 5

    def __init__(self, label: str, whole: int, unit: str, done: str, *, speed: bool = False) -> None:
        self.label = label
        self.whole = whole
        self.unit = unit
        self.done = done
        self.speed = speed
        self.began = self.printed = time.monotonic()
        self.live = sys.stdout.isatty()

    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.began

    def _line(self, count: int) -> str:
        speed = f", {count / self.elapsed():,.0f} {self.unit}/s" if count and self.speed else ""
        return f"  {self.label}: {count:,} of {self.whole:,} {self.unit} {self.done}{speed}, {self.elapsed():.0f} s"

    def update(self, count: int) -> None:
        """Shows how many are done."""
        if self.live:
            print(f"\r{self._line(count)}\x1b[K", end="", flush=True)
        elif time.monotonic() - self.printed >= self.QUIET_SECONDS:
            self.printed = time.monotonic()
            say(self._line(count))

    def finish(self, count: int) -> None:
        """Shows the end and leaves the line."""
        say(f"\r{self._line(count)}\x1b[K" if self.live else self._line(count))

    def abandon(self) -> None:
        """Leaves the line as it is, so that what follows begins on its own."""
        if self.live:
            say()
