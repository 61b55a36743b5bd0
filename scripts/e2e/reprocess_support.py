"""What the tests of reprocessing share: stacks, pending items, runs, drains; results and lanes out."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import random
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import duckdb
from support import ROOT, Answer, EndToEnd, client, cloud, configured, eventually

from scripts.function_processes import processes_of

Item = dict[str, Any]
Key = tuple[str, ...]
MARKER, TRIES = "processed", "processed_tries"
# The highest run of a key is its last word.
LAST_WORDS = """
select cast(key as varchar), arg_max(cast(output as varchar), run)
from read_json('{files}', format='newline_delimited', columns={{run: 'bigint', key: 'json', output: 'json'}})
group by 1
"""


@cache
def deployed(stack: str, *parameters: str) -> dict[str, str]:
    """The outputs of a stack on the local cloud of this run; deploying a stack once more updates it."""
    command = [str(ROOT / "scripts/local/deploy"), "--name", cloud()["name"], "--stack", stack, "--json", "--parameters", *parameters]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise AssertionError(f"the stack {stack} could not be deployed: {done.stderr}")
    return json.loads(done.stdout)["outputs"]


class Reprocessor:
    """gsi-reprocessor of a stack, its drain, and what it works on."""

    def __init__(self, outputs: dict[str, str], table: str | None = None, keys: tuple[str, ...] = ("account", "offer_id")) -> None:
        self.outputs = outputs
        self.function = outputs["ReprocessorFunction"]
        self.table = table or outputs["TableName"]
        self.lake = outputs["LakeBucket"]
        self.keys = keys

    # --- in ---

    def put(self, items: list[Item]) -> None:
        """Writes items as they are."""
        put(self.table, items)

    def change(self, key: Item, **values: Item) -> None:
        """What an application does that changes an item: it is pending again."""
        values[MARKER] = values.get(MARKER, {"S": "false"})
        client("dynamodb").update_item(
            TableName=self.table, Key=key,
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in values),
            ExpressionAttributeNames={f"#{name}": name for name in values},
            ExpressionAttributeValues={f":{name}": value for name, value in values.items()},
        )  # fmt: skip

    def run(self, **event: Any) -> Answer:
        """Invokes the function and waits for its answer."""
        answer = client("lambda").invoke(FunctionName=self.function, Payload=json.dumps(event).encode())
        return Answer(json.loads(answer["Payload"].read()), "FunctionError" in answer)

    def report(self, **event: Any) -> dict[str, Any]:
        """The report of a run that must not fail."""
        answer = self.run(**event)
        if answer.failed:
            raise AssertionError(f"the run failed: {answer.payload}")
        report = answer.payload
        parts = report["done"] + report["skipped"] + report["failed"] + report["unfinished"]
        if report["taken"] != parts:
            raise AssertionError(f"what was taken is not the sum of what became of it: {report}")
        return report

    def run_until_empty(self, **event: Any) -> list[dict[str, Any]]:
        """Runs until the index has nothing pending; their reports."""
        reports = []
        while not reports or reports[-1]["left"] or any(lane["ended"] != "empty" for lane in reports[-1]["lanes"]):
            reports.append(self.report(**event))
            if len(reports) > 100:
                raise AssertionError(f"still not empty: {reports[-1]}")
        return reports

    def start_drain(self, **event: Any) -> str:
        """Starts the drain; the execution's ARN."""
        machine = self.outputs["DrainMachineArn"]
        return client("stepfunctions").start_execution(stateMachineArn=machine, input=json.dumps(event))["executionArn"]

    def drained(self, execution: str, seconds: float = 90) -> dict[str, Any]:
        """Waits for the end of a drain, which must succeed; its report."""
        return succeeded(execution, seconds)

    @contextlib.contextmanager
    def configured(self, timeout: int | None = None, **variables: str) -> Iterator[None]:
        """Runs the function with another time-out (in seconds) or other variables for a while."""
        with configured(self.function, timeout, **variables):
            yield

    # --- crashes ---

    def processes(self) -> list[int]:
        """Processes of the function that the local cloud runs."""
        return processes_of(cloud()["pid"], self.function)

    @contextlib.contextmanager
    def killed_again_and_again(self, choice: random.Random) -> Iterator[list[int]]:
        """Kills the function's processes at random moments; yields a list that tells them."""
        over, killed = threading.Event(), []

        def kill() -> None:
            while not over.wait(choice.uniform(0.1, 0.9)):
                owners = {lane: row.get("owner", "") for lane, row in self.lane_rows().items()}
                for process in self.processes():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(process, signal.SIGKILL)
                        killed.append(process)
                for lane, owner in owners.items():
                    self._end_lease_of_dead(lane, owner)

        thread = threading.Thread(target=kill, daemon=True)
        thread.start()
        try:
            yield killed
        finally:
            over.set()
            thread.join()

    def _end_lease_of_dead(self, lane: str, owner: str) -> None:
        """Ends the lease that a killed run has left, as the passing of its ten seconds would: the dead do nothing meanwhile."""
        with contextlib.suppress(client("dynamodb").exceptions.ConditionalCheckFailedException):
            client("dynamodb").update_item(
                TableName=self.outputs["LedgerTable"], Key={"job": {"S": self.job()}, "part": {"S": lane}},
                UpdateExpression="SET lease_end = :none", ConditionExpression="#owner = :owner",
                ExpressionAttributeNames={"#owner": "owner"}, ExpressionAttributeValues={":none": {"N": "0"}, ":owner": {"S": owner}},
            )  # fmt: skip

    # --- out ---

    def job(self) -> str:
        """The ledger's name of the lanes."""
        return f"drain/{self.table}/processed-index"

    def lane_rows(self) -> dict[str, dict[str, Any]]:
        """The ledger's rows of the lanes by their part, numbers as integers."""
        found = client("dynamodb").query(
            TableName=self.outputs["LedgerTable"], KeyConditionExpression="job = :job", ConsistentRead=True,
            ExpressionAttributeValues={":job": {"S": self.job()}},
        )["Items"]  # fmt: skip
        return {row["part"]["S"]: {name: plain_json(value) for name, value in row.items()} for row in found}

    def items(self, account: str | None = None) -> dict[Key, Item]:
        """The table's items by key, as DynamoDB has them; those of one partition if it is named."""
        if account is None:
            pages = client("dynamodb").get_paginator("scan").paginate(TableName=self.table, ConsistentRead=True)
        else:
            pages = client("dynamodb").get_paginator("query").paginate(
                TableName=self.table, ConsistentRead=True, KeyConditionExpression="account = :account",
                ExpressionAttributeValues={":account": {"S": account}},
            )  # fmt: skip
        return {self.key_of(item): item for page in pages for item in page["Items"]}

    def key_of(self, item: Item) -> Key:
        """The key of an item; the tests' keys are texts."""
        return tuple(item[name]["S"] for name in self.keys)

    def objects(self, prefix: str) -> dict[str, bytes]:
        """Objects of the lake by name."""
        s3 = client("s3")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self.lake, Prefix=prefix)
        names = [entry["Key"] for page in pages for entry in page.get("Contents", [])]
        with ThreadPoolExecutor(4) as threads:
            return dict(zip(names, threads.map(lambda name: s3.get_object(Bucket=self.lake, Key=name)["Body"].read(), names)))

    def last_words(self) -> tuple[dict[Key, Any], int]:
        """What the bundles say of each key, as a reader sees it by DuckDB; and how many lines they have."""
        bundles = self.objects(f"reprocessed/table={self.table}/lane=")
        with tempfile.TemporaryDirectory() as folder:
            for name, content in bundles.items():
                file = Path(folder) / name
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            rows = duckdb.sql(LAST_WORDS.format(files=f"{folder}/**/*.jsonl.gz")).fetchall()
        lines = sum(gzip.decompress(content).count(b"\n") for content in bundles.values())
        return {self.key_of(json.loads(key)): json.loads(output, parse_float=Decimal) for key, output in rows}, lines


