"""The demo of `--export`: a table is exported as JSON Lines, what changes in it after it, and the whole once more as Parquet."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import boto3
from function_processes import processes_of
from local_cloud import control

from demo_run import changes, data, export_report, exported, ingest
from demo_run.accounting import Load
from demo_run.expected import Item, Key, Rules, expect_file
from demo_run.exported import KEYS, Window
from demo_run.ingest import Lake, plain, scan
from demo_run.session import session_of
from demo_run.show import Progress, heading, paragraph

STACK = "transload"
MAPPING = Path(__file__).with_name("offers-mapping.json")
MAPPING_KEY = "mappings/offers.json"
RULES = Rules(keys=KEYS, numbers=frozenset({"catalog_id", "offer_type_id"}))
# Exports of many files and of windows of seconds, and state machines that wait a fiftieth of what they would on AWS.
SETTINGS = {"LOCAL_CLOUD_EXPORT_PARTITIONS": "26", "LOCAL_CLOUD_MIN_EXPORT_WINDOW_SECONDS": "1", "SFN_WAIT_SCALE": "0.02"}
PARAMETERS = (
    f"RowMappingKey={MAPPING_KEY}", "ExportLagSeconds=0", "IncrementalMinWindowSeconds=1", "PollSeconds=10", "ExportConcurrency=4",
    "ExportScheduleState=DISABLED", "ReprocessState=DISABLED",
)  # fmt: skip
# The function is killed when so many files are done: those under way are begun anew by others.
KILLED_AFTER = (3, 7, 11)
# A window must not be shorter than its export takes, or the next one is due already.
SHORTEST_WINDOW_SECONDS = 10
POLL_SECONDS = 0.05
STALLED_SECONDS = 120
CHANGES = {"updated": 1_000, "inserted": 300, "deleted": 200}


class Stack:
    """The deployed stack, and what the demo asks of it."""

    def __init__(self, session: boto3.Session, outputs: dict[str, str], server: int) -> None:
        self.session = session
        self.outputs = outputs
        self.server = server
        self.lake = Lake(session, outputs["LakeBucket"])
        self.table = outputs["TableName"]

    def rows(self, job: str) -> list[dict[str, Any]]:
        """The ledger's rows of a job."""
        pages = self.session.client("dynamodb").get_paginator("query").paginate(
            TableName=self.outputs["LedgerTable"], KeyConditionExpression="job = :job", ConsistentRead=True,
            ExpressionAttributeValues={":job": {"S": job}},
        )  # fmt: skip
        return [{name: simple(value) for name, value in row.items()} for page in pages for row in page["Items"]]

    def window_under_way(self, known: set[str]) -> str | None:
        """The job of the export that is not among those known, once it has begun."""
        found = (row for row in scan(self.session, self.outputs["LedgerTable"]) if row.get("kind") == "export")
        return next((row["job"] for row in found if row["job"] not in known), None)

    def kill_transformers(self) -> int:
        """Kills what transforms files now, as the loss of its machine would; how many processes that were."""
        killed = 0
        for process in processes_of(self.server, self.outputs["ExportTransformerFunction"]):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
                killed += 1
        return killed

    def items(self) -> dict[Key, Item]:
        """The table by key."""
        return {exported.key_of(item): item for item in scan(self.session, self.table)}


def simple(value: dict[str, Any]) -> Any:
    """A value of the ledger as plain data; its numbers are integers."""
    ((kind, content),) = value.items()
    match kind:
        case "N":
            return int(content)
        case "L":
            return [simple(member) for member in content]
        case "M":
            return {name: simple(member) for name, member in content.items()}
    return content


