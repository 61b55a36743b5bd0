"""The demo of `--reprocess`: its workbook, what it reads back, and that it finds each wrong result."""

from __future__ import annotations

import dataclasses
import gzip
import os
import signal
import subprocess
import tempfile
import unittest
import xml.etree.ElementTree as ElementTree
import zipfile
from pathlib import Path
from typing import Any
from unittest import mock

from demo_run import ids, reprocess, reprocess_report, workbook
from demo_run.ids import Ids
from demo_run.outcome import CAP, Line, Reprocessed, faults
from demo_run.workbook import Sheet
from local_cloud import control

NAMESPACE = {"m": workbook.MAIN}


def cells(path: Path, sheet: int) -> list[list[str]]:
    """The texts of a sheet, row by row, by another reader than the command line's."""
    with zipfile.ZipFile(path) as archive:
        root = ElementTree.fromstring(archive.read(f"xl/worksheets/sheet{sheet}.xml"))
    return [["".join(cell.itertext()) for cell in row.findall("m:c", NAMESPACE)] for row in root.iterfind(".//m:row", NAMESPACE)]


class WorkbookTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def test_what_is_written_is_there_and_is_xml(self) -> None:
        path = self.folder / "a.xlsx"
        workbook.write(path, [Sheet('A & "B"', [["007", 7], [], ["<x>"]]), Sheet("C", [])])
        self.assertEqual([["007", "7"], [], ["<x>"]], cells(path, 1))
        with zipfile.ZipFile(path) as archive:
            self.assertIsNone(archive.testzip())
            names = [sheet.get("name") for sheet in ElementTree.fromstring(archive.read("xl/workbook.xml")).iterfind(".//m:sheet", NAMESPACE)]
            for member in archive.namelist():
                ElementTree.fromstring(archive.read(member))
        self.assertEqual(['A & "B"', "C"], names)

    def test_the_ids_are_as_difficult_as_is_said(self) -> None:
        with mock.patch.object(ids, "FOLDER", self.folder):
            made = ids.make(6_000)
            again = ids.make(6_000)
        self.assertEqual(made, again)
        self.assertEqual(6_000, made.count)
        self.assertEqual(6_000 - 6_000 // ids.REPEATED, len(made.rows))
        self.assertEqual({17}, set(map(len, made.rows)))
        self.assertGreater(sum(one.startswith("0") for one in made.rows), 2_000)
        self.assertGreater(sum(int(one) > 2**53 for one in made.rows), 2_000)
        self.assertEqual("00001", made.rows[ids.id_of(0)]["branch"])
        first, second = cells(made.path, 1), cells(made.path, 2)
        self.assertEqual((["id", "branch", "name"], [ids.TITLE], ["name", "id", "branch"]), (first[0], second[0], second[2]))
        written = [row[0] for row in first[1:]] + [row[1] for row in second[3:]]
        self.assertEqual((6_000, set(made.rows)), (len(written), set(written)))

    @unittest.skipUnless(reprocess.TRANSLOAD.is_file(), "the command line is not built: run scripts/build")
    def test_the_command_line_reads_every_digit_of_it(self) -> None:
        with mock.patch.object(ids, "FOLDER", self.folder):
            made = ids.make(6_000)
        command = [str(reprocess.TRANSLOAD), "merge", str(made.path), "-o", "-", "--add", "processed=false"]
        done = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.defpath}, check=True)
        header, *lines = done.stdout.splitlines()
        self.assertEqual("id,branch,name,processed", header)
        self.assertEqual(6_000, len(lines))
        self.assertEqual({",".join(made.result(one).values()) for one in made.rows}, set(lines))


