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

    def changes_folder(self) -> str:
        """Where the lake has the change log of the table, beside that of other tables."""
        return f"changes/table={self.outputs['TableName']}/"


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


@dataclass(frozen=True)
class ChangeLog:
    """What the change log of a load's table says, by the views of docs/SEMANTICS.md."""

    objects: int
    bytes: int
    lines: int
    changes: dict[str, int]
    """How many changes of each kind (INSERT, MODIFY, REMOVE) a reader sees."""
    states: int
    """Rows of `table_state`, each of which should be another key's."""
    items: dict[Key, Item]
    set_aside: int
    """Objects with changes that are not in the log."""
    killed: int

    def seen(self) -> int:
        """How many changes a reader sees."""
        return sum(self.changes.values())


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


def log_faults(load: Load, outcome: Outcome, log: ChangeLog) -> list[str]:
    """Everything in which the change log is not the log of this table; each entry is a sentence.

    The rows of one key must differ, since a row that is equal to what the table holds changes nothing and is in no stream.
    """
    found = []

    def compare(what: str, is_: int, should: int) -> None:
        if is_ != should:
            found.append(f"{what}: {is_:,}, expected {should:,}")

    inserts = len(load.expected.last)
    compare("insertions in the log", log.changes.get("INSERT", 0), inserts)
    compare("updates in the log", log.changes.get("MODIFY", 0), load.expected.written - inserts)
    compare("changes in the log that are neither", log.seen() - log.changes.get("INSERT", 0) - log.changes.get("MODIFY", 0), 0)
    if log.lines < log.seen():
        found.append(f"lines in the log: {log.lines:,}, expected {log.seen():,} or more, one for each change that is seen")
    compare("objects with changes that were set aside", log.set_aside, 0)
    compare("items by the log", log.states, len(outcome.items))
    wrong = [key for key in log.items.keys() | outcome.items.keys() if log.items.get(key) != outcome.items.get(key)]
    if wrong:
        found.append(f"{len(wrong):,} items are not by the log what they are in the table, such as {' '.join(min(wrong))}")
    return found


def samples(load: Load, count: int = 3) -> list[Key]:
    """Keys from the beginning, the middle and the end of the file."""
    keys = list(load.expected.last)
    last = len(keys) - 1
    return list(dict.fromkeys(keys[last * n // max(count - 1, 1)] for n in range(count)))
