"""The export's state machine: a whole table and what changes in it, as JSON Lines, however often its functions are killed."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import unittest

from export_items import held, item, plain_item, recover, write
from export_reading import merged_lines
from export_support import Exporter, Exporting, stack, succeeded
from reprocess_support import in_background
from support import client, eventually

ITEMS = 200_000
# Those that users insert have the numbers from ITEMS on.
NUMBERS = 203_000
FULL = {"type": "full", "window": "first", "restart_chain": True}


class Users:
    """Changes, inserts and deletes items, each time others."""

    def __init__(self, exporter: Exporter) -> None:
        self.exporter = exporter
        self.choice = random.Random(5)
        self.version = 0
        self.changes = 0

    def change(self) -> None:
        """Some changes, of which no two are of the same item."""
        self.version += 1
        # Half of them among a few items, which are changed again and again.
        numbers = self.choice.sample(range(600), 90) + self.choice.sample(range(600, NUMBERS), 90)
        self.choice.shuffle(numbers)
        write(self.exporter.table, (item(number, self.version) for number in numbers[:120]), (item(number) for number in numbers[120:]))
        self.changes += len(numbers)

    def live(self, over: threading.Event) -> None:
        """Changes items until it is over."""
        while not over.wait(0.15):
            self.change()


class WholeTable(Exporting):
    def test_promise_9_full_and_incremental_exports_make_the_table_though_functions_are_killed(self) -> None:
        exporter = stack("exported", ITEMS, "ExportConcurrency=8")
        recover(exporter.table)
        users = Users(exporter)
        self.fail_once(exporter)
        with in_background(users.live), exporter.killed_at_work("ExportTransformerFunction", "ExportPollerFunction") as killed:
            report = exporter.run_until_whole(**FULL)
        self.assertEqual((ITEMS, ITEMS), (report["items"], report["rows_written"]))
        self.assertGreater(report["files"], 20)
        self.check_ledger(exporter, report)
        self.assertGreaterEqual(len(killed), 1)

        with in_background(users.live), exporter.killed_at_work("ExportTransformerFunction", "ExportPollerFunction") as killed_again:
            exporter.catch_up()
        self.assertGreaterEqual(len(killed_again), 1)
        for _ in range(10):
            users.change()
        last = exporter.catch_up(windows=2)
        self.assertGreaterEqual(last["windows"], 2)
        self.assertGreater(users.changes, 3_000)

        windows = {row["window"] for row in self.windows(exporter)}
        self.assertEqual(len(windows), len(exporter.exports()), "each window was exported once")
        exporter.fetch(self.folder, f"tables/{exporter.table}/")
        table = {key: plain_item(one) for key, one in held(exporter.table).items()}
        self.assertGreater(len(table), 190_000)
        self.assert_same(table, merged_lines(self.folder))

    def fail_once(self, exporter: Exporter) -> None:
        """Has the machine fail in the middle, with the poller killed whenever it is there, and say with what it is started again."""
        execution = exporter.start(**FULL)
        job = f"export/{exporter.table}/full-first"
        eventually(lambda: exporter.rows(job).get("export", {}).get("export_arn"), "the export has begun", 30)
        over = threading.Event()

        def kill() -> None:
            while not over.wait(0.01):
                for process in exporter.processes("ExportPollerFunction"):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)

        thread = threading.Thread(target=kill, daemon=True)
        thread.start()
        try:
            described = exporter.ended(execution)
        finally:
            over.set()
            thread.join()
        self.assertEqual(("FAILED", "Export.Interrupted"), (described["status"], described.get("error")), described)
        self.assertIn(f'"window":"{FULL["window"]}"', described["cause"].replace(" ", ""))

    def windows(self, exporter: Exporter) -> list[dict]:
        """The rows of the windows that are in the lake, each of which is whole."""
        names = {key.split("/")[2].removeprefix("tl_export=") for key in exporter.keys(f"tables/{exporter.table}/")}
        rows = [exporter.rows(f"export/{exporter.table}/{name}")["export"] for name in names]
        self.assertEqual({"COMPLETED"}, {row["processing_status"] for row in rows})
        return rows

    def check_ledger(self, exporter: Exporter, report: dict) -> None:
        """The rows of the files add up, and say that some were begun anew."""
        files = exporter.files(report["job"])
        self.assertEqual(report["files"], len(files))
        self.assertEqual({"COMPLETED"}, {row["processing_status"] for row in files.values()})
        for name in ("item_count", "rows_read", "rows_written"):
            self.assertEqual(ITEMS, sum(row[name] for row in files.values()), name)
        written = {one["key"]: one["bytes"] for row in files.values() for one in row.get("objects", [])}
        folder = exporter.window_folder(report["window"])
        self.assertEqual(sorted([*written, f"{folder}_SUCCESS.json"]), sorted(exporter.keys(folder)))


class Beginning(Exporting):
    def test_promise_9_the_same_window_started_twice_at_once_is_one_export(self) -> None:
        exporter = stack("shapes", 1_000, "ExportConcurrency=3")
        recover(exporter.table)
        before = set(exporter.exports())
        executions = [exporter.start(type="full", window=spelling) for spelling in ("2026-01-03T04:00:00Z", "2026-01-03T05:00:00+01:00")]
        reports = [exporter.ended(execution) for execution in executions]
        self.assertEqual(["SUCCEEDED"] * 2, [described["status"] for described in reports], reports)
        self.assertEqual(1, len(set(exporter.exports()) - before))
        self.assertEqual(1, sum(len(exporter.map_runs(execution)) for execution in executions), "one went through the files")
        folder = exporter.window_folder("full-20260103T040000Z")
        rows = exporter.rows(f"export/{exporter.table}/full-20260103T040000Z")
        written = [one["key"] for row in rows.values() for one in row.get("objects", [])]
        self.assertEqual(sorted([*written, f"{folder}_SUCCESS.json"]), sorted(exporter.keys(folder)))
        # And once more, when all is done: nothing is done again.
        self.assertEqual("completed", exporter.run(type="full", window="2026-01-03T04:00:00Z")["state"])
        self.assertEqual((1, rows), (len(set(exporter.exports()) - before), exporter.rows(f"export/{exporter.table}/full-20260103T040000Z")))

    # Red when both go through the files, or when nobody takes over what a stopped execution has left.
    def test_promise_9_one_execution_works_on_the_files_and_the_next_takes_over_when_it_was_stopped(self) -> None:
        exporter = stack("shapes", 1_000, "ExportConcurrency=3")
        recover(exporter.table)
        for window, is_stopped in (("held", False), ("taken-over", True)):
            with self.subTest(window):
                event = {"type": "full", "window": window}
                job = f"export/{exporter.table}/full-{window}"
                with exporter.held_up("ExportTransformerFunction"):
                    first = exporter.start(**event)
                    eventually(lambda first=first: exporter.map_runs(first), "the first one is in its map", 60)
                    second = exporter.start(**event)
                    told = succeeded(exporter.ended(second, 60))
                    self.assertEqual(("elsewhere", first, job, 0), tuple(told[name] for name in ("state", "execution", "job", "windows")))
                    self.assertEqual(first, exporter.rows(job)["export"]["execution"])
                    if is_stopped:
                        client("stepfunctions").stop_execution(executionArn=first)
                worker = exporter.start(**event) if is_stopped else first
                report = succeeded(exporter.ended(worker))
                self.assertEqual(("completed", "COMPLETED", 1_000), tuple(report[name] for name in ("state", "status", "items")))
                self.assertEqual(worker, exporter.rows(job)["export"]["execution"])
                self.assertEqual(([], 1), (exporter.map_runs(second), len(exporter.map_runs(worker))))
                if not is_stopped:
                    begun_again = {name: row["retry_count"] for name, row in exporter.files(job).items() if row["retry_count"]}
                    self.assertEqual({}, begun_again, "each file was begun once")

    def test_promise_11_a_table_without_recovery_is_refused_with_the_command_that_turns_it_on(self) -> None:
        exporter = stack("scanned", 20_000)
        described = exporter.ended(exporter.start(type="full", window="never"))
        self.assertEqual(("FAILED", "Export.NotBegun"), (described["status"], described.get("error")))
        for fragment in (
            f"point-in-time recovery of the table {exporter.table} is off", "expected it on",
            f"aws dynamodb update-continuous-backups --table-name {exporter.table}", "the scan machine reads the table itself",
        ):  # fmt: skip
            self.assertIn(fragment, described["cause"])
        self.assertEqual([], exporter.exports())


if __name__ == "__main__":
    unittest.main()
