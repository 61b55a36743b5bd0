"""An undo journal of every table with point-in-time recovery: what exports to a past moment are made from.

ministack keeps only the live items. The journal notes for each write when it happened, which key it changed and what the item
was before, so the state at any moment since recovery was enabled is the live state with later writes taken back. It is a file
(one JSON line a write) because old items would otherwise stay in memory for ever. It needs no stream on the table.

Not seen: items that time to live removes (ministack deletes them without telling anybody).
"""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ministack.services import dynamodb

Item = dict
Key = tuple[str, str]


@dataclass(frozen=True)
class Write:
    """One write: its time in microseconds since 1970, the key attributes, and the item before it (None for an insert)."""

    micros: int
    keys: Item
    before: Item | None


class Journal:
    """The writes to one table since its recovery was enabled."""

    def __init__(self, table_id: str) -> None:
        self.started = now_micros()
        self._path = Path(tempfile.gettempdir()) / f"journal-{table_id}.jsonl"
        self._file = open(self._path, "w", encoding="utf-8")
        self._lock = threading.Lock()

    def append(self, keys: Item, before: Item | None) -> None:
        """Notes one write, now."""
        with self._lock:
            self._file.write(json.dumps([now_micros(), keys, before], separators=(",", ":")) + "\n")

    def writes(self) -> Iterator[Write]:
        """All writes so far, oldest first."""
        with self._lock:
            self._file.flush()
            length = self._path.stat().st_size
        with open(self._path, "rb") as file:
            while file.tell() < length:
                yield Write(*json.loads(file.readline()))

    def close(self) -> None:
        """Ends the journal and removes its file."""
        self._file.close()
        self._path.unlink(missing_ok=True)


_journals: dict[str, Journal] = {}


def now_micros() -> int:
    """The time in microseconds since 1970."""
    return time.time_ns() // 1000


def of(table: dict) -> Journal | None:
    """The journal of a table, or None where its recovery is not enabled."""
    return _journals.get(table["TableId"])


def item_key(table: dict, item: Item) -> Key:
    """The pair under which ministack keeps an item."""
    sort = table["sk_name"]
    return dynamodb._extract_key_val(item.get(table["pk_name"])), dynamodb._extract_key_val(item.get(sort)) if sort else "__no_sort__"


def key_attributes(table: dict, item: Item) -> Item:
    """The key attributes of an item."""
    return {name: item[name] for name in (table["pk_name"], table["sk_name"]) if name}


def apply() -> None:
    """Keeps a journal wherever recovery is enabled, and says since when."""
    original_emit = dynamodb._emit_stream_event
    original_update = dynamodb._update_continuous_backups
    original_describe = dynamodb._describe_continuous_backups

    def emit_stream_event(table_name: str, event_name: str, old_item: Item | None, new_item: Item | None, replicate: bool = True) -> None:
        table = dynamodb._tables.get(table_name)
        kept = of(table) if table else None
        if kept and old_item != new_item:
            kept.append(key_attributes(table, new_item or old_item), old_item)
        original_emit(table_name, event_name, old_item, new_item, replicate)

    def update_continuous_backups(data: dict) -> tuple:
        answer = original_update(data)
        if answer[0] == 200:
            name = dynamodb._normalize_table_name(data["TableName"])
            table_id = dynamodb._tables[name]["TableId"]
            if not dynamodb._pitr_settings.get(name):
                if table_id in _journals:
                    _journals.pop(table_id).close()
            elif table_id not in _journals:
                _journals[table_id] = Journal(table_id)
        return answer

    def describe_continuous_backups(data: dict) -> tuple:
        status, headers, body = original_describe(data)
        if status == 200:
            answer = json.loads(body)
            table = dynamodb._tables[dynamodb._normalize_table_name(data["TableName"])]
            recovery = answer["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
            kept = of(table)
            if kept and "EarliestRestorableDateTime" in recovery:
                recovery["EarliestRestorableDateTime"] = kept.started // 1_000_000
                body = json.dumps(answer).encode()
        return status, headers, body

    dynamodb._emit_stream_event = emit_stream_event
    dynamodb._update_continuous_backups = update_continuous_backups
    dynamodb._describe_continuous_backups = describe_continuous_backups
