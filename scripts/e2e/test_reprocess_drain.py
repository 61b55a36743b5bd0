"""The drain: lanes of sharded markers, bundles that DuckDB reads, and any number of drains at once."""

from __future__ import annotations

import json
import random
import threading
import unittest
import uuid
from functools import cache

from reprocess_support import MARKER, Item, Reprocessor, count, deployed, in_background, result_of
from support import client, eventually

STACK = "lanes"
LANES = 3
MAPPING = {"shards": {MARKER: {"from": "offer_id", "count": LANES, "format": "false#{shard:02}"}}}


@cache
def lanes() -> Reprocessor:
    """The function of a stack with three lanes, whose schedule is off."""
    markers = (f"{name}Marker={text}#{{shard:02}}" for name, text in (("Pending", "false"), ("Done", "true"), ("Failed", "failed")))
    outputs = deployed(STACK, f"Lanes={LANES}", *markers, "ReprocessState=DISABLED", "DrainSweepSeconds=1", "LeaseSeconds=10", "SettleSeconds=2")
    # Nobody looks at this table's change log.
    functions = client("lambda")
    (log,) = functions.list_event_source_mappings(FunctionName=outputs["StreamWriterFunction"])["EventSourceMappings"]
    functions.update_event_source_mapping(UUID=log["UUID"], Enabled=False)
    return Reprocessor(outputs)


def shard_of(item: Item) -> str:
    """`00` of `true#00`."""
    return item[MARKER]["S"].partition("#")[2]


class Drain(unittest.TestCase):
    maxDiff = 4_000

    def setUp(self) -> None:
        self.choice = random.Random(17)
        self.account = f"drain-{uuid.uuid4().hex[:6]}"
        self.stack = lanes()

    def ingest(self, rows: int) -> None:
        """Rows of a CSV file, whose mapping adds the markers, through the inbox into the table."""
        text = "".join(f"{self.account},o{number:05},{number}\n" for number in range(rows))
        client("s3").put_object(
            Bucket=self.stack.outputs["InboxBucket"], Key=f"{self.account}.csv", Body=f"account,offer_id,n\n{text}".encode(),
            Metadata={"transload-mapping": "markers.json"},
        )  # fmt: skip
        eventually(lambda: len(self.stack.items(self.account)) == rows, "every row is an item", 30)

    def assert_drained(self, wanted: int) -> None:
        """Each item is done in its lane, and its last word in the bundles is its last state."""
        items = self.stack.items(self.account)
        markers = count(item[MARKER]["S"] for item in items.values())
        self.assertEqual({f"true#{lane:02}" for lane in range(LANES)}, markers.keys())
        self.assertEqual(wanted, sum(markers.values()))
        said, self.lines = self.stack.last_words()
        own = {key: output for key, output in said.items() if key[0] == self.account}
        self.assertEqual(items.keys(), own.keys())
        expected = {key: result_of(item, f"false#{shard_of(item)}") for key, item in items.items()}
        wrong = {key: (output, expected[key]) for key, output in own.items() if output != expected[key]}
        self.assertEqual({}, wrong)

    def totals(self) -> int:
        """Items that were done, by the ledger."""
        return sum(row["total_done"] for row in self.stack.lane_rows().values())

    def test_promise_8_two_drains_at_once_do_each_item_once_and_bundles_tell_the_table(self) -> None:
        rows = 900
        client("s3").put_object(Bucket=self.stack.lake, Key="mappings/markers.json", Body=json.dumps(MAPPING).encode())
        self.ingest(rows)
        before = self.totals()
        reports = [self.stack.drained(drain) for drain in [self.stack.start_drain(limit=100), self.stack.start_drain(limit=100)]]
        for report in reports:
            self.assertEqual(list(range(LANES)), [lane["lane"] for lane in report["lanes"]])
            self.assertTrue(all(lane["drained"] for lane in report["lanes"]), report)
            for name in ("runs", "taken", "done", "skipped", "failed", "set_aside"):
                self.assertEqual(report[name], sum(lane[name] for lane in report["lanes"]), name)
            self.assertEqual((0, 0, report["taken"]), (report["failed"], report["set_aside"], report["done"] + report["skipped"]))
        self.assertEqual(rows, sum(report["done"] for report in reports))
        self.assertEqual(rows, self.totals() - before)
        self.assert_drained(rows)
        rows_of_lanes = self.stack.lane_rows()
        self.assertEqual([f"lane-{lane:02}" for lane in range(LANES)], sorted(rows_of_lanes))
        self.assertEqual({"COMPLETED": LANES}, count(row["processing_status"] for row in rows_of_lanes.values()))

    # Red when the lines of two runs bear one number, or when an item is marked though its bundle was not stored.
    def test_promise_8_the_highest_run_of_a_key_is_its_last_state_though_runs_are_killed(self) -> None:
        items = 240
        shards = [f"{number % LANES:02}" for number in range(items)]
        key = lambda number: {"account": {"S": self.account}, "offer_id": {"S": f"o{number:05}"}}
        self.stack.put([key(number) | {MARKER: {"S": f"false#{shards[number]}"}, "n": {"N": "0"}} for number in range(items)])
        changes = []

        def users(over: threading.Event) -> None:
            while not over.wait(0.01):
                number = self.choice.randrange(20 if self.choice.random() < 0.7 else items)
                changes.append(number)
                self.stack.change(key(number), n={"N": str(len(changes))}, **{MARKER: {"S": f"false#{shards[number]}"}})

        with in_background(users), self.stack.killed_again_and_again(self.choice) as killed:
            drain = self.stack.start_drain(limit=40)
            eventually(lambda: len(killed) >= 6, "six runs were killed", 60)
        self.stack.drained(drain)
        self.assert_drained(items)
        self.assertGreater(self.lines, items, "items that were changed are in more than one bundle")


if __name__ == "__main__":
    unittest.main()
