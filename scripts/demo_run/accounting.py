"""What a load should have come to, what it came to, and the difference."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo_run.expected import Expected, Item, Key, Rules


@dataclass(frozen=True)
class Load:
    """A file to load, and the stack that it goes through."""

    path: Path
    outputs: dict[str, str]
    rules: Rules
    expected: Expected

    @property
    def key(self) -> str:
        """The file's name in the inbox."""
        return self.path.name

    def folder(self, kind: str) -> str:
        """Where the lake has the parts of this file: `json-copy` or `unprocessed`."""
        return f"{kind}/{self.key}/"


@dataclass(frozen=True)
class Outcome:
    """What the ledger, the lake and the table say about a load."""

    read: int
    written: int
    superseded: int
    rejected: int
    seconds: float
    peak_memory_mb: int
    items: dict[Key, Item]
    backup_lines: int
    backup_parts: int
    rejects: list[dict[str, Any]]
    reject_parts: int

    def deferred(self, load: Load) -> int:
        """Rows of the file that have not settled."""
        return load.expected.read - self.read

    def rows_per_second(self) -> float:
        """Rows read in a second of the job."""
        return self.read / max(self.seconds, 0.001)


def faults(load: Load, outcome: Outcome) -> list[str]:
    """Everything that is not as it should be; each entry is a sentence."""
    want = load.expected
    found = []

    def compare(what: str, is_: int, should: int) -> None:
        if is_ != should:
            found.append(f"{what}: {is_:,}, expected {should:,}")

    accounted = outcome.written + outcome.superseded + outcome.rejected
    if outcome.read != accounted:
        found.append(f"rows read are {outcome.read:,}, but written + superseded + rejected are {accounted:,}")
    compare("rows deferred by a completed job", outcome.deferred(load), 0)
    compare("rows written", outcome.written, want.written)
    compare("rows superseded", outcome.superseded, want.superseded)
    compare("rows rejected", outcome.rejected, want.rejected)
    if [reject["line"] for reject in outcome.rejects] != want.rejected_lines:
        found.append(f"the {len(outcome.rejects):,} lines of the unprocessed parts are not the {want.rejected:,} rows that had to be rejected")
    compare("lines in the backup", outcome.backup_lines, want.read - want.rejected)
    compare("items in the table", len(outcome.items), len(want.last))
    wrong = [key for key, (_, row) in want.last.items() if outcome.items.get(key) != load.rules.item(row)]
    if wrong:
        found.append(f"{len(wrong):,} items are not the last accepted row of their key, such as {' '.join(wrong[0])}")
    return found


def samples(load: Load, count: int = 3) -> list[Key]:
    """Keys from the beginning, the middle and the end of the file."""
    keys = list(load.expected.last)
    last = len(keys) - 1
    return list(dict.fromkeys(keys[last * n // max(count - 1, 1)] for n in range(count)))
