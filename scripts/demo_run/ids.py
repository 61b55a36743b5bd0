"""The workbook of `scripts/demo --reprocess`, and what has to become of its rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from demo_run import workbook
from demo_run.data import FOLDER
from demo_run.workbook import PADDED_DIGITS, Sheet

MARKER = "processed"
PENDING, DONE = "false", "true"
# One row in so many is there twice, as in lists that people have pasted together.
REPEATED = 400
# Above the header of the second sheet.
TITLE = "Exported on 2026-01-14"

Row = dict[str, str]


@dataclass(frozen=True)
class Ids:
    """A workbook, and its rows as a person reads them."""

    path: Path
    sheets: dict[str, int]
    """Rows of each sheet by its name."""
    rows: dict[str, Row]
    """The rows by their id, each once, without the marker."""

    @property
    def count(self) -> int:
        """Rows of all sheets."""
        return sum(self.sheets.values())

    def result(self, one: str) -> Row:
        """What the result of an id has to be: its row as it was when it was pending."""
        return self.rows[one] | {MARKER: PENDING}

    def item(self, one: str) -> Row:
        """What the table has to hold of an id in the end."""
        return self.rows[one] | {MARKER: DONE}


def id_of(number: int) -> str:
    """Texts of 17 digits, which are no good as numbers: a spreadsheet keeps 15. Every other one begins with zeros."""
    spread = number * 9_973 + 7
    return f"{spread:017d}" if number % 2 else str(40_128_888_888_800_000 + spread)


def make(count: int) -> Ids:
    """A workbook of `count` rows on two sheets, whose columns are not in the same order; the same one in every run."""
    different = count - count // REPEATED
    numbers = [*range(different), *range(0, (count - different) * 7, 7)]
    as_cells = lambda number: {"id": id_of(number), "branch": number % 900 + 1, "name": f"Account {number} & Söhne"}
    first, second = numbers[: count * 2 // 3], numbers[count * 2 // 3 :]
    orders = {"Accounts": (first, ["id", "branch", "name"], []), "More": (second, ["name", "id", "branch"], [[TITLE], []])}
    path = FOLDER / "ids.xlsx"
    FOLDER.mkdir(parents=True, exist_ok=True)
    sheets = []
    for name, (of_sheet, columns, above) in orders.items():
        cells = ([as_cells(number)[column] for column in columns] for number in of_sheet)
        sheets.append(Sheet(name, [*above, columns, *cells]))
    workbook.write(path, sheets)
    rows = {id_of(number): {name: shown(cell) for name, cell in as_cells(number).items()} for number in numbers}
    return Ids(path, {name: len(of_sheet) for name, (of_sheet, *_rest) in orders.items()}, rows)


def shown(cell: str | int) -> str:
    """A cell as the spreadsheet shows it."""
    return f"{cell:0{PADDED_DIGITS}d}" if isinstance(cell, int) else cell
