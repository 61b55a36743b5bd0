"""The command line over the change log: `verify changes`, `replay` and `touch`, compared with DuckDB and with the table."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
import tempfile
import time
import unittest
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from change_log_sql import Line, LossyTable, any_log, choose, completion, connect, record, row, state, text, write_log
from change_log_support import ChangingTable, Item, comparable_item, held, mapping
from command_line import environment, transload
from support import ROOT, client, eventually, output

# How many random logs of each kind: so many that a second more or less in the rule is noticed.
SEEDS = 60
# 2026-01-14 10:00 UTC.
TIME = 1_768_384_800
# A stream that the table had before the one that it has.
EARLIER_LABEL = "2026-01-14T00:00:00.000"


def with_keys(lines: list[Line]) -> list[Line]:
    """The lines with images as they really are: an item has its key attributes."""
    for line in lines:
        change = line.get("dynamodb", {})
        if "NewImage" in change:
            change["NewImage"] = change["Keys"] | change["NewImage"]
    return lines


def logs_of_all_kinds() -> dict[str, list[Line]]:
    """Logs by the names of their tables."""
    logs = {}
    for seed in range(SEEDS):
        logs[f"any-{seed}"] = with_keys(any_log(random.Random(seed)))
    for seed in range(SEEDS // 6):
        logs[f"lossy-{seed}"] = with_keys(LossyTable(random.Random(seed)).log())
    # What chance seldom brings: both kinds of snapshot at one second, and records a minute before it.
    keys = {second: {"id": {"N": str(second)}} for second in (1, 59, 60, 61)}
    rows = [row(f"{source}-{key}", TIME, keys[key], {"v": {"S": source}}, source) for source in ("export", "scan") for key in keys]
    records = [record(key, TIME - key, keys[key], {"v": {"S": "record"}}) for key in (59, 60, 61)]
    logs["edges"] = with_keys([*rows, *records, completion(TIME), completion(TIME, source="scan")])
    return {table: lines for table, lines in logs.items() if lines}


class AnyLog(unittest.TestCase):
    """Logs in a bucket of their own."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.bucket = f"logs-{uuid.uuid4().hex}"
        client("s3").create_bucket(Bucket=self.bucket)

    def put(self, logs: dict[str, list[Line]]) -> None:
        """Writes the logs into the folder and into the bucket."""
        choice = random.Random(20_260_114)
        for table, lines in logs.items():
            write_log(self.folder / f"changes/table={table}", lines, choice)
        files = [file for file in self.folder.rglob("*") if file.is_file()]
        put = lambda file: client("s3").put_object(Bucket=self.bucket, Key=str(file.relative_to(self.folder)), Body=file.read_bytes())
        with ThreadPoolExecutor(8) as threads:
            list(threads.map(put, files))

    def replayed(self, table: str) -> list[str]:
        """The items that the command line makes of a log, in an order of their own."""
        run = transload(self.folder, "replay", "--bucket", self.bucket, "--table", table, "--dry-run", "-o", f"{table}.jsonl", "--json")
        self.assertEqual((0, ""), (run.returncode, run.stderr))
        items = [json.loads(line) for line in (self.folder / f"{table}.jsonl").read_bytes().splitlines()]
        self.assertEqual(len(items), json.loads(run.stdout)["items"])
        return sorted(json.dumps(item, sort_keys=True) for item in items)

    def test_promise_7_replay_makes_of_any_log_what_the_sql_makes_of_it(self) -> None:
        logs = logs_of_all_kinds()
        self.put(logs)
        connection = connect(self.folder / f"changes/table={next(iter(logs))}")
        self.addCleanup(connection.close)
        items = 0
        for table in logs:
            with self.subTest(table):
                choose(connection, self.folder / f"changes/table={table}")
                wanted = sorted(json.dumps(json.loads(item), sort_keys=True) for item in state(connection).values())
                self.assertEqual(wanted, self.replayed(table))
                items += len(wanted)
        self.assertGreater(items, SEEDS)


