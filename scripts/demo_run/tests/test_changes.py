"""What the demo does with the change log: fetches it, asks the views, finds what is wrong, kills what works."""

from __future__ import annotations

import dataclasses
import gzip
import json
import signal
import subprocess
import sys
import tempfile
import time
import unittest
from decimal import Decimal
from pathlib import Path
from typing import Any
from unittest import mock

from demo_run import changes, killing, report
from demo_run.accounting import ChangeLog, Load, Outcome, log_faults
from demo_run.changes import Copy
from demo_run.expected import Rules, expect

# In the order of the table's keys, which is not that of their names.
RULES = Rules(keys=("z", "a"), numbers=frozenset({"n"}))
FOLDER = "source=stream/dt=2026-01-14/hour=10"


def line(sequence: int, kind: str, z: str, a: str, n: str | None = None) -> dict[str, Any]:
    """A record of the stream."""
    keys = {"a": {"S": a}, "z": {"S": z}}
    image = {} if n is None else {"NewImage": keys | {"n": {"N": n}}}
    change = {"ApproximateCreationDateTime": 1768384800.0, "Keys": keys, **image, "SequenceNumber": str(sequence)}
    return {"eventID": f"e{sequence}", "eventName": kind, "dynamodb": change, "eventSourceARN": "arn:aws:dynamodb:r:1:table/t/stream/l"}


class FakeLake:
    """A bucket in memory that tells what was read."""

    def __init__(self) -> None:
        self.bucket = "lake"
        self.objects: dict[str, bytes] = {}
        self.reads: list[str] = []

    def put(self, name: str, *lines: dict[str, Any]) -> None:
        text = "".join(f"{json.dumps(line)}\n" for line in lines)
        self.objects[f"changes/table=t/{FOLDER}/{name}.jsonl.gz"] = gzip.compress(text.encode())

    def keys(self, prefix: str) -> list[str]:
        return [key for key in self.objects if key.startswith(prefix)]

    def read(self, key: str) -> bytes:
        self.reads.append(key)
        return self.objects[key]