class FakeLake:
    """A bucket in memory."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    def keys(self, prefix: str) -> list[str]:
        return sorted(key for key in self.objects if key.startswith(prefix))

    def read(self, key: str) -> bytes:
        return self.objects[key]


class ReadTest(unittest.TestCase):
    def test_objects_lines_and_strangers_are_told_apart(self) -> None:
        bundle = gzip.compress(b'{"run":3,"key":{"id":{"S":"b"}},"output":{"id":"b"}}\n{"run":3,"key":{"id":{"S":"c"}},"output":1}\n')
        objects = {
            "reprocessed/table=transload-ids/a%2F1.json": b'{"id":"a/1"}', "reprocessed/table=transload-ids/lane=00/b..c-1.jsonl.gz": bundle, "reprocessed/table=transload-ids/a/b.json": b"{}",
            "reprocessed/table=transload-ids/readme": b"", "unprocessed/reprocess/d.json": b"{}", "changes/x": b"",
        }  # fmt: skip
        stack = mock.Mock(lake=FakeLake(objects), runs=lambda: [], lane=dict)
        with mock.patch.object(reprocess, "scan", lambda _session, _table: iter([{"id": "a/1"}])):
            found = reprocess.read(stack, {}, 0)
        self.assertEqual({"a/1": {"id": "a/1"}}, found.objects)
        name = "reprocessed/table=transload-ids/lane=00/b..c-1.jsonl.gz"
        self.assertEqual([Line(name, 3, "b", {"id": "b"}), Line(name, 3, "c", 1)], found.lines)
        self.assertEqual({"reprocessed/table=transload-ids/a/b.json", "reprocessed/table=transload-ids/readme", "unprocessed/reprocess/d.json"}, set(found.strangers))
        self.assertEqual({"a/1": {"id": "a/1"}}, found.items)

    def test_a_drain_or_schedule_that_stands_still_is_a_problem(self) -> None:
        clock = iter(range(0, 10_000, 10))
        stack = mock.Mock(pending=lambda: 7)
        with (
            mock.patch.object(reprocess.time, "monotonic", lambda: next(clock)), mock.patch.object(reprocess.time, "sleep"),
            mock.patch.object(reprocess, "Progress"), self.assertRaisesRegex(control.Problem, "no item was processed for 60 seconds; 7 are pending"),
        ):  # fmt: skip
            reprocess.follow(stack, "drain", 10, lambda _done: False)

    def test_the_function_of_the_drain_is_killed_once_and_in_the_middle(self) -> None:
        pending, statuses = iter([14_000, 14_000, 13_000, 12_000, 11_000, 0]), iter(["RUNNING", "RUNNING", "RUNNING", "SUCCEEDED"])
        machines = mock.Mock(describe_execution=lambda **_: {"status": next(statuses), "output": "{}"}, start_execution=lambda **_: {"executionArn": "x"})
        stack = mock.Mock(pending=lambda: next(pending), processes=lambda: [1, 2], outputs={"DrainMachineArn": "m"})
        stack.session.client = lambda _service: machines
        with mock.patch.object(reprocess.time, "sleep"), mock.patch.object(reprocess, "Progress"), mock.patch.object(reprocess.os, "kill") as kill:
            self.assertEqual(({}, 2), reprocess.drain(stack, 19_000))
        self.assertEqual([mock.call(1, signal.SIGKILL), mock.call(2, signal.SIGKILL)], kill.call_args_list)

    def test_a_drain_that_fails_is_a_problem(self) -> None:
        failed = {"status": "FAILED", "error": "Drain.LaneFailed", "cause": "why"}
        machines = mock.Mock(describe_execution=lambda **_: failed, start_execution=lambda **_: {"executionArn": "x"})
        stack = mock.Mock(pending=lambda: 1, outputs={"DrainMachineArn": "m"}, session=mock.Mock(client=lambda _: machines))
        with mock.patch.object(reprocess, "Progress"), self.assertRaisesRegex(control.Problem, "FAILED: Drain.LaneFailed: why"):
            reprocess.drain(stack, 10)

    def test_a_command_that_fails_ends_the_demo(self) -> None:
        with mock.patch.object(reprocess, "TRANSLOAD", "/bin/false"), mock.patch.object(reprocess, "FOLDER", Path("/")), mock.patch("builtins.print"):
            with self.assertRaisesRegex(control.Problem, "`transload merge` ended with 1"):
                reprocess.command("merge")


class FaultsTest(unittest.TestCase):
    """A right outcome has no fault, and each wrong one is found."""

    def setUp(self) -> None:
        rows = {f"{number:05}": {"id": f"{number:05}", "name": "n"} for number in range(CAP + 3)}
        self.ids = Ids(Path("x.xlsx"), {"a": len(rows)}, rows)
        by_schedule, by_drain = list(rows)[:CAP], list(rows)[CAP:]
        self.drained = by_drain
        # The first of the drain's ids is in two bundles; the older line says something else.
        lines = [Line("b1", 2, by_drain[0], {"old": "word"}), *(Line("b2", 3, one, self.ids.result(one)) for one in by_drain)]
        self.right = Reprocessed(
            items={one: self.ids.item(one) for one in rows}, objects={one: self.ids.result(one) for one in by_schedule}, lines=lines, strangers=[],
            runs=[{"items_taken": CAP, "items_done": CAP, "items_left": 3}, {"items_taken": 3, "items_done": 3}],
            drain={"lanes": [{"lane": 0, "drained": True}], "failed": 0, "set_aside": 0}, lane={"total_done": CAP + 3, "total_set_aside": 0}, killed=0,
        )  # fmt: skip

    def found(self, **wrong: Any) -> str:
        return "\n".join(faults(self.ids, dataclasses.replace(self.right, **wrong)))

    def test_nothing_is_found_where_all_is_right(self) -> None:
        self.assertEqual("", self.found())
        self.assertEqual((1, 0), (self.right.repeated_lines(), self.right.in_both()))

    def test_the_highest_run_is_what_counts_wherever_its_line_stands(self) -> None:
        self.assertEqual("", self.found(lines=list(reversed(self.right.lines))))
        first = self.right.lines[0]
        wrong = self.found(lines=[*self.right.lines, dataclasses.replace(first, run=4)])
        self.assertIn("last words of the bundles: 1 are not what they should be, such as 05000", wrong)

    def test_a_result_that_is_missing_or_of_no_id_or_another(self) -> None:
        self.assertIn("1 ids have no result, such as 05001", self.found(lines=[line for line in self.right.lines if line.id != "05001"]))
        objects = self.right.objects
        self.assertIn("1 ids have no result, such as 00007", self.found(objects={one: result for one, result in objects.items() if one != "00007"}))
        self.assertIn("objects of single items: 1 are of no id of the workbook, such as 7", self.found(objects=objects | {"7": {}}))
        self.assertIn("last words of the bundles: 1 are of no id of the workbook, such as 7", self.found(lines=[*self.right.lines, Line("b", 1, "7", {})]))
        self.assertIn("objects of single items: 1 are not what they should be, such as 00007", self.found(objects=objects | {"00007": self.ids.item("00007")}))
        self.assertIn("such as unprocessed/x", self.found(strangers=["unprocessed/x"]))

    def test_an_item_that_is_missing_or_too_much_or_not_done(self) -> None:
        items = self.right.items
        self.assertIn("items of the table: 1 are missing, such as 00000", self.found(items={one: item for one, item in items.items() if one != "00000"}))
        self.assertIn("items of the table: 1 are of no id of the workbook, such as 0", self.found(items=items | {"0": {}}))
        for wrong in (self.ids.result("00001"), self.ids.item("00001") | {"processed_tries": 1}, {"id": "1"}):
            self.assertIn("items of the table: 1 are not what they should be, such as 00001", self.found(items=items | {"00001": wrong}))

    def test_runs_that_take_too_much_or_tell_too_little(self) -> None:
        first, second = self.right.runs
        self.assertIn("a run took 5,001 items", self.found(runs=[first, second | {"items_taken": CAP + 1}]))
        for wrong in ([], [second, first], [first | {"items_left": 2}, second]):
            self.assertIn("taken, done and left by the schedule's run", self.found(runs=wrong))

    def test_a_drain_that_did_not_end_well(self) -> None:
        lane = {"lane": 0, "drained": False}
        self.assertIn("did not drain every lane", self.found(drain=self.right.drain | {"lanes": [lane]}))
        self.assertIn("did not drain every lane", self.found(drain={}))
        self.assertIn("items that set aside: 1", self.found(drain=self.right.drain | {"set_aside": 1}))
        self.assertIn("the ledger counts 1 items done, expected 5,003", self.found(lane={"total_done": 1}))
        self.assertEqual("", self.found(lane={"total_done": 1}, killed=1))
        self.assertIn("expected 5,003 or fewer", self.found(lane={"total_done": CAP + 4}, killed=1))

    def test_a_wrong_outcome_is_one_of_the_verdict(self) -> None:
        with mock.patch("builtins.print") as printed:
            self.assertEqual(["it is wrong"], reprocess_report.verdict(self.ids, self.right, ["it is wrong"]))
            said = " ".join(str(call.args[0]) for call in printed.call_args_list)
        self.assertIn("WRONG", said)
        self.assertNotIn("right", said)


class ReportTest(unittest.TestCase):
    def test_spans_of_time_and_counts_are_readable(self) -> None:
        self.assertEqual(["unknown", "59 s", "1 min 00 s", "2 h 05 min"], [reprocess_report.duration(seconds) for seconds in (None, 59, 60, 7_500)])
        texts = [reprocess_report.left(run) for run in ({}, {"items_left": 1_000, "items_left_exact": True}, {"items_left": 9, "items_left_exact": False})]
        self.assertEqual(["-", "1,000", "9 or more"], texts)

    def test_runs_of_the_log_are_those_that_took_something(self) -> None:
        said = " INFO invoke{requestId=\"a=1\"}: pending items reprocessed lanes=1 items_taken=5 items_left_exact=true eta_drain_seconds=7"
        events = ["START RequestId: 1", said, said.replace("taken=5", "taken=0")]
        stack = reprocess.Stack(mock.Mock(), {"LakeBucket": "lake", "ReprocessorFunction": "f"}, 1)
        stack.session.client.return_value.get_paginator.return_value.paginate.return_value = [{"events": [{"message": text} for text in events]}]
        self.assertEqual([{"lanes": 1, "items_taken": 5, "items_left_exact": True, "eta_drain_seconds": 7}], stack.runs())


if __name__ == "__main__":
    unittest.main()
