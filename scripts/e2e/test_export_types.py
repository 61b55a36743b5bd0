"""Every type out of a table and back: Parquet with an inferred and with a declared schema, by DuckDB and by pyarrow; lines of the change log."""

from __future__ import annotations

import base64
import json
import random
import time
import unittest
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow
import pyarrow.parquet
from change_log_sql import state
from export_items import Item, Key, comparable_item, held, item, key_of, recover, write
from export_reading import columns_of, item_of, merged_parquet, rows_of, windows_on_disk
from export_support import Exporter, Exporting, next_second, stack

from scripts.change_log import connect

ITEMS = 1_000
DECLARED = {
    "version": 1, "discriminator": "flag_text", "entities": {
        "a/b c": {"columns": [
            {"name": "shop", "type": "string"}, {"name": "number", "type": "decimal(38,0)"}, {"name": "price", "type": "decimal(38,28)"},
            {"name": "texts", "type": {"set": "string"}}, {"name": "numbers", "type": {"set": "decimal(38,1)"}},
            {"name": "binary", "type": "binary"}, {"name": "binaries", "type": {"set": "binary"}}, {"name": "flag", "type": "boolean"},
            {"name": "lines", "type": {"list": {"struct": [{"name": "sku", "type": "string"}, {"name": "count", "type": "integer"}]}}},
            {"name": "byday", "type": {"map": "double"}}, {"name": "mixed", "type": "integer"}, {"name": "nested", "type": "json"},
        ]},
    },
}  # fmt: skip


