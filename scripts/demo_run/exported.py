"""What exports came to, read from the lake by DuckDB as anyone would, and everything that is wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from demo_run.expected import Item, Key

KEYS = ("account", "offer_id")
# The lines of the full export, each replaced by the last word that the incremental ones have on its key. The numbers of these
# items are whole: DuckDB takes such out of JSON with every digit.
STATE = """
with changed as (
  select json->>'$.Keys.account' as account, json->>'$.Keys.offer_id' as offer_id, json->'$.NewImage' as item
  from read_json_objects($incremental, format = 'newline_delimited')
  qualify row_number() over (partition by account, offer_id order by cast(json->>'$.Metadata.WriteTimestampMicros' as bigint) desc) = 1
)
select cast(item as varchar) from (
  select json->>'$.account' as account, json->>'$.offer_id' as offer_id, json as item from read_json_objects($full, format = 'newline_delimited')
) anti join changed using (account, offer_id)
union all
select cast(item as varchar) from changed where item is not null
"""
QUERY = """
select risk, count(*) as offers, count(distinct account) as accounts, cast(avg(datediff('day', cast(created as timestamptz), cast(expire as timestamptz))) as integer) as days,
  max(catalog_id) as highest_catalog_id
from read_parquet($files, hive_partitioning = false)
group by risk order by offers desc, risk
"""


@dataclass(frozen=True)
class Window:
    """An export of the demo, and what its machine, the ledger and the lake say of it."""

    report: dict[str, Any]
    files: list[dict[str, Any]]
    """The ledger's rows of its data files."""
    objects: dict[str, int]
    """Sizes of its objects by their keys, without the one that says that it is whole."""
    whole: bool
    """Whether that one is there."""
    seconds: float

    def begun_anew(self) -> int:
        """Files that an invocation which died has left to another."""
        return sum(bool(int(row["retry_count"])) for row in self.files)


def state(folder: Path, full: str) -> list[str]:
    """The table by a full export and all incremental ones, of JSON Lines: the text of each item."""
    files = {name: objects(folder, window, "*.jsonl.gz") for name, window in (("full", full), ("incremental", "incremental-*"))}
    with duckdb.connect() as connection:
        return [text for (text,) in connection.execute(STATE, files).fetchall()]


def rows(folder: Path, window: str) -> list[dict[str, Any]]:
    """The rows of a window of Parquet."""
    return ask("select * from read_parquet($files, hive_partitioning = false)", folder, window)


def by_risk(folder: Path, window: str) -> list[dict[str, Any]]:
    """What the demo asks of a window of Parquet."""
    return ask(QUERY, folder, window)


def ask(query: str, folder: Path, window: str) -> list[dict[str, Any]]:
    """Runs a query of Parquet; its rows by the names of their columns."""
    with duckdb.connect() as connection:
        answer = connection.execute(query, {"files": objects(folder, window, "*.parquet")})
        names = [column[0] for column in answer.description]
        return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def objects(folder: Path, window: str, pattern: str) -> list[str]:
    """The objects of a window, of every kind of items."""
    return sorted(str(file) for file in folder.glob(f"tables/*/tl_export={window}/tl_type=*/{pattern}"))


def item_of(row: dict[str, Any]) -> Item:
    """The item of a row of Parquet: a column that is null is no attribute. Nothing of the demo is left over in `_extra`."""
    return {name: Decimal(value) if isinstance(value, int) else value for name, value in row.items() if value is not None}


def key_of(item: Item) -> Key:
    """The key of an item."""
    return tuple(str(item[name]) for name in KEYS)


def faults(windows: list[Window], first: int, lines: list[Item], columns: list[Item], table: dict[Key, Item]) -> list[str]:
    """Everything that is not as it should be; each entry is a sentence. `first` is how many items the first window has to have,
    `lines` are the items by JSON Lines, `columns` those by Parquet, `table` those of the table."""
    wrong = [sentence for window in windows for sentence in _wrong_window(window)]
    if windows[0].report.get("items") != first:
        wrong.append(f"{windows[0].report.get('window')} has {windows[0].report.get('items')} items, expected {first:,}")
    return [*wrong, *_differences("JSON Lines", lines, table), *_differences("Parquet", columns, table)]


def _wrong_window(window: Window) -> list[str]:
    name, report = window.report.get("window"), window.report
    wrong = []
    if report.get("status") != "COMPLETED" or not window.whole:
        wrong.append(f"{name} is not whole: {report.get('message')}")
    open_files = [row["file_id"] for row in window.files if row["processing_status"] != "COMPLETED"]
    if open_files:
        wrong.append(f"{name}: {len(open_files):,} files are not COMPLETED, such as {min(open_files)}")
    if len(window.files) != report.get("files"):
        wrong.append(f"{name}: the ledger has {len(window.files):,} files, expected {report.get('files')}")
    written = sum(int(row["rows_written"]) for row in window.files)
    if written != report.get("items"):
        wrong.append(f"{name}: {written:,} rows were written, expected {report.get('items')}")
    listed = {one["key"]: one["bytes"] for row in window.files for one in row["objects"]}
    if listed != window.objects:
        wrong.append(f"{name}: the lake has {len(window.objects):,} objects that are not the {len(listed):,} of the ledger, or of other sizes")
    return wrong


def _differences(what: str, items: list[Item], wanted: dict[Key, Item]) -> list[str]:
    """What is missing, there twice, too much, or another."""
    are = {key_of(item): item for item in items}
    found = []
    if len(are) != len(items):
        found.append(f"{what}: {len(items) - len(are):,} items are there twice")
    for kind, keys in (
        ("are missing", wanted.keys() - are.keys()),
        ("are not in the table", are.keys() - wanted.keys()),
        ("are not what the table has", {key for key in wanted.keys() & are.keys() if are[key] != wanted[key]}),
    ):
        if keys:
            found.append(f"{what}: {len(keys):,} items {kind}, such as {min(keys)}")
    return found