def run(stack: Stack, label: str, known: set[str], kill: bool = False, **event: Any) -> tuple[Window, int]:
    """Runs the machine and shows how far it is; the window, and how many processes of the function were killed meanwhile."""
    machines, began = stack.session.client("stepfunctions"), time.monotonic()
    execution = machines.start_execution(stateMachineArn=stack.outputs["ExportMachineArn"], input=json.dumps(event))["executionArn"]
    killed = follow(stack, execution, label, known, kill)
    described = machines.describe_execution(executionArn=execution)
    if described["status"] != "SUCCEEDED":
        raise control.Problem(f"the export ended {described['status']}: {described.get('error')}: {described.get('cause')}")
    report = json.loads(described["output"])
    if "job" not in report:
        raise control.Problem(f"the machine exported nothing: {report.get('message')}")
    known.add(report["job"])
    folder = window_folder(stack, report["window"])
    sizes = stack.session.client("s3").get_paginator("list_objects_v2").paginate(Bucket=stack.lake.bucket, Prefix=folder)
    objects = {entry["Key"]: entry["Size"] for page in sizes for entry in page.get("Contents", [])}
    whole = objects.pop(f"{folder}_SUCCESS.json", None) is not None
    files = [{"objects": []} | row for row in stack.rows(report["job"]) if row["kind"] == "export-file"]
    return Window(report, files, objects, whole, time.monotonic() - began), killed


def window_folder(stack: Stack, window: str) -> str:
    """Where the lake has what was made of a window."""
    return f"tables/{stack.table}/tl_export={window}/"


def follow(stack: Stack, execution: str, label: str, known: set[str], kill: bool) -> int:
    """Shows files and rows that are done until the execution has ended; how many processes were killed."""
    machines, killed, job, progress = stack.session.client("stepfunctions"), 0, None, None
    kills = list(KILLED_AFTER) if kill else []
    moved, before, done = time.monotonic(), -1, 0
    try:
        while machines.describe_execution(executionArn=execution)["status"] == "RUNNING":
            job = job or stack.window_under_way(known)
            files = [row for row in stack.rows(job) if row["kind"] == "export-file"] if job else []
            if files and progress is None:
                progress = Files(label, len(files), sum(row["item_count"] for row in files))
            ready = [row for row in files if row["processing_status"] == "COMPLETED"]
            done = len(ready)
            if kills and done >= kills[0]:
                kills.pop(0)
                killed += stack.kill_transformers()
            if progress:
                progress.show(done, sum(row["rows_written"] for row in ready))
            if done != before:
                moved, before = time.monotonic(), done
            if time.monotonic() - moved > STALLED_SECONDS:
                raise control.Problem(f"no file was done for {STALLED_SECONDS} seconds; {len(files) - done:,} are left")
            time.sleep(POLL_SECONDS)
        if progress:
            progress.end()
    except BaseException:
        if progress:
            progress.abandon()
        raise
    return killed


class Files(Progress):
    """How many files and rows of an export are done, by the ledger, and how long the others take."""

    def __init__(self, label: str, files: int, rows: int) -> None:
        super().__init__(label, rows, "rows", "written")
        self.files = files
        self.files_done = 0

    def show(self, files_done: int, rows: int) -> None:
        """Shows how far it is."""
        self.files_done = files_done
        self.update(rows)

    def end(self) -> None:
        """Shows that all of it is done."""
        self.files_done = self.files
        self.finish(self.whole)

    def _line(self, count: int) -> str:
        left = f", {self.elapsed() * (self.whole - count) / count:.0f} s left" if 0 < count < self.whole else ""
        return f"  {self.label}: {self.files_done:,} of {self.files:,} files, {count:,} of {self.whole:,} {self.unit} {self.done}, {self.elapsed():.0f} s{left}"


def change(stack: Stack, items: dict[Key, Item]) -> None:
    """What users do meanwhile: change some items, insert some, delete some."""
    keys = sorted(items)
    updated, deleted = keys[: CHANGES["updated"]], keys[CHANGES["updated"] : CHANGES["updated"] + CHANGES["deleted"]]
    puts = [items[key] | {"risk": "none", "note": "changed ✈"} for key in updated]
    puts += [items[keys[-1 - number]] | {"offer_id": f"new-{number:06}", "catalog_id": Decimal(10**37 + number)} for number in range(CHANGES["inserted"])]
    requests = [{"PutRequest": {"Item": {name: tagged(value) for name, value in item.items()}}} for item in puts]
    requests += [{"DeleteRequest": {"Key": {name: {"S": value} for name, value in zip(KEYS, key, strict=True)}}} for key in deleted]
    batches = [requests[first : first + 25] for first in range(0, len(requests), 25)]
    dynamodb = stack.session.client("dynamodb")
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda batch: dynamodb.batch_write_item(RequestItems={stack.table: batch}), batches))


