"""The change log of a table: wait until it has caught up, and read it as anyone would."""

from __future__ import annotations

import gzip
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3
from change_log import connect
from local_cloud import control

from demo_run.accounting import ChangeLog, Load
from demo_run.expected import Item, Key
from demo_run.ingest import Lake, plain
from demo_run.show import Progress

# A batch that failed comes again within seconds. Longer without a new object, and what is missing will not come.
STALLED_SECONDS = 45
POLL_SECONDS = 0.25
# Where changes go that are not in the log: those that could not be placed, and those that the mapping gave up.
SET_ASIDE = ("unprocessed/changes/", "aws/lambda/")


def switch_off(session: boto3.Session, outputs: dict[str, str]) -> None:
    """Disables the event source mapping of a stack, so that its table's changes are not logged."""
    functions = session.client("lambda")
    for mapping in functions.list_event_source_mappings(FunctionName=outputs["StreamWriterFunction"])["EventSourceMappings"]:
        functions.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)


class Copy:
    """The objects of a log on disk, fetched as they appear; objects of the log never change."""

    def __init__(self, lake: Lake, prefix: str, folder: Path) -> None:
        self.lake = lake
        self.prefix = prefix
        self.folder = folder
        self.objects = self.bytes = self.lines = 0
        self.event_ids: set[str] = set()

    @property
    def root(self) -> Path:
        """The folder that the views look at."""
        return self.folder / self.prefix

    def refresh(self) -> bool:
        """Fetches what is new; whether there was anything."""
        before = self.objects
        for key in self.lake.keys(self.prefix):
            file = self.folder / key
            if file.exists():
                continue
            body = self.lake.read(key)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(body)
            ids = [json.loads(line)["eventID"] for line in gzip.decompress(body).splitlines()]
            self.objects, self.bytes, self.lines = self.objects + 1, self.bytes + len(body), self.lines + len(ids)
            self.event_ids.update(ids)
        return self.objects > before


def follow(copy: Copy, wanted: int) -> None:
    """Waits until the log has as many changes as the load has made. Says nothing of a log that stands still: what it lacks is found later."""
    progress = Progress("change log", wanted, "changes", "logged")
    moved = time.monotonic()
    try:
        while True:
            if copy.refresh():
                moved = time.monotonic()
            if len(copy.event_ids) >= wanted or time.monotonic() - moved > STALLED_SECONDS:
                break
            progress.update(len(copy.event_ids))
            time.sleep(POLL_SECONDS)
        progress.finish(len(copy.event_ids))
    except BaseException:
        progress.abandon()
        raise


def read(session: boto3.Session, load: Load, killed: list[int]) -> ChangeLog:
    """Waits for the log of a load's table and reads it with DuckDB."""
    lake = Lake(session, load.outputs["LakeBucket"])
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(lake, load.changes_folder(), Path(folder))
        follow(copy, load.expected.written)
        if not copy.objects:
            raise control.Problem(f"nothing was logged within {STALLED_SECONDS} seconds: no object under s3://{lake.bucket}/{copy.prefix}")
        return ask(copy, load, sum(len(lake.keys(prefix)) for prefix in SET_ASIDE), len(killed))


def ask(copy: Copy, load: Load, set_aside: int, killed: int) -> ChangeLog:
    """What the views say of a copy of the log."""
    with connect(copy.root) as connection:
        changes = dict(connection.execute("select event_name, count(*) from changes group by event_name").fetchall())
        state = connection.execute("select key1_name, key1_value, key2_name, key2_value, item from table_state").fetchall()
    items = {key_of(row[:4], load.rules.keys): item_of(row[4]) for row in state}
    return ChangeLog(copy.objects, copy.bytes, copy.lines, changes, len(state), items, set_aside, killed)


def key_of(columns: tuple[Any, ...], names: tuple[str, ...]) -> Key:
    """The key of a row of `table_state`, whose columns are in the order of the attributes' names, in the order of the table's keys."""
    values = {columns[0]: columns[1], columns[2]: columns[3]}
    return tuple(values[name] for name in names)


def item_of(text: str) -> Item:
    """The item of a row of `table_state`."""
    return {name: plain(value) for name, value in json.loads(text).items()}