def put(table: str, items: list[Item]) -> None:
    """Writes items into a table, many at a time."""
    requests = [{"PutRequest": {"Item": item}} for item in items]
    batches = [requests[first : first + 25] for first in range(0, len(requests), 25)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda batch: client("dynamodb").batch_write_item(RequestItems={table: batch}), batches))


def plain_json(value: Item) -> Any:
    """A DynamoDB value as the default process writes it; of the kinds that these tests use."""
    ((kind, content),) = value.items()
    match kind:
        case "N":
            return int(content) if content.lstrip("-").isdigit() else Decimal(content)
        case "M":
            return {name: plain_json(member) for name, member in content.items()}
        case "L":
            return [plain_json(member) for member in content]
        case "NULL":
            return None
    return content


def result_of(item: Item, pending: str = "false") -> dict[str, Any]:
    """What the result of an item has to be that is done now: the item as it was when it was pending."""
    return {name: plain_json(value) for name, value in item.items()} | {MARKER: pending}


def object_name(table: str, key: Key, folder: str = "reprocessed") -> str:
    """Where the result of an item is."""
    return f"{folder}/table={table}/{'/'.join(quote(part, safe='') for part in key)}.json"


def succeeded(execution: str, seconds: float) -> dict[str, Any]:
    """Waits for the end of an execution, which must succeed; its output."""

    def look() -> dict[str, Any] | None:
        described = client("stepfunctions").describe_execution(executionArn=execution)
        return None if described["status"] == "RUNNING" else described

    ended = eventually(look, f"{execution} has ended", seconds)
    if ended["status"] != "SUCCEEDED":
        raise AssertionError(f"{ended['status']}: {ended.get('error')}: {ended.get('cause')}")
    return json.loads(ended["output"])