class Shapes(Exporting):
    def setUp(self) -> None:
        super().setUp()
        self.exporter: Exporter = stack("shapes", ITEMS, "ExportConcurrency=3")
        recover(self.exporter.table)
        self.choice = random.Random(23)

    def table(self) -> dict[Key, Item]:
        """What the table holds."""
        return {key: comparable_item(one) for key, one in held(self.exporter.table).items()}

    def change(self) -> dict[Key, tuple[Item | None, Item | None]]:
        """Changes, inserts and deletes items, some of them twice; of each key, what it was and what it is."""
        before = held(self.exporter.table)
        # Unlike those of the other tests.
        version = time.time_ns() // 1_000_000 % 10**9
        numbers = self.choice.sample(range(ITEMS + 100), 200)
        write(self.exporter.table, (item(number, version) for number in numbers[:120]))
        write(self.exporter.table, (item(number, version + 1) for number in numbers[:40]), (item(number) for number in numbers[120:]))
        after = held(self.exporter.table)
        keys = {key_of(item(number)) for number in numbers}
        return {key: (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}

    def fetched(self, report: dict[str, Any], ending: str) -> list[Path]:
        """The objects of a window, on disk."""
        return [self.folder / name for name in self.exporter.fetch(self.folder, self.exporter.window_folder(report["window"])) if name.endswith(ending)]


class Types(Shapes):
    def test_promise_10_parquet_with_an_inferred_schema_is_the_table_for_two_readers(self) -> None:
        settings = {"format": "parquet", "schema": "inferred"}
        next_second()
        full = self.exporter.run(type="full", window=f"types-{time.time_ns()}", restart_chain=True, **settings)
        self.check_full(self.fetched(full, ".parquet"))
        changes = self.change()
        incremental = self.exporter.catch_up(**settings)
        self.check_changes(self.fetched(incremental, ".parquet"), changes)
        self.change()
        self.fetched(self.exporter.catch_up(**settings), ".parquet")
        found = merged_parquet(self.folder)
        self.assert_same(self.table(), {key: comparable_item(one) for key, one in found.items()})

    def check_full(self, files: list[Path]) -> None:
        """All columns that can be are typed; pyarrow and DuckDB read the same items, which are the table's."""
        types = {column["name"]: column["type"] for column in columns_of(files[0])}
        wanted = {
            "shop": "string", "number": "decimal(38,0)", "texts": {"set": "string"}, "binary": "binary", "binaries": {"set": "binary"}, "empty": "string",
            "flag": "boolean", "count": "integer", "byday": {"map": "decimal(2,1)"},
            # Of several types, and with more digits than a decimal has.
            "own": "string", "mixed": "json", "huge": "json", "tiny": "json", "numbers": "json",
        }  # fmt: skip
        self.assertEqual(wanted, {name: types[name] for name in wanted})
        self.assertEqual({"list": {"struct": [{"name": "count", "type": "integer"}, {"name": "sku", "type": "string"}]}}, ordered(types["lines"]))
        self.assertRegex(types["price"], r"^decimal\(3\d,28\)$")
        by_pyarrow = {key: comparable_item(one) for key, one in self.by_pyarrow(files).items()}
        self.assert_same(self.table(), by_pyarrow)
        rows = [row for file in files for row in rows_of(file)]
        self.assertEqual(({None}, {None, '{"NULL":true}'}), ({row["_extra"] for row in rows}, {row["nothing"] for row in rows}))
        self.assertEqual(pyarrow.decimal128(38, 0), pyarrow.parquet.read_schema(files[0]).field("number").type)
        for file in files:
            ((described,),) = duckdb.execute("select list(column_name || ' ' || column_type) from (describe select * from read_parquet($file))", {"file": str(file)}).fetchall()
            self.assertIn("number DECIMAL(38,0)", described)
            self.assertIn("byday MAP(VARCHAR, DECIMAL(2,1))", described)

    def by_pyarrow(self, files: list[Path]) -> dict[Key, Item]:
        """The items of files as pyarrow reads them."""
        items = [item_of(row, columns_of(file)) for file in files for row in rows_of(file)]
        found = {key_of(one): one for one in items}
        self.assertEqual(len(items), len(found), "no key is there twice")
        return found

    def check_changes(self, files: list[Path], changes: dict[Key, tuple[Item | None, Item | None]]) -> None:
        """Each changed key has one row, with what it came to and what it was."""
        rows = [(row, columns_of(file)) for file in files for row in rows_of(file)]
        found = {(row["shop"], row["number"]): (row, columns) for row, columns in rows}
        self.assertEqual((len(rows), changes.keys()), (len(found), found.keys()))
        now = time.time_ns() // 1000
        for key, (old, new) in changes.items():
            row, columns = found[key]
            self.assertTrue(now - 600_000_000 < row["tl_write_micros"] <= now)
            self.assertEqual("DELETE" if new is None else "PUT", row["tl_change"])
            self.assertEqual(old and comparable_item(old), row["tl_old_image"] and comparable_item(json.loads(row["tl_old_image"])))
            held_now = new or {name: old[name] for name in ("shop", "number")}
            self.assertEqual(comparable_item(held_now), comparable_item(item_of(row, columns)))

    def test_promise_10_parquet_with_a_declared_schema_keeps_what_fits_no_column(self) -> None:
        self.change()
        # Half of the items are of an entity, whose name no path can hold as it is.
        some = [one | {"flag_text": {"S": "a/b c"}} for one in list(held(self.exporter.table).values())[::2]]
        write(self.exporter.table, some)
        self.exporter.put("settings/declared.json", json.dumps(DECLARED).encode())
        next_second()
        report = self.exporter.run(type="full", window=f"declared-{time.time_ns()}", format="parquet", schema="declared", schema_key="settings/declared.json")
        files = self.fetched(report, ".parquet")
        self.assertEqual({"tl_type=a%2Fb%20c", "tl_type=tl_other"}, {file.parent.name for file in files})
        self.assert_same(self.table(), {key: comparable_item(one) for key, one in self.by_pyarrow(files).items()})
        declared = [file for file in files if "a%2F" in file.parent.name]
        kept = [row for file in declared for row in rows_of(file)]
        self.assertEqual(sum("flag_text" in one for one in held(self.exporter.table).values()), len(kept))
        # A text in a column of numbers, and a set with a number of 38 digits in one of 37 and a fraction.
        extra = [json.loads(row["_extra"]) for row in kept]
        self.assertTrue(any("S" in one.get("mixed", {}) for one in extra))
        self.assertTrue(any("numbers" in one for one in extra) and not any("texts" in one for one in extra))
        prices = {row["price"] for row in kept}
        self.assertTrue(prices and all(isinstance(price, Decimal) for price in prices))
        by_duckdb = duckdb.execute(
            'select cast(price as varchar), "binary", byday from read_parquet($files, hive_partitioning = false)', {"files": [str(file) for file in declared]}
        ).fetchall()
        self.assertEqual(sorted(prices), sorted(Decimal(price) for price, _binary, _map in by_duckdb))
        self.assertEqual({None, base64.b64decode("AP8=")}, {binary for _price, binary, _map in by_duckdb})
        self.assertIn({"mon day": 1.0, "tue day": -2.5}, [days for _price, _binary, days in by_duckdb])


class Changes(Shapes):
    def test_promise_7_lines_of_the_change_log_are_merged_into_the_table_by_the_sql(self) -> None:
        next_second()
        full = self.exporter.run(type="full", window=f"changes-{time.time_ns()}", restart_chain=True, format="changes")
        self.change()
        self.exporter.catch_up(format="changes")
        self.change()
        self.exporter.catch_up(windows=2, format="changes")
        self.exporter.fetch(self.folder, f"changes/table={self.exporter.table}/")
        connection = connect(self.folder / f"changes/table={self.exporter.table}")
        self.addCleanup(connection.close)
        found = {key_of(one): comparable_item(one) for one in map(json.loads, state(connection).values())}
        self.assert_same(self.table(), found)
        ((rows, ids, completed),) = connection.execute("select (select count(*) from change_log where source = 'export'), (select count(*) from changes), (select count(*) from completions)").fetchall()
        self.assertEqual((rows, True), (ids, completed >= 4), "each event id is there once, and each window has its completion")
        self.assertGreaterEqual(rows, full["items"])


def ordered(kind: Any) -> Any:
    """A type whose members are in the order of their names."""
    match kind:
        case {"struct": members}:
            return {"struct": sorted(members, key=lambda member: member["name"])}
        case {"list": member}:
            return {"list": ordered(member)}
    return kind


if __name__ == "__main__":
    unittest.main()
