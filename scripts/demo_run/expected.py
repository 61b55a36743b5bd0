"""What should become of the rows of a file, worked out by Python's csv module, which shares no code with the function."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

Row = dict[str, str]
Key = tuple[str, ...]
Item = dict[str, str | Decimal]

# Rows of a run; a later row of the same run supersedes an earlier one of its key, which is then never sent. A run is shorter
# where its rows weigh more than 2 MiB, which rows of the demo's two files do not.
RUN_ROWS = 1000


@dataclass(frozen=True)
class Rules:
    """How rows become items, in the words of the row mapping, and which rows do not."""

    keys: tuple[str, ...]
    numbers: frozenset[str] = frozenset()
    accepts: Callable[[Row], bool] = lambda row: True

    def key(self, row: Row) -> Key:
        """The key of a row's item."""
        return tuple(row[name] for name in self.keys)

    def key_of_item(self, item: Item) -> Key:
        """The key of an item of the table; the demo's keys are all strings."""
        return tuple(str(item[name]) for name in self.keys)

    def item(self, row: Row) -> Item:
        """The item of an accepted row: empty cells are no attributes."""
        return {name: Decimal(cell) if name in self.numbers else cell for name, cell in row.items() if cell != ""}


@dataclass(frozen=True)
class Expected:
    """Counts of rows, the lines of rejected ones, and for each key its last accepted row with that row's line."""

    read: int
    written: int
    superseded: int
    rejected_lines: list[int]
    last: dict[Key, tuple[int, Row]]
    rows_of_key: Counter[Key]

    @property
    def rejected(self) -> int:
        """Rows that are no item."""
        return len(self.rejected_lines)


def expect(rows: Iterable[Row], rules: Rules) -> Expected:
    """Goes through the rows as promised: in order, the last one of a key wins. Row 1 is line 2, below the header."""
    read = written = 0
    rejected_lines: list[int] = []
    run: set[Key] = set()
    last: dict[Key, tuple[int, Row]] = {}
    rows_of_key: Counter[Key] = Counter()
    for row in rows:
        if read % RUN_ROWS == 0:
            written += len(run)
            run.clear()
        read += 1
        if not rules.accepts(row):
            rejected_lines.append(read + 1)
            continue
        key = rules.key(row)
        run.add(key)
        rows_of_key[key] += 1
        last[key] = (read + 1, row)
    written += len(run)
    return Expected(read, written, read - written - len(rejected_lines), rejected_lines, last, rows_of_key)


def expect_file(path: Path, rules: Rules) -> Expected:
    """The same for a CSV file with a header."""
    with open(path, newline="", encoding="utf-8") as file:
        return expect(csv.DictReader(file), rules)
