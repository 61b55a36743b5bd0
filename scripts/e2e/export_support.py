"""What the tests of exports and scans share: stacks, executions, the ledger's rows, and the lake on disk."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import tempfile
import threading
import time
import unittest
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from export_items import make_table
from reprocess_support import deployed
from support import client, cloud, configured, eventually

from scripts.demo_run.killing import times
from scripts.function_processes import processes_of

# Windows are as short as a test wants them, and end now.
SHORT = ("ExportLagSeconds=0", "IncrementalMinWindowSeconds=1", "PollSeconds=1", "ExportScheduleState=DISABLED")
QUIET = ("ReprocessState=DISABLED",)
SHORTEST_SECONDS = 3
# Fewer in a row than the machines try again.
KILLS = 8
Row = dict[str, Any]


class Exporter:
    """The export and scan functions of a stack, their machines, and what they leave."""

    def __init__(self, outputs: dict[str, str], table: str) -> None:
        self.outputs = outputs
        self.table = table
        self.lake = outputs["LakeBucket"]

    # --- executions ---

    def start(self, machine: str = "ExportMachineArn", **event: Any) -> str:
        """Starts a machine (by its output's name); the execution's ARN."""
        return client("stepfunctions").start_execution(stateMachineArn=self.outputs[machine], input=json.dumps(event))["executionArn"]

    def ended(self, execution: str, seconds: float = 120) -> dict[str, Any]:
        """Waits for the end of an execution; what it is described as."""

        def look() -> dict[str, Any] | None:
            described = client("stepfunctions").describe_execution(executionArn=execution)
            return None if described["status"] == "RUNNING" else described

        return eventually(look, f"{execution} has ended", seconds)

    def run(self, machine: str = "ExportMachineArn", **event: Any) -> dict[str, Any]:
        """Runs a machine that must succeed; its output."""
        return succeeded(self.ended(self.start(machine, **event)))

    def run_until_whole(self, machine: str = "ExportMachineArn", **event: Any) -> dict[str, Any]:
        """Runs a machine again with the input that its failure names, as its operator does, until it succeeds; its output."""
        for _ in range(5):
            described = self.ended(self.start(machine, **event))
            if described["status"] == "SUCCEEDED":
                return succeeded(described)
            event = json.loads(described["cause"])["input"]
        raise AssertionError(f"still {described['status']}: {described.get('error')}: {described.get('cause')}")

    def map_runs(self, execution: str) -> list[str]:
        """The runs of an execution's Distributed Map: it has one for each time that it goes through the files of a window."""
        return [run["mapRunArn"] for run in client("stepfunctions").list_map_runs(executionArn=execution)["mapRuns"]]

    def invoke(self, function: str, **event: Any) -> dict[str, Any]:
        """Invokes a function (by its output's name), which must succeed; its answer."""
        answer = client("lambda").invoke(FunctionName=self.outputs[function], Payload=json.dumps(event).encode())
        payload = json.loads(answer["Payload"].read())
        if "FunctionError" in answer:
            raise AssertionError(f"{function} failed: {payload}")
        return payload

    @contextlib.contextmanager
    def killed_at_work(self, *functions: str) -> Iterator[list[int]]:
        """Kills functions (by their outputs' names), one process at a time, while they work; yields the list of them, which grows."""
        over, killed, choice = threading.Event(), [], random.Random(19)
        look = lambda: times([process for function in functions for process in self.processes(function)])

        def kill() -> None:
            before = look()
            while len(killed) < KILLS and not over.wait(0.02):
                now = look()
                working = [process for process, time in now.items() if time > before.get(process, 0)]
                before = now
                if not working:
                    continue
                over.wait(choice.uniform(0, 0.05))
                process = choice.choice(working)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                    killed.append(process)
                over.wait(choice.uniform(0.1, 0.4))

        thread = threading.Thread(target=kill, daemon=True)
        thread.start()
        try:
            yield killed
        finally:
            over.set()
            thread.join()

    @contextlib.contextmanager
    def held_up(self, function: str) -> Iterator[None]:
        """Nobody gets an answer of a function (by its output's name) meanwhile; whoever waits for one gets it afterwards."""
        over, stopped = threading.Event(), set()

        def send(process: int, what: signal.Signals) -> None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, what)

        def hold() -> None:
            while not over.wait(0.005):
                for process in self.processes(function):
                    send(process, signal.SIGSTOP)
                    stopped.add(process)

        thread = threading.Thread(target=hold, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            for process in stopped:
                send(process, signal.SIGCONT)

    def processes(self, function: str) -> list[int]:
        """The processes of a function that the local cloud runs."""
        return processes_of(cloud()["pid"], self.outputs[function])

    # --- exports ---

    def exports(self) -> list[str]:
        """The ARNs of the table's exports."""
        arn = client("dynamodb").describe_table(TableName=self.table)["Table"]["TableArn"]
        found, more = [], {}
        while True:
            page = client("dynamodb").list_exports(TableArn=arn, **more)
            found += [export["ExportArn"] for export in page["ExportSummaries"]]
            if "NextToken" not in page:
                return found
            more = {"NextToken": page["NextToken"]}

    def catch_up(self, windows: int = 1, **event: Any) -> dict[str, Any]:
        """Exports what has changed until now, in so many windows at least, whatever happens to the machine; the last output."""
        begin = self.chain_end()
        # A window ends with a second that is over. Windows that are shorter than their export takes would never catch up.
        length = max(SHORTEST_SECONDS, -((begin - int(time.time()) - 1) // windows))
        eventually(lambda: time.time() >= begin + windows * length, "the windows are over", windows * length)
        with configured(self.outputs["ExportPollerFunction"], WINDOW_SECONDS=str(length)):
            return self.run_until_whole(type="incremental", **event)

    # --- the ledger ---

    def rows(self, job: str) -> dict[str, Row]:
        """The ledger's rows of a job by their part, numbers as integers."""
        items = client("dynamodb").query(
            TableName=self.outputs["LedgerTable"], KeyConditionExpression="job = :job", ConsistentRead=True,
            ExpressionAttributeValues={":job": {"S": job}},
        )["Items"]  # fmt: skip
        return {row["part"]["S"]: {name: simple(value) for name, value in row.items()} for row in items}

    def files(self, job: str) -> dict[str, Row]:
        """The rows of a job's data files."""
        return {part: row for part, row in self.rows(job).items() if row.get("kind") == "export-file"}

    def chain_end(self) -> int:
        """The second at which the next incremental window begins."""
        return self.rows(f"export/{self.table}/incremental")["chain"]["next_from"]

    # --- the lake ---

    def keys(self, prefix: str) -> list[str]:
        """Names of the lake's objects."""
        pages = client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.lake, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def read(self, key: str) -> bytes:
        """An object of the lake."""
        return client("s3").get_object(Bucket=self.lake, Key=key)["Body"].read()

    def put(self, key: str, body: bytes) -> None:
        """Makes or replaces an object of the lake."""
        client("s3").put_object(Bucket=self.lake, Key=key, Body=body)

    def delete(self, key: str) -> None:
        """Deletes an object of the lake."""
        client("s3").delete_object(Bucket=self.lake, Key=key)

    def window_folder(self, window: str) -> str:
        """Where the lake has what was made of a window."""
        return f"tables/{self.table}/tl_export={window}/"

    def fetch(self, folder: Path, prefix: str) -> list[str]:
        """Copies objects of the lake to disk under their names; the names."""
        names = self.keys(prefix)

        def copy(name: str) -> None:
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self.read(name))

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(copy, names))
        return names


def next_second() -> None:
    """Waits until a full export holds what was written before: its time is the beginning of a second."""
    time.sleep(1 - time.time() % 1)


def succeeded(described: dict[str, Any]) -> dict[str, Any]:
    """The output of an execution that must have succeeded."""
    if described["status"] != "SUCCEEDED":
        raise AssertionError(f"{described['status']}: {described.get('error')}: {described.get('cause')}")
    return json.loads(described["output"])


def simple(value: Row) -> Any:
    """A value of the ledger as plain data; its numbers are integers."""
    ((kind, content),) = value.items()
    match kind:
        case "N":
            return int(content)
        case "M":
            return {name: simple(member) for name, member in content.items()}
        case "L":
            return [simple(member) for member in content]
        case "NULL":
            return None
    return content


@cache
def stack(name: str, items: int, *parameters: str) -> Exporter:
    """A stack that exports and scans a table of its own, of generated items, which has no point-in-time recovery yet."""
    table = f"{name}-items"
    if table not in {one for page in client("dynamodb").get_paginator("list_tables").paginate() for one in page["TableNames"]}:
        make_table(table, items)
    return Exporter(deployed(name, f"ExportTable={table}", *SHORT, *QUIET, *parameters), table)


class Exporting(unittest.TestCase):
    """A test with a folder of its own for what it reads of the lake."""

    maxDiff = 4_000

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def assert_same(self, wanted: dict[Any, Any], found: dict[Any, Any]) -> None:
        """Two sets of items by key are the same; of many that differ, a few are shown."""
        self.assertEqual(([], []), (sorted(wanted.keys() - found.keys())[:3], sorted(found.keys() - wanted.keys())[:3]), "only here, only there")
        wrong = [key for key, item in wanted.items() if found[key] != item]
        self.assertEqual([], [(wanted[key], found[key]) for key in wrong[:3]], f"{len(wrong)} of {len(wanted)} differ")