class ReadTest(unittest.TestCase):
    """From objects to what the views say."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.lake = FakeLake()
        self.load = Load(Path("x.csv"), {"TableName": "t"}, RULES, expect([], RULES))
        self.copy = Copy(self.lake, self.load.changes_folder(), Path(folder.name))

    def test_a_change_in_two_objects_is_seen_once_and_the_last_one_of_a_key_is_its_item(self) -> None:
        first = line(9, "INSERT", "z1", "a1", "1")
        self.lake.put("1", first, line(10, "MODIFY", "z1", "a1", "2.50"))
        self.lake.put("2", first, line(11, "INSERT", "z2", "a2", "3"), line(12, "REMOVE", "z2", "a2"))
        self.copy.refresh()
        log = changes.ask(self.copy, self.load, 0, 0)
        self.assertEqual((2, 5, 4), (log.objects, log.lines, log.seen()))
        self.assertEqual({"INSERT": 2, "MODIFY": 1, "REMOVE": 1}, log.changes)
        self.assertEqual({("z1", "a1"): {"z": "z1", "a": "a1", "n": Decimal("2.5")}}, log.items)
        self.assertEqual(1, log.states)
        self.assertEqual(sum(map(len, self.lake.objects.values())), log.bytes)

    def test_objects_are_fetched_once_and_new_ones_are_noticed(self) -> None:
        self.assertFalse(self.copy.refresh())
        self.lake.put("1", line(1, "INSERT", "z", "a", "1"))
        self.assertTrue(self.copy.refresh())
        self.assertFalse(self.copy.refresh())
        self.assertEqual(1, len(self.lake.reads))

    def test_a_table_of_a_longer_name_is_another_one(self) -> None:
        self.lake.objects["changes/table=t2/x.jsonl.gz"] = gzip.compress(b"{}\n")
        self.assertFalse(self.copy.refresh())

    def test_waiting_goes_on_while_changes_come_and_doubles_are_no_progress_towards_the_end(self) -> None:
        self.lake.put("0", line(0, "INSERT", "z", "a", "1"), line(0, "INSERT", "z", "a", "1"))

        def sleep(_seconds: float) -> None:
            self.lake.put("1", line(1, "INSERT", "z", "b", "1"))

        with mock.patch.object(changes.time, "sleep", sleep), mock.patch.object(changes, "Progress"):
            changes.follow(self.copy, 2)
        self.assertEqual({"e0", "e1"}, self.copy.event_ids)

    def test_waiting_ends_where_nothing_comes(self) -> None:
        clock = iter(range(0, 10_000, 10))
        with mock.patch.object(changes.time, "sleep"), mock.patch.object(changes, "Progress"), mock.patch.object(changes.time, "monotonic", lambda: next(clock)):
            changes.follow(self.copy, 1)
        self.assertLess(next(clock), 200)


class LogFaultsTest(unittest.TestCase):
    """A right log has no fault, and each wrong one is found."""

    def setUp(self) -> None:
        expected = expect([{"z": "z", "a": name, "n": str(n)} for n, name in enumerate("abb")], RULES)
        # Two rows of a key in two runs: both are written.
        expected = dataclasses.replace(expected, written=3, superseded=0)
        self.load = Load(Path("x.csv"), {}, RULES, expected)
        items = {("z", "a"): {"n": Decimal(0)}, ("z", "b"): {"n": Decimal(2)}}
        self.outcome = Outcome(3, 3, 0, 0, 0.0, 1, items, 3, 1, [], 0)
        self.right = ChangeLog(objects=1, bytes=1, lines=4, changes={"INSERT": 2, "MODIFY": 1}, states=2, items=dict(items), set_aside=0, killed=1)

    def found(self, **wrong: object) -> str:
        return "\n".join(log_faults(self.load, self.outcome, dataclasses.replace(self.right, **wrong)))

    def test_nothing_is_found_where_all_is_right(self) -> None:
        self.assertEqual("", self.found())

    def test_changes_that_are_missing_or_too_many(self) -> None:
        self.assertIn("insertions in the log: 1, expected 2", self.found(changes={"INSERT": 1, "MODIFY": 1}))
        self.assertIn("updates in the log: 2, expected 1", self.found(changes={"INSERT": 2, "MODIFY": 2}))
        self.assertIn("neither: 1, expected 0", self.found(changes={"INSERT": 2, "MODIFY": 1, "REMOVE": 1}))
        self.assertIn("lines in the log: 2, expected 3 or more", self.found(lines=2))
        self.assertIn("set aside: 1", self.found(set_aside=1))

    def test_items_that_are_missing_or_too_many_or_others(self) -> None:
        a, b = ("z", "a"), ("z", "b")
        held = self.right.items
        self.assertIn("items by the log: 3, expected 2", self.found(states=3))
        self.assertIn("such as z b", self.found(items={a: held[a]}))
        self.assertIn("such as z c", self.found(items=held | {("z", "c"): held[a]}))
        self.assertIn("1 items are not by the log what they are in the table, such as z b", self.found(items=held | {b: {"n": "2"}}))


    def test_a_wrong_log_is_a_fault_of_the_verdict(self) -> None:
        with mock.patch.object(report, "faults", lambda _load, _outcome: []), mock.patch("builtins.print"):
            self.assertEqual([], report.verdict([self.load], [self.outcome], self.right))
            self.assertEqual(1, len(report.verdict([self.load], [self.outcome], dataclasses.replace(self.right, set_aside=1))))


class KillingTest(unittest.TestCase):
    """Only a process that works is killed, and not more of them than was said."""

    def process(self, program: str) -> subprocess.Popen[bytes]:
        started = subprocess.Popen([sys.executable, "-c", f"print(flush=True)\n{program}"], stdout=subprocess.PIPE)
        self.addCleanup(started.stdout.close)
        self.addCleanup(started.wait)
        self.addCleanup(started.kill)
        started.stdout.readline()
        return started

    def test_a_process_at_work_is_killed_and_one_that_waits_is_not(self) -> None:
        idle, busy = self.process("import time; time.sleep(60)"), self.process("while True: pass")
        with killing.killed_at_work(lambda: [idle.pid, busy.pid]) as killed:
            self.assertEqual(-signal.SIGKILL, busy.wait(timeout=20))
            time.sleep(0.2)
        self.assertEqual([busy.pid], killed)
        self.assertIsNone(idle.poll())

    def test_it_ends_after_its_last_kill_and_with_the_body(self) -> None:
        busy = [self.process("while True: pass") for _ in range(2)]
        with mock.patch.object(killing, "KILLS", 1), mock.patch.object(killing, "PAUSE_SECONDS", 0.01):
            with killing.killed_at_work(lambda: [process.pid for process in busy[: 1 if busy[0].poll() is None else 2]]) as killed:
                busy[0].wait(timeout=20)
                time.sleep(0.3)
            self.assertEqual([busy[0].pid], killed)
            self.assertIsNone(busy[1].poll())
        began = time.monotonic()
        with killing.killed_at_work(lambda: []):
            pass
        self.assertLess(time.monotonic() - began, 1)


if __name__ == "__main__":
    unittest.main()
