"""The scan's state machine: a table without point-in-time recovery, read in segments by a function that is killed meanwhile."""

from __future__ import annotations

import gzip
import json
import time
import unittest

from change_log_sql import state
from export_items import comparable_item, held, key_of, parsed, plain_item
from export_support import Exporting, stack
from support import configured

from scripts.change_log import connect

ITEMS = 20_000
SEGMENTS = 8
# Those of the newest scan.
OWN_ROWS = "select count(*), list(distinct source) from changes where snapshot_time = (select max(snapshot_time) from changes)"


class Scan(Exporting):
    def setUp(self) -> None:
        super().setUp()
        self.exporter = stack("scanned", ITEMS)
        self.scan = f"scan-{time.time_ns()}"

    def test_promise_1_a_table_without_recovery_is_read_once_as_json_lines_though_the_function_is_killed(self) -> None:
        with self.exporter.killed_at_work("TableScannerFunction") as killed:
            report = self.exporter.run_until_whole("ScanMachineArn", scan=self.scan, segments=SEGMENTS)
        self.assertGreaterEqual(len(killed), 1)
        self.assertEqual(("COMPLETED", False, ITEMS), (report["status"], report["snapshot"], report["rows"]))
        folder = self.exporter.window_folder(f"scan-{self.scan}")
        names = self.exporter.keys(folder)
        rows = self.exporter.rows(report["job"])
        self.assertEqual(SEGMENTS, sum(row["kind"] == "scan-segment" for row in rows.values()))
        self.assertEqual({"COMPLETED"}, {row["processing_status"] for row in rows.values()})
        self.assertEqual(report["objects"], len(names) - 1)
        lines = [line for name in names if name.endswith(".jsonl.gz") for line in gzip.decompress(self.exporter.read(name)).decode().splitlines()]
        self.assertEqual(ITEMS, len(lines))
        found = {(one["shop"], one["number"]): one for one in map(parsed, lines)}
        self.assert_same({key: plain_item(one) for key, one in held(self.exporter.table).items()}, found)
        self.assertIs(False, json.loads(self.exporter.read(f"{folder}_SUCCESS.json"))["snapshot"])

    # Its time is over again and again, so that segments are made of the objects of several invocations.
    def test_promise_5_a_scan_whose_time_is_over_goes_on_as_lines_of_the_change_log(self) -> None:
        with configured(self.exporter.outputs["TableScannerFunction"], timeout=3), self.exporter.killed_at_work("TableScannerFunction") as killed:
            report = self.exporter.run_until_whole("ScanMachineArn", scan=self.scan, segments=SEGMENTS, format="changes", read_units=400)
        self.assertGreaterEqual(len(killed), 1)
        self.assertEqual(("COMPLETED", ITEMS), (report["status"], report["rows"]))
        self.assertGreater(report["objects"], SEGMENTS)
        self.exporter.fetch(self.folder, f"changes/table={self.exporter.table}/")
        connection = connect(self.folder / f"changes/table={self.exporter.table}")
        self.addCleanup(connection.close)
        found = {key_of(one): comparable_item(one) for one in map(json.loads, state(connection).values())}
        self.assert_same({key: comparable_item(one) for key, one in held(self.exporter.table).items()}, found)
        ((count, sources),) = connection.execute(OWN_ROWS).fetchall()
        self.assertEqual((ITEMS, ["scan"]), (count, sources))


if __name__ == "__main__":
    unittest.main()
