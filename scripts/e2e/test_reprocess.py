"""Pending items, one run after another or all at once: each is done, with its last state, or set aside with its reason."""

from __future__ import annotations

import json
import tempfile
import threading
import time
import unittest
from pathlib import Path
from typing import Any

from botocore.exceptions import ClientError
from command_line import transload
from reprocess_support import MARKER, TRIES, Reprocessing, fire_schedule, in_background, object_name, plain_json
from support import client, cloud, make_client

# The cap of every run, whatever its event says.
CAP = 5_000
# So many attributes cannot be compared in one condition, so an item with more is no match for the mark.
TOO_MANY_ATTRIBUTES = 201


class Pending(Reprocessing):
    # Red when an item is marked although it was changed after it had been read, when the mark precedes the object, or when an
    # object of an older state replaces that of a newer one.
    def test_promise_8_every_item_is_done_with_its_last_state_though_runs_overlap_and_are_killed(self) -> None:
        items, limit = 300, 50
        self.stack.put(self.pending(items))
        answers, changes = [], []

        def run(over: threading.Event) -> None:
            while not over.is_set():
                answers.append(self.stack.run(limit=limit))

        def users(over: threading.Event) -> None:
            while not over.wait(0.01):
                # Most changes are of a few items, which are pending, and under way, most of the time.
                number = self.choice.randrange(20 if self.choice.random() < 0.8 else items)
                self.stack.change(self.item_key(f"o/{number:05}"), n={"N": str(items + len(changes))})
                changes.append(number)

        with in_background(users), in_background(run, threads=2), self.stack.killed_again_and_again(self.choice) as killed:
            drains = [self.stack.start_drain(output="objects", limit=limit) for _ in range(2)]
            fire_schedule(cloud()["stack"])
            deadline = time.monotonic() + 10
            while len(killed) < 8 or time.monotonic() < deadline:
                time.sleep(0.1)
                self.assertLess(time.monotonic(), deadline + 60, f"{len(killed)} processes could be killed")
        for drain in drains:
            self.stack.drained(drain)
        self.stack.run_until_empty()

        self.assert_done(items)
        reports = [answer.payload for answer in answers if not answer.failed]
        self.assertEqual([], [report for report in reports if report["taken"] > limit])
        # It was no quiet walk: runs died, found the lane taken, and lost items to the users.
        self.assertGreater(len(answers) - len(reports), 0, "a run that was killed has no answer")
        self.assertIn("busy", [lane["ended"] for report in reports for lane in report["lanes"]])
        self.assertGreater(sum(report["skipped"] for report in reports), 0)
        self.assertGreater(len(changes), 50)

    def test_promise_8_a_run_takes_no_more_than_its_cap(self) -> None:
        self.stack.put(self.pending(CAP + 30))
        # One object for many items is quicker here.
        first = self.stack.report(limit=1_000_000, output="bundles")
        self.assertEqual((CAP, CAP, 30, True), tuple(first[name] for name in ("taken", "done", "left", "left_exact")))
        self.assertEqual("limit", first["lanes"][0]["ended"])
        # Thirty items are one more run: a period of the schedule, or some milliseconds.
        self.assertEqual(30 * 60, first["eta_on_schedule_seconds"])
        self.assertGreater(first["items_per_second"], 0)
        second = self.stack.report(limit=20)
        self.assertEqual((20, 20, 10, "limit"), (second["taken"], second["done"], second["left"], second["lanes"][0]["ended"]))
        last = self.stack.report()
        self.assertEqual((10, 0, "empty"), (last["done"], last["left"], last["lanes"][0]["ended"]))
        self.assertEqual((0, 0), (last["eta_drain_seconds"], last["eta_on_schedule_seconds"]))
        self.assertEqual({"true"}, {item[MARKER]["S"] for item in self.own_items().values()})

    def test_promise_8_poison_is_set_aside_after_three_tries_and_can_be_put_back(self) -> None:
        attributes = {f"a{number}": {"N": str(number)} for number in range(TOO_MANY_ATTRIBUTES)}
        poison = [self.item_key(f"p/{number}") | {MARKER: {"S": "false"}, "version": {"N": "1"}} | attributes for number in range(3)]
        self.stack.put(poison + self.pending(20))
        told = [self.stack.report() for _ in range(4)]
        runs = [(run["done"], run["failed"], run["set_aside"], run["left"]) for run in told]
        self.assertEqual([(20, 3, 0, 3), (0, 3, 0, 3), (0, 3, 3, 0), (0, 0, 0, 0)], runs)

        keys = [self.stack.key_of(item) for item in poison]
        items = self.own_items()
        self.assertEqual([("failed", 3)] * 3, [(items[key][MARKER]["S"], plain_json(items[key][TRIES])) for key in keys])
        for key in keys:
            name = object_name(self.stack.table, key, "unprocessed/reprocess")
            said = json.loads(self.stack.objects(name)[name])
            self.assertEqual(3, said["tries"])
            self.assertIn("VERSION_ATTRIBUTE", said["reason"])
            # As it was when its last try began.
            self.assertEqual(items[key] | {MARKER: {"S": "false"}, TRIES: {"N": "2"}}, said["item"])

        put_back = ["redrive", "--table", self.stack.table, "--index", "processed-index", "--json"]
        self.assertEqual((3, 0), self.redriven(*put_back, "--dry-run"))
        self.assertEqual(items, self.own_items())
        self.assertEqual((3, 3), self.redriven(*put_back))
        items = self.own_items()
        self.assertEqual([("false", 0)] * 3, [(items[key][MARKER]["S"], plain_json(items[key][TRIES])) for key in keys])
        with self.stack.configured(VERSION_ATTRIBUTE="version"):
            self.assertEqual((3, 0), tuple(self.stack.report()[name] for name in ("done", "failed")))
        self.assert_done(23)
        self.assertEqual({}, self.stack.objects(f"unprocessed/reprocess/table={self.stack.table}/{self.account}/"))

    def redriven(self, *arguments: str) -> tuple[int, int]:
        """How many items a run of the command line found set aside, and put back."""
        with tempfile.TemporaryDirectory() as folder:
            done = transload(Path(folder), *arguments)
        self.assertEqual(0, done.returncode, done.stderr)
        answer = json.loads(done.stdout)
        return answer["found"], answer["put_back"]

    # Red when a run goes on until the function is killed, which would leave its lane taken and nothing reported.
    def test_promise_5_a_run_whose_time_is_over_says_so_and_the_next_goes_on(self) -> None:
        measured, timeout = 150, 9
        self.stack.put(self.pending(measured))
        with self.stack.configured(CONCURRENCY="1"):
            pace = self.stack.report()["items_per_second"]
        # A run takes items for two thirds of its time; these are three runs' at the pace of this machine, however busy it is. It
        # has a second and a half then to end what is under way.
        items = max(200, 3 * pace * timeout * 2 // 3)
        self.stack.put(self.pending(measured + items)[measured:])
        with self.stack.configured(timeout=timeout, CONCURRENCY="1"):
            reports = self.stack.run_until_empty()
        ended = [report["lanes"][0]["ended"] for report in reports]
        self.assertEqual(["deadline"] * (len(reports) - 1) + ["empty"], ended)
        self.assertGreater(len(reports), 1, f"all {items} were done within six seconds: more items are needed")
        self.assertEqual(items, sum(report["done"] for report in reports))
        self.assertTrue(all(report["done"] > 0 for report in reports[:-1]), reports)
        self.assertEqual([0] * len(reports), [report["failed"] for report in reports])
        self.assert_done(measured + items)

    def test_promise_11_an_event_that_is_none_is_refused_and_changes_nothing(self) -> None:
        self.stack.put(self.pending(1))
        for event in ({"lane": 1}, {"limit": 0}, {"output": "files"}, {"lanes": [0]}):
            with self.subTest(event):
                answer = self.stack.run(**event)
                self.assertEqual((True, "Invalid"), (answer.failed, answer.payload.get("errorType")))
                self.assertIn("expected", answer.payload["errorMessage"])
        self.assertEqual({"false"}, {item[MARKER]["S"] for item in self.own_items().values()})


class Role(Reprocessing):
    def test_promise_12_the_role_may_do_its_work_and_nothing_else(self) -> None:
        role = client("lambda").get_function_configuration(FunctionName=self.stack.function)["Role"]
        granted = client("sts").assume_role(RoleArn=role, RoleSessionName="end-to-end")["Credentials"]
        credentials = (granted["AccessKeyId"], granted["SecretAccessKey"], granted["SessionToken"])
        s3, dynamodb, functions, queues = (make_client(service, *credentials) for service in ("s3", "dynamodb", "lambda", "sqs"))
        outputs, lake, table, ledger = self.stack.outputs, self.stack.lake, self.stack.table, self.stack.outputs["LedgerTable"]
        key = self.item_key("1")
        row = {"job": {"S": self.account}, "part": {"S": "lane-00"}}
        self.stack.put([key | {"n": {"N": "1"}}])
        for name in ("json-copy/secret", "changes/secret", "unprocessed/secret"):
            client("s3").put_object(Bucket=lake, Key=name, Body=b"x")

        def update(**parameters: Any) -> None:
            dynamodb.update_item(TableName=table, Key=key, UpdateExpression="SET n = :n", ExpressionAttributeValues={":n": {"N": "2"}}, **parameters)

        def query(**parameters: Any) -> None:
            dynamodb.query(
                TableName=table, KeyConditionExpression="#k = :k", ExpressionAttributeValues={":k": {"S": "x"}}, **parameters,
            )  # fmt: skip

        # The same credentials may do this, so a refusal below is one of the policy.
        for folder in ("reprocessed", "unprocessed/reprocess"):
            name = f"{folder}/{self.account}"
            s3.put_object(Bucket=lake, Key=name, Body=b"x")
            s3.get_object(Bucket=lake, Key=name)
            s3.list_objects_v2(Bucket=lake, Prefix=f"{folder}/")
        s3.delete_object(Bucket=lake, Key=f"unprocessed/reprocess/{self.account}")
        dynamodb.describe_table(TableName=table)
        dynamodb.get_item(TableName=table, Key=key)
        update()
        query(IndexName="processed-index", ExpressionAttributeNames={"#k": MARKER})
        dynamodb.put_item(TableName=ledger, Item=row)
        dynamodb.get_item(TableName=ledger, Key=row)

        refused: dict[str, Any] = {
            "delete a result": lambda: s3.delete_object(Bucket=lake, Key=f"reprocessed/{self.account}"),
            "read copies": lambda: s3.get_object(Bucket=lake, Key="json-copy/secret"),
            "read the change log": lambda: s3.get_object(Bucket=lake, Key="changes/secret"),
            "write into the change log": lambda: s3.put_object(Bucket=lake, Key="changes/x", Body=b"x"),
            "read rows set aside by others": lambda: s3.get_object(Bucket=lake, Key="unprocessed/secret"),
            "write elsewhere in the lake": lambda: s3.put_object(Bucket=lake, Key="imports/x", Body=b"x"),
            "list the whole lake": lambda: s3.list_objects_v2(Bucket=lake),
            "list another folder": lambda: s3.list_objects_v2(Bucket=lake, Prefix="changes/"),
            "read the inbox": lambda: s3.list_objects_v2(Bucket=outputs["InboxBucket"]),
            "put an item": lambda: dynamodb.put_item(TableName=table, Item=key),
            "put items": lambda: dynamodb.batch_write_item(RequestItems={table: [{"PutRequest": {"Item": key}}]}),
            "delete an item": lambda: dynamodb.delete_item(TableName=table, Key=key),
            "scan the table": lambda: dynamodb.scan(TableName=table),
            "query the table itself": lambda: query(ExpressionAttributeNames={"#k": "account"}),
            "change the table": lambda: dynamodb.update_table(TableName=table, DeletionProtectionEnabled=False),
            "drop the table": lambda: dynamodb.delete_table(TableName=table),
            "forget a lane": lambda: dynamodb.delete_item(TableName=ledger, Key=row),
            "query the ledger": lambda: dynamodb.query(
                TableName=ledger, KeyConditionExpression="job = :j", ExpressionAttributeValues={":j": {"S": "x"}}
            ),
            "scan the ledger": lambda: dynamodb.scan(TableName=ledger),
            "invoke a function": lambda: functions.invoke(FunctionName=self.stack.function, Payload=b"{}"),
            "read the queue": lambda: queues.receive_message(QueueUrl=outputs["FailureQueueUrl"]),
        }
        for name, call in refused.items():
            with self.subTest(name):
                with self.assertRaises(ClientError) as denied:
                    call()
                self.assertIn(denied.exception.response["Error"]["Code"], ("AccessDenied", "AccessDeniedException"))


if __name__ == "__main__":
    unittest.main()