def tagged(value: str | Decimal) -> dict[str, str]:
    """A value of an item as DynamoDB JSON."""
    return {"S": value} if isinstance(value, str) else {"N": str(value)}


def end_window(stack: Stack, begin: int) -> None:
    """Makes the window that began at this second end with the one that is just over."""
    end = max(int(time.time()) + 1, begin + SHORTEST_WINDOW_SECONDS)
    time.sleep(max(0.0, end - time.time()))
    functions, name = stack.session.client("lambda"), stack.outputs["ExportPollerFunction"]
    variables = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    functions.update_function_configuration(FunctionName=name, Environment={"Variables": variables | {"WINDOW_SECONDS": str(end - begin)}})


def fetch(stack: Stack, folder: Path) -> None:
    """Copies what was made of the exports to disk."""
    for key in stack.lake.keys(f"tables/{stack.table}/"):
        file = folder / key
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(stack.lake.read(key))


def load(stack: Stack, rows: int) -> int:
    """Loads generated offers by the inbox, as `scripts/demo` does; how many."""
    path = data.offers(rows)
    load = Load(path, stack.outputs, RULES, expect_file(path, RULES))
    stack.session.client("s3").put_object(Bucket=stack.lake.bucket, Key=MAPPING_KEY, Body=MAPPING.read_bytes())
    with open(path, "rb") as body:
        version = stack.session.client("s3").put_object(Bucket=stack.outputs["InboxBucket"], Key=load.key, Body=body)["VersionId"]
    ingest.follow(stack.session, load, version)
    return rows


def play(cloud: control.Cloud, rows: int) -> tuple[list[str], Callable[[str], None]]:
    """The whole demo on a running cloud; what did not add up, and what explains a cloud with this endpoint that is left up."""
    heading(f"Deploying infra/template.yaml as the stack {STACK}, and loading its table")
    outputs = control.deploy(cloud, STACK, list(PARAMETERS), control.TEMPLATE)
    stack = Stack(session_of(cloud), outputs, cloud.state()["pid"])
    changes.switch_off(stack.session, outputs)
    load(stack, rows)
    before = stack.items()
    known: set[str] = set()

    heading("A full export, written as JSON Lines; the function that writes is killed in the middle")
    full, killed = run(stack, "full export", known, kill=True, type="full", window="demo", restart_chain=True)
    export_report.window(full, killed)

    heading("What users do meanwhile, and an incremental export of it")
    change(stack, before)
    after = stack.items()
    paragraph(", ".join(f"{count:,} items {what}" for what, count in CHANGES.items()) + ". A window is an hour where nothing else is said; this one ends now.", "  ", "  ")
    chain = next(row for row in stack.rows(f"export/{stack.table}/incremental"))
    end_window(stack, chain["next_from"])
    incremental, _ = run(stack, "incremental export", known, type="incremental")
    export_report.window(incremental, 0)

    heading("A full export, written as Parquet; the columns are inferred from all files first")
    parquet, _ = run(stack, "full export", known, type="full", window="demo-parquet", format="parquet", schema="inferred")
    export_report.window(parquet, 0)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fetch(stack, folder)
        export_report.examples(stack.lake.bucket, folder, [full, incremental, parquet])
        lines = [json.loads(text, parse_int=Decimal, parse_float=Decimal) for text in exported.state(folder, full.report["window"])]
        columns = [exported.item_of(row) for row in exported.rows(folder, parquet.report["window"])]
        export_report.by_risk(exported.by_risk(folder, parquet.report["window"]))
    wrong = exported.faults([full, incremental, parquet], len(before), lines, columns, after)
    wrong = export_report.verdict(wrong, len(after), killed)
    return wrong, lambda endpoint: export_report.explain(endpoint, outputs, [full, incremental, parquet])
