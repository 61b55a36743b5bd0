"""The demo of `--export`: what it reads of the lake, how it follows an export, and that it finds each wrong result."""

from __future__ import annotations

import dataclasses
import gzip
import itertools
import json
import tempfile
import unittest
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
from demo_run import export, export_report, exported
from demo_run.expected import Item
from demo_run.exported import Window
from local_cloud import control

BIG = 12_345_678_901_234_567_890_123_456_789_012_345_678
FULL, INCREMENTAL = "full-demo", "incremental-20260103T040000Z-20260103T040010Z"


def item(name: str, **more: Any) -> Item:
    return {"account": "a", "offer_id": name, "risk": "low"} | more


class ReadTest(unittest.TestCase):
    """From objects to items."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def lines(self, window: str, name: str, *lines: Any) -> None:
        """An object of JSON Lines."""
        file = self.folder / f"tables/t/tl_export={window}/tl_type=item/{name}-00000.jsonl.gz"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(gzip.compress("".join(f"{json.dumps(line)}\n" for line in lines).encode()))

    def change(self, name: str, micros: int, **image: Any) -> dict[str, Any]:
        """A line of an incremental export."""
        keys = {"account": "a", "offer_id": name}
        return {"Metadata": {"WriteTimestampMicros": micros}, "Keys": keys} | ({"NewImage": keys | image} if image else {}) | {"OldImage": keys}

    def test_the_last_word_of_a_key_is_the_incremental_one_with_every_digit(self) -> None:
        self.lines(FULL, "a", item("stays", n=BIG), item("goes"), item("changes"))
        self.lines(FULL, "b", item("twice"))
        self.lines(INCREMENTAL, "c", self.change("goes", 5), self.change("changes", 5, n=BIG + 1), self.change("new", 7, n=1))
        self.lines(INCREMENTAL.replace("040000Z-", "040010Z-"), "d", self.change("twice", 9, n=2), self.change("new", 9, n=2))
        self.lines("full-other", "e", item("stranger"))
        found = {one["offer_id"]: one for one in (json.loads(text, parse_int=Decimal) for text in exported.state(self.folder, FULL))}
        self.assertEqual({"stays", "changes", "twice", "new"}, found.keys())
        self.assertEqual((BIG, BIG + 1, 2, 2), tuple(found[name]["n"] for name in ("stays", "changes", "twice", "new")))

    def test_rows_of_parquet_are_items_and_can_be_asked(self) -> None:
        file = self.folder / f"tables/t/tl_export={FULL}/tl_type=item/a-00000.parquet"
        file.parent.mkdir(parents=True)
        columns = f"'a' as account, 'x' as offer_id, '2026-01-01T00:00:00+00:00' as created, '2026-01-11T00:00:00+00:00' as expire, 'low' as risk, {BIG}::decimal(38,0) as catalog_id, null as _extra, 7 as n"
        duckdb.execute(f"copy (select {columns} union all by name select {columns.replace(repr('x'), repr('y'))}) to '{file}' (format parquet)")
        found = [exported.item_of(row) for row in exported.rows(self.folder, FULL)]
        wanted = item("x", created="2026-01-01T00:00:00+00:00", expire="2026-01-11T00:00:00+00:00", catalog_id=Decimal(BIG), n=Decimal(7))
        self.assertEqual([wanted, wanted | {"offer_id": "y"}], sorted(found, key=lambda one: one["offer_id"]))
        self.assertEqual([{"risk": "low", "offers": 2, "accounts": 1, "days": 10, "highest_catalog_id": Decimal(BIG)}], exported.by_risk(self.folder, FULL))


class FaultsTest(unittest.TestCase):
    """A right outcome has no fault, and each wrong one is found."""

    def setUp(self) -> None:
        self.table = {exported.key_of(one): one for one in (item("x"), item("y", n=Decimal(BIG)))}
        file = {"file_id": "f.json.gz", "processing_status": "COMPLETED", "rows_written": 2, "retry_count": 1, "objects": [{"key": "k", "rows": 2, "bytes": 9}]}
        self.right = Window({"status": "COMPLETED", "window": FULL, "items": 2, "files": 1, "message": "m"}, [file], {"k": 9}, True, 1.0)

    def found(self, first: int = 2, lines: list[Item] | None = None, columns: list[Item] | None = None, **wrong: Any) -> str:
        every = list(self.table.values())
        return "\n".join(exported.faults([dataclasses.replace(self.right, **wrong)], first, every if lines is None else lines, every if columns is None else columns, self.table))

    def test_nothing_is_found_where_all_is_right(self) -> None:
        self.assertEqual("", self.found())
        self.assertEqual(1, self.right.begun_anew())

    def test_items_that_are_missing_twice_too_many_or_others(self) -> None:
        x, y = self.table.values()
        for name, what in (("lines", "JSON Lines"), ("columns", "Parquet")):
            for items, sentence in (
                ([x], "1 items are missing, such as ('a', 'y')"), ([x, y, y], "1 items are there twice"), ([x, y, item("z")], "1 items are not in the table, such as ('a', 'z')"),
                ([x, y | {"n": Decimal(BIG + 1)}], "1 items are not what the table has, such as ('a', 'y')"),
            ):  # fmt: skip
                with self.subTest(what, sentence=sentence):
                    self.assertIn(f"{what}: {sentence}", self.found(**{name: items}))

    def test_a_window_that_is_not_whole(self) -> None:
        (file,) = self.right.files
        self.assertIn(f"{FULL} is not whole: m", self.found(whole=False))
        self.assertIn(f"{FULL} is not whole: m", self.found(report=self.right.report | {"status": "FAILED"}))
        self.assertIn("1 files are not COMPLETED, such as f.json.gz", self.found(files=[file | {"processing_status": "FAILED"}]))
        self.assertIn("the ledger has 2 files, expected 1", self.found(files=[file, file | {"rows_written": 0}]))
        self.assertIn("1 rows were written, expected 2", self.found(files=[file | {"rows_written": 1}]))
        self.assertIn(f"{FULL} has 2 items, expected 3", self.found(first=3))
        for objects in ({}, {"k": 8}, {"k": 9, "l": 1}):
            self.assertIn("objects that are not the 1 of the ledger", self.found(objects=objects))

    def test_a_wrong_outcome_is_one_of_the_verdict(self) -> None:
        with mock.patch("builtins.print") as printed:
            self.assertEqual(["it is wrong"], export_report.verdict(["it is wrong"], 2, 1))
            self.assertEqual([], export_report.verdict([], 2, 0))
        said = "\n".join(str(call.args[0]) for call in printed.call_args_list)
        wrong, right = said.split("WRONG")[1], said.split("right ", 1)[1]
        self.assertIn("it is wrong", wrong)
        self.assertIn("the export was done too soon", right)


class FollowTest(unittest.TestCase):
    """An export that goes on, or does not."""

    def stack(self, statuses: list[str], done: Callable[[], int], files: int = 40) -> mock.Mock:
        """A stack whose machine has these states, and whose ledger has so many files done."""
        machines = mock.Mock(describe_execution=mock.Mock(side_effect=[{"status": status} for status in statuses]))
        stack = mock.Mock(window_under_way=lambda _known: "job", kill_transformers=mock.Mock(return_value=3))
        stack.session.client = lambda _service: machines

        def rows(_job: str) -> list[dict[str, Any]]:
            ready = done()
            status = lambda number: "COMPLETED" if number < ready else "PENDING"
            return [{"kind": "export"}, *({"kind": "export-file", "processing_status": status(one), "item_count": 10, "rows_written": 10} for one in range(files))]

        stack.rows = rows
        return stack

    def follow(self, stack: mock.Mock, kill: bool) -> tuple[int, str]:
        with mock.patch.object(export.time, "sleep"), mock.patch("builtins.print") as printed:
            killed = export.follow(stack, "x", "export", set(), kill)
        return killed, "\n".join(str(call.args[0]) for call in printed.call_args_list)

    def test_the_function_is_killed_a_few_times_and_in_the_middle(self) -> None:
        first, second, third = export.KILLED_AFTER
        done = iter([0, first - 1, first, first, second + 1, third - 1, third, 30])
        stack = self.stack(["RUNNING"] * 8 + ["SUCCEEDED"], lambda: next(done))
        self.assertEqual(9, self.follow(stack, True)[0])
        self.assertEqual(3, stack.kill_transformers.call_count)
        stack = self.stack(["RUNNING", "SUCCEEDED"], lambda: 39)
        self.assertEqual(0, self.follow(stack, False)[0])

    def test_files_rows_and_the_time_left_are_shown(self) -> None:
        _, said = self.follow(self.stack(["RUNNING", "SUCCEEDED"], lambda: 30), False)
        self.assertIn("export: 40 of 40 files, 400 of 400 rows written, 0 s", said)
        with mock.patch.object(export.Files, "elapsed", lambda _self: 30.0):
            progress = export.Files("export", 40, 400)
            progress.files_done = 30
            self.assertEqual("  export: 30 of 40 files, 300 of 400 rows written, 30 s, 10 s left", progress._line(300))

    def test_an_export_that_stands_still_is_a_problem(self) -> None:
        clock = itertools.count(0, 10)
        stack = self.stack(["RUNNING"] * 1_000, lambda: 4)
        with mock.patch.object(export.time, "monotonic", lambda: next(clock)), self.assertRaisesRegex(control.Problem, "no file was done for 120 seconds; 36 are left"):
            self.follow(stack, False)

    def test_an_export_that_fails_is_a_problem_with_its_cause(self) -> None:
        machines = mock.Mock(describe_execution=lambda **_: {"status": "FAILED", "error": "Export.Incomplete", "cause": "why"}, start_execution=lambda **_: {"executionArn": "x"})
        stack = mock.Mock(outputs={"ExportMachineArn": "m"}, session=mock.Mock(client=lambda _: machines))
        with self.assertRaisesRegex(control.Problem, "FAILED: Export.Incomplete: why"):
            export.run(stack, "export", set())

    def test_users_change_insert_and_delete(self) -> None:
        stack, items = mock.Mock(table="t"), {("a", f"{number:05}"): item(f"{number:05}") for number in range(3_000)}
        export.change(stack, items)
        asked = [request for call in stack.session.client.return_value.batch_write_item.call_args_list for request in call.kwargs["RequestItems"]["t"]]
        deleted = [request["DeleteRequest"]["Key"] for request in asked if "DeleteRequest" in request]
        written = {request["PutRequest"]["Item"]["offer_id"]["S"] for request in asked if "PutRequest" in request}
        inserted = {name for name in written if ("a", name) not in items}
        self.assertEqual(export.CHANGES, {"updated": len(written - inserted), "inserted": len(inserted), "deleted": len(deleted)})
        self.assertEqual(set(), {key["offer_id"]["S"] for key in deleted} & written)


if __name__ == "__main__":
    unittest.main()