class LogCommands(ChangingTable):
    """Commands over the log of the deployed table."""

    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.began = datetime.now(timezone.utc)

    def run_on_log(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs a command that names the lake and the table."""
        return transload(self.folder, *arguments, "--bucket", output("LakeBucket"), "--table", output("TableName"), "--json")

    def result(self, run: subprocess.CompletedProcess[str], code: int = 0) -> dict[str, Any]:
        """What a command that ended with this code has printed."""
        self.assertEqual(code, run.returncode, run.stderr + run.stdout)
        return json.loads(run.stdout)

    # --- verify ---

    def verify(self) -> dict[str, Any]:
        """Verifies the hours from the test's begin on. The exit code says whether anything is wrong."""
        run = self.run_on_log("verify", "changes", "--from", f"{self.began:%Y-%m-%dT%H:%M}Z")
        return self.result(run, 1 if json.loads(run.stdout or "{}").get("findings") else 0)

    def counted(self) -> dict[str, int]:
        """What DuckDB counts in the same hours."""
        self.log.refresh()
        counts = ("inserts", "INSERT"), ("modifies", "MODIFY"), ("removes", "REMOVE")
        since = f"source = 'stream' and dt || 'T' || lpad(cast(hour as varchar), 2, '0') >= '{self.began:%Y-%m-%dT%H}'"
        ((raw,),) = self.log.ask(f"select count(*) from change_log where {since} and $account <> ''")
        by_name = dict(self.log.ask(f"select event_name, count(*) from changes where {since} and $account <> '' group by event_name"))
        distinct = sum(by_name.values())
        return {"records": distinct, "duplicates": raw - distinct, "faults": 0} | {name: by_name.get(event, 0) for name, event in counts}

    def verified_as_counted(self) -> dict[str, Any]:
        """Verifies what DuckDB counts the same, once nothing comes in any more."""

        def look() -> dict[str, Any] | None:
            before, found, after = self.counted(), self.verify(), self.counted()
            if before != after:
                return None
            self.assertEqual(after, {name: found["total"][name] for name in after})
            return found

        return eventually(look, "nothing comes into the log any more")

    def findings(self, found: dict[str, Any]) -> list[dict[str, Any]]:
        """What is wrong, but that the stream was turned on within the range, as it was a moment ago."""
        return [finding for finding in found["findings"] if finding["kind"] != "before_stream"]

    def write_twice(self) -> None:
        """An object stands in its folder under a second name, as after a fail-over inside of AWS."""
        key = next(
            str(file.relative_to(self.log.folder.name)) for file in sorted(self.log.path.glob("source=stream/**/*.gz"))
            if file.parent.name == f"hour={self.began:%H}" and file.parent.parent.name == f"dt={self.began:%Y-%m-%d}"
        )  # fmt: skip
        body = client("s3").get_object(Bucket=output("LakeBucket"), Key=key)["Body"].read()
        client("s3").put_object(Bucket=output("LakeBucket"), Key=key.replace(".jsonl", "-twice.jsonl"), Body=body)

    def give_up(self, number: int) -> str:
        """A batch of one record that is not in the log, as the mapping leaves it when it gives up; returns the object's key.

        The record is a removal of an item that was never there, from an earlier stream: the table's state stays as it is.
        """
        arn = client("dynamodb").describe_table(TableName=output("TableName"))["Table"]["LatestStreamArn"]
        keys = {"account": {"S": self.account}, "offer_id": {"S": f"never-there-{number}"}}
        lost = record(10**20 + number, int(time.time()), keys, None, event_id=uuid.uuid4().hex)
        lost["eventSourceARN"] = arn.rpartition("/")[0] + "/" + EARLIER_LABEL
        function = client("lambda").get_function_configuration(FunctionName=output("StreamWriterFunction"))["FunctionArn"]
        sequence, now = lost["dynamodb"]["SequenceNumber"], datetime.now(timezone.utc)
        shard = "shardId-00000001570000000000-0a1b2c3d"
        batch = {
            "requestContext": {
                "requestId": str(uuid.uuid4()), "functionArn": function, "condition": "RecordAgeExceeded", "approximateInvokeCount": 1
            },
            "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
            "version": "1.0",
            "timestamp": f"{now:%Y-%m-%dT%H:%M:%S.000Z}",
            "DDBStreamBatchInfo": {
                "shardId": shard, "startSequenceNumber": sequence, "endSequenceNumber": sequence, "batchSize": 1,
                "approximateArrivalOfFirstRecord": f"{now:%Y-%m-%dT%H:%M:%SZ}",
                "approximateArrivalOfLastRecord": f"{now:%Y-%m-%dT%H:%M:%SZ}",
                "streamArn": lost["eventSourceARN"],
            },
            "payload": text({"Records": [lost]}),
        }  # fmt: skip
        key = f"aws/lambda/{mapping()}/{shard}/{now:%Y/%m/%d/%Y-%m-%dT%H.%M.%S}-{uuid.uuid4()}"
        client("s3").put_object(Bucket=output("LakeBucket"), Key=key, Body=text(batch).encode())
        return key

    def test_promise_6_verify_counts_what_the_log_has_after_failures_of_all_kinds(self) -> None:
        self.assertGreater(self.change_while_all_fails(450), 2)
        self.arrived()
        before = self.counted()["duplicates"]
        self.write_twice()
        found = self.verified_as_counted()
        self.assertEqual([], self.findings(found))
        self.assertGreaterEqual(found["total"]["records"], sum(self.made.values()))
        self.assertGreater(found["total"]["duplicates"], before)

    def test_promise_6_what_the_mapping_gave_up_is_found_and_the_printed_commands_put_it_into_the_log(self) -> None:
        self.change(20)
        self.arrived()
        known = self.findings(self.verified_as_counted())
        keys = [self.give_up(number) for number in (1, 2)]
        found = self.verify()
        new = {finding["key"]: finding for finding in self.findings(found) if finding not in known}
        self.assertEqual(set(keys), set(new))
        for key in keys:
            self.assertEqual(("not_in_log", 1, 1), tuple(new[key][name] for name in ("kind", "records", "missing")))

        # By the function alone; what it answers is what the mapping would see.
        batch = json.loads(client("s3").get_object(Bucket=output("LakeBucket"), Key=keys[0])["Body"].read())
        answer = client("lambda").invoke(FunctionName=new[keys[0]]["function"], Payload=batch["payload"].encode())
        self.assertEqual({"batchItemFailures": []}, json.loads(answer["Payload"].read()))
        self.assertEqual([keys[1]], [finding["key"] for finding in self.findings(self.verify()) if finding not in known])

        # As printed, by the aws of the local cloud's environment. That is version 1, which knows no other format than the raw one.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        for command in new[keys[1]]["commands"]:
            run = subprocess.run(
                ["bash", "-c", f"set -o pipefail; {command}"], cwd=self.folder, env=environment(self.folder) | {"PATH": path, "AWS_DEFAULT_REGION": "us-east-1"},
                capture_output=True, text=True, timeout=60, check=False,
            )  # fmt: skip
            self.assertEqual(0, run.returncode, f"{command}\n{run.stderr}")
        found = self.verified_as_counted()
        # Records of an earlier stream are in the range now, so nothing is left to be said of when the stream was turned on.
        self.assertEqual(known, found["findings"])
        self.assertIn(EARLIER_LABEL, found["stream_labels"])
        self.assertEqual(held(self.account), self.log.state())

    # --- replay ---

    def table(self) -> str:
        """A new empty table with the keys of the deployed one."""
        name = f"replayed-{uuid.uuid4().hex}"
        like = client("dynamodb").describe_table(TableName=output("TableName"))["Table"]
        keys = {key["AttributeName"] for key in like["KeySchema"]}
        definitions = [one for one in like["AttributeDefinitions"] if one["AttributeName"] in keys]
        client("dynamodb").create_table(TableName=name, KeySchema=like["KeySchema"], AttributeDefinitions=definitions, BillingMode="PAY_PER_REQUEST")
        self.addCleanup(client("dynamodb").delete_table, TableName=name)
        return name

    def scanned(self, table: str) -> dict[tuple[str, str], Item]:
        """All items of a table by their keys."""
        pages = client("dynamodb").get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        items = [item for page in pages for item in page["Items"]]
        return {(item["account"]["S"], item["offer_id"]["S"]): comparable_item(item) for item in items}

    def write(self, table: str, name: str, **attributes: Item) -> None:
        client("dynamodb").put_item(TableName=table, Item={"account": {"S": self.account}, "offer_id": {"S": name}} | attributes)

    def replay(self, into: str, *arguments: str) -> dict[str, Any]:
        result = self.result(self.run_on_log("replay", "--into", into, *arguments))
        self.assertEqual((0, None), (result["refused"], result["unprocessed"]))
        return result

    def whole_log(self) -> None:
        """Waits until the log has all of the table, whoever wrote it."""
        self.arrived()
        wanted = len(self.scanned(output("TableName")))

        def look() -> bool:
            self.log.refresh()
            return self.log.ask("select count(*) from table_state where $account <> ''") == [(wanted,)]

        eventually(look, f"{wanted} items are in the log")

    def test_promise_7_replay_into_an_empty_table_makes_the_table_again(self) -> None:
        self.change(300)
        self.whole_log()
        again = self.table()
        result = self.replay(again)
        source = self.scanned(output("TableName"))
        self.assertGreater(len(held(self.account)), 20)
        self.assertEqual(source, self.scanned(again))
        self.assertEqual((len(source), len(source)), (result["items"], result["written"]))
        # A table that holds something is left alone.
        refused = self.run_on_log("replay", "--into", again)
        self.assertNotEqual(0, refused.returncode)
        self.assertIn(f"the table {again} is not empty", refused.stderr)
        refused = self.run_on_log("replay", "--into", again, "--again")
        self.assertEqual(2, refused.returncode, refused.stderr)
        # Unless it is of an earlier try, which has left its marker.
        client("dynamodb").delete_item(TableName=again, Key={"account": {"S": self.account}, "offer_id": {"S": min(held(self.account))}})
        made = client("dynamodb").describe_table(TableName=again)["Table"]
        marker = {"table_arn": made["TableArn"], "table_id": made["TableId"], "log_bucket": output("LakeBucket"), "log_table": output("TableName")}
        (self.folder / f"{again}.replay.json").write_text(json.dumps(marker | {"until": int(datetime.now(timezone.utc).timestamp()) + 2}))
        self.replay(again, "--again")
        self.assertEqual([], list(self.folder.glob("*.replay.json")))
        self.assertEqual(source, self.scanned(again))

    def test_promise_7_replay_into_a_table_that_lives_leaves_what_is_newer_there(self) -> None:
        self.change(200)
        self.whole_log()
        living = self.table()
        self.replay(living)
        first = held(self.account)
        changed = dict.fromkeys(sorted(first)[:10])
        for name in changed:
            self.write(living, name, number={"N": str(10**6)}, note={"S": "newer"})
        # Later versions and removals of many keys, of those that the living table has newer, too.
        self.change(200)
        self.arrived()
        source = held(self.account)
        self.assertTrue(set(first) - set(source) - set(changed), "items were removed meanwhile")
        wanted = source | {name: item for name, item in held(self.account, living).items() if name in changed}
        result = self.replay(living, "--version-attribute", "number")
        self.assertEqual(wanted, held(self.account, living))
        self.assertGreaterEqual(result["newer_in_table"], len(changed))
        self.assertGreater(result["deleted"], 0)
        # Once more: nothing is left to be done.
        result = self.replay(living, "--version-attribute", "number")
        self.assertEqual((0, 0), (result["written"], result["deleted"]))
        self.assertEqual(wanted, held(self.account, living))

    # --- touch ---

    def touch(self, value: str) -> dict[str, Any]:
        arguments = ("--table", output("TableName"), "--attribute", "touched", "--value", value, "--rate", "1000", "--json")
        return self.result(transload(self.folder, "touch", *arguments))

    def test_touch_makes_every_item_appear_in_the_log_and_changes_nothing_else(self) -> None:
        self.change(100)
        before, seen = held(self.account), self.arrived()
        everything = len(self.scanned(output("TableName")))
        value = uuid.uuid4().hex
        result = self.touch(value)
        self.assertEqual((everything, everything), (result["seen"], result["touched"]))
        wanted = {name: item | {"touched": ("S", value)} for name, item in before.items()}
        self.assertEqual(wanted, held(self.account))

        self.made.update(before.keys())
        new = self.arrived()[len(seen):]
        self.assertEqual(sorted((name, "MODIFY") for name in before), sorted((name, event) for name, event, _line in new))
        for name, _event, line in new:
            self.assertEqual(wanted[name], comparable_item(json.loads(line)["dynamodb"]["NewImage"]))
        self.assertEqual(wanted, self.log.state())

        # Items that hold the value are not written again, so nothing more appears; a new item is touched.
        self.write(output("TableName"), "new")
        self.made["new"] += 2
        result = self.touch(value)
        self.assertEqual((1, everything), (result["touched"], result["held_already"]), result)
        self.assertEqual(self.made, Counter(name for name, _event, _line in self.arrived()))

    # --- a removal by time to live ---

    def test_promise_10_a_removal_by_time_to_live_says_so_in_the_log(self) -> None:
        """The local cloud removes nothing by time to live, so the records come by hand."""
        event = (ROOT / "events" / "stream-changes.json").read_text()
        arn = client("dynamodb").describe_table(TableName=output("TableName"))["Table"]["LatestStreamArn"]
        event = re.sub(r'(?<="eventSourceARN":")[^"]*', arn, event)
        event = re.sub(r'"471[12]"', json.dumps(self.account), event)
        # The samples of another run of this test have other ids.
        event = re.sub(r'(?<="eventID":")[^"]*', lambda _: uuid.uuid4().hex, event)
        answer = client("lambda").invoke(FunctionName=output("StreamWriterFunction"), Payload=event.encode())
        self.assertEqual({"batchItemFailures": []}, json.loads(answer["Payload"].read()))
        self.log.refresh()
        seen = self.log.ask("select event_name, user_identity from changes where key1_value = $account order by sequence_number")
        service = '{"type":"Service","principalId":"dynamodb.amazonaws.com"}'
        self.assertEqual([("INSERT", None), ("MODIFY", None), ("REMOVE", None), ("REMOVE", service)], seen)
        self.assertEqual({}, self.log.state())


if __name__ == "__main__":
    unittest.main()