def fire_schedule(stack: str) -> None:
    """Makes a schedule like the deployed one of a stack, on or off; a rate schedule fires at once."""
    scheduler = client("scheduler")
    (listed,) = [schedule for schedule in scheduler.list_schedules()["Schedules"] if schedule["Name"].startswith(f"{stack}-ReprocessSchedule")]
    like = scheduler.get_schedule(Name=listed["Name"])
    copied = {name: like[name] for name in ("ScheduleExpression", "FlexibleTimeWindow", "Target")}
    scheduler.create_schedule(Name=f"again-{time.monotonic_ns()}", **copied)


class Reprocessing(EndToEnd):
    """A test with a partition of its own in the table of the first stack, whose lane is empty when it begins."""

    def setUp(self) -> None:
        super().setUp()
        self.choice = random.Random(11)
        self.stack = Reprocessor(cloud()["outputs"])
        self.stack.run_until_empty()

    def item_key(self, name: str) -> Item:
        """The key of an item of the test's partition."""
        return {"account": {"S": self.account}, "offer_id": {"S": name}}

    def pending(self, count: int, **attributes: Item) -> list[Item]:
        """Pending items of the test's partition, with a number each."""
        return [self.item_key(f"o/{number:05}") | {MARKER: {"S": "false"}, "n": {"N": str(number)}} | attributes for number in range(count)]

    def own_items(self) -> dict[Key, Item]:
        """The items of the test's partition."""
        return self.stack.items(self.account)

    def assert_done(self, wanted: int) -> None:
        """Each item is done, has its own object, which is its last state, and there is no other object."""
        items = self.own_items()
        self.assertEqual(wanted, len(items))
        self.assertEqual({"true": wanted}, count(item[MARKER]["S"] for item in items.values()))
        self.assertEqual([], [key for key, item in items.items() if TRIES in item])
        objects = self.stack.objects(f"reprocessed/table={self.stack.table}/{quote(self.account, safe='')}/")
        expected = {object_name(self.stack.table, key): result_of(item) for key, item in items.items()}
        self.assertEqual(expected.keys(), objects.keys())
        wrong = {name: (json.loads(body), expected[name]) for name, body in objects.items() if json.loads(body) != expected[name]}
        self.assertEqual({}, wrong)


def count(values: Iterable[str]) -> dict[str, int]:
    """How often each value is there."""
    counts: dict[str, int] = {}
    for value in values:
        counts[value] = counts.get(value, 0) + 1
    return counts


def in_background(work: Callable[[threading.Event], None], threads: int = 1) -> contextlib.AbstractContextManager[None]:
    """Does some work over and over in threads while the body runs; an error of it is one of the test."""

    @contextlib.contextmanager
    def running() -> Iterator[None]:
        over = threading.Event()
        with ThreadPoolExecutor(threads) as pool:
            futures = [pool.submit(work, over) for _ in range(threads)]
            try:
                yield
            finally:
                over.set()
            for future in futures:
                future.result()

    return running()

