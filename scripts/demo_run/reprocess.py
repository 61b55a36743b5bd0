"""The demo of `--reprocess`: a workbook of ids becomes a table, and every item of it is processed, by the schedule and by the drain."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

import boto3
from function_processes import processes_of
from local_cloud import control

from demo_run import changes, ids, outcome, reprocess_report
from demo_run.data import FOLDER, TRANSLOAD
from demo_run.ids import MARKER, PENDING, Ids
from demo_run.ingest import Lake, plain, scan
from demo_run.outcome import CAP, RESULTS, TABLE, Line, Reprocessed
from demo_run.session import session_of
from demo_run.show import Progress, heading, paint, paragraph, say

STACK = "transload"
INDEX = "processed-index"
SET_ASIDE = "unprocessed/reprocess/"
# State machines of the demo wait a fiftieth of what they would on AWS.
WAIT_SCALE = "0.02"
# The message of the function's log about a run.
RUN_ENDED = "pending items reprocessed"
# Counting what is pending costs the local cloud as much as some dozens of items.
POLL_SECONDS = 1.5
STALLED_SECONDS = 60
# So many items after its beginning, which is in the middle of a run, the drain's function is killed. Once is enough: a killed run
# keeps its lane for ten more seconds, and the drain waits for it.
KILLED_AFTER = 1_700


def fields(message: str) -> dict[str, Any]:
    """What a line of the function's log says of a run, as the local cloud has it: `items_taken=5 items_left_exact=true`."""
    _before, _, told = message.partition(RUN_ENDED)
    pairs = (pair.partition("=") for pair in told.split())
    return {name: json.loads(value) for name, _, value in pairs}


class Stack:
    """The deployed stack, and what the demo asks of it."""

    def __init__(self, session: boto3.Session, outputs: dict[str, str], server: int) -> None:
        self.session = session
        self.outputs = outputs
        self.server = server
        self.lake = Lake(session, outputs["LakeBucket"])

    def pending(self) -> int:
        """How many items the index has that are pending."""
        pages = self.session.client("dynamodb").get_paginator("query").paginate(
            TableName=TABLE, IndexName=INDEX, Select="COUNT", KeyConditionExpression="#marker = :pending",
            ExpressionAttributeNames={"#marker": MARKER}, ExpressionAttributeValues={":pending": {"S": PENDING}},
        )  # fmt: skip
        return sum(page["Count"] for page in pages)

    def runs(self) -> list[dict[str, Any]]:
        """What the function's log says of each run that took items, oldest first."""
        logs = self.session.client("logs").get_paginator("filter_log_events")
        pages = logs.paginate(logGroupName=f"/aws/lambda/{self.outputs['ReprocessorFunction']}", filterPattern=f'"{RUN_ENDED}"')
        told = (fields(event["message"]) for page in pages for event in page["events"])
        return [run for run in told if run.get("items_taken")]

    def schedule(self, state: str) -> None:
        """Switches the schedule on or off; it is otherwise left as it was deployed."""
        scheduler = self.session.client("scheduler")
        (name,) = [entry["Name"] for entry in scheduler.list_schedules()["Schedules"] if entry["Name"].startswith(f"{STACK}-ReprocessSchedule")]
        deployed = scheduler.get_schedule(Name=name)
        kept = {member: deployed[member] for member in ("Name", "ScheduleExpression", "FlexibleTimeWindow", "Target")}
        scheduler.update_schedule(**kept, State=state)

    def lane(self) -> dict[str, Any]:
        """The ledger's row of the lane; empty if there was no run yet."""
        rows = (row for row in scan(self.session, self.outputs["LedgerTable"]) if row.get("kind") == "reprocess")
        return next(rows, {})

    def processes(self) -> list[int]:
        """Processes of the function that the local cloud runs."""
        return processes_of(self.server, self.outputs["ReprocessorFunction"])


def command(*arguments: str, known: Iterable[str] = ()) -> list[str]:
    """Runs the command line and shows both it and what it says, but for known lines; all of its lines. Progress and warnings go
    where they always do."""
    say(f"  {paint('$ transload ' + ' '.join(arguments), 'bold')}")
    done = subprocess.run([str(TRANSLOAD), *arguments], cwd=FOLDER, env=os.environ, stdout=subprocess.PIPE, text=True)
    lines = done.stdout.splitlines()
    for line in lines:
        if line not in known:
            say(f"  {line}".rstrip())
    if done.returncode != 0:
        raise control.Problem(f"`transload {arguments[0]}` ended with {done.returncode}")
    say()
    return lines


def follow(stack: Stack, label: str, whole: int, is_over: Callable[[int], bool]) -> None:
    """Shows how many items are done until something is over, which is asked with that number; a Problem if nothing moves any more."""
    progress, moved, before = Progress(label, whole, "items", "done"), time.monotonic(), -1
    try:
        while True:
            done = whole - stack.pending()
            if is_over(done):
                progress.finish(whole - stack.pending())
                return
            if done != before:
                moved, before = time.monotonic(), done
            if time.monotonic() - moved > STALLED_SECONDS:
                raise control.Problem(f"no item was processed for {STALLED_SECONDS} seconds; {whole - done:,} are pending")
            progress.update(done)
            time.sleep(POLL_SECONDS)
    except BaseException:
        progress.abandon()
        raise


def scheduled_run(stack: Stack, whole: int) -> None:
    """Switches the schedule on until its first run has ended, so that what follows is the drain's."""
    stack.schedule("ENABLED")
    follow(stack, "schedule", whole, lambda _done: bool(stack.runs()))
    stack.schedule("DISABLED")


def drain(stack: Stack, whole: int) -> tuple[dict[str, Any], int]:
    """Runs the drain while its function is killed; its report and the number of processes that were killed."""
    machines = stack.session.client("stepfunctions")
    killed: list[int] = []
    described: dict[str, Any] = {}
    before = whole - stack.pending()

    def is_over(done: int) -> bool:
        if not killed and done >= before + KILLED_AFTER:
            killed.extend(kill(stack.processes()))
        described.update(machines.describe_execution(executionArn=execution))
        return described["status"] != "RUNNING"

    execution = machines.start_execution(stateMachineArn=stack.outputs["DrainMachineArn"], input="{}")["executionArn"]
    follow(stack, "drain", whole, is_over)
    if described["status"] != "SUCCEEDED":
        raise control.Problem(f"the drain ended {described['status']}: {described.get('error')}: {described.get('cause')}")
    return json.loads(described["output"]), len(killed)


def kill(processes: Iterable[int]) -> Iterator[int]:
    """Kills processes as the loss of their machine would; those that were still there."""
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
            yield process


def read(stack: Stack, report: dict[str, Any], killed: int) -> Reprocessed:
    """Everything that there is to check, read as anyone would."""
    names = [*stack.lake.keys(RESULTS), *stack.lake.keys(SET_ASIDE)]
    with ThreadPoolExecutor(4) as threads:
        contents = dict(zip(names, threads.map(stack.lake.read, names), strict=True))
    objects, lines, strangers = {}, [], []
    for name, content in contents.items():
        one = name.removeprefix(RESULTS).removesuffix(".json")
        if name.startswith(f"{RESULTS}lane=") and name.endswith(".jsonl.gz"):
            lines += bundle_lines(name, content)
        elif name == f"{RESULTS}{one}.json" and "/" not in one:
            objects[unquote(one)] = json.loads(content)
        else:
            strangers.append(name)
    items = {item["id"]: item for item in scan(stack.session, TABLE)}
    return Reprocessed(items, objects, lines, strangers, stack.runs(), report, stack.lane(), killed)


def bundle_lines(name: str, content: bytes) -> Iterator[Line]:
    """The lines of a bundle."""
    for text in gzip.decompress(content).splitlines():
        line = json.loads(text)
        yield Line(name, line["run"], plain(line["key"]["id"]), line["output"])


def play(cloud: control.Cloud, rows: int) -> tuple[list[str], Callable[[str], None]]:
    """The whole demo on a running cloud; what did not add up, and what explains a cloud with this endpoint that is left up."""
    heading("A workbook of ids")
    wanted = ids.make(rows)
    reprocess_report.workbook(wanted)

    heading(f"Deploying infra/template.yaml as the stack {STACK}, whose function will look after the table {TABLE}")
    parameters = [f"ReprocessTable={TABLE}", "ReprocessState=DISABLED", "ReprocessMinutes=1", "LeaseSeconds=10", "DrainSweepSeconds=10"]
    outputs = control.deploy(cloud, STACK, parameters, control.TEMPLATE)
    stack = Stack(session_of(cloud), outputs, cloud.state()["pid"])
    changes.switch_off(stack.session, outputs)

    heading("From the workbook into the table")
    load(wanted, outputs)
    whole = len(wanted.rows)

    heading(f"The schedule, which takes {CAP:,} items at most each time")
    scheduled_run(stack, whole)
    reprocess_report.scheduled(stack.runs()[0])

    heading("The drain, which runs until nothing is pending; its function is killed once in the middle")
    report, killed = drain(stack, whole)
    found = read(stack, report, killed)
    reprocess_report.drained(found)
    reprocess_report.examples(wanted, found, outputs)
    wrong = reprocess_report.verdict(wanted, found, outcome.faults(wanted, found))
    return wrong, lambda endpoint: reprocess_report.explain(endpoint, outputs, TABLE, next(iter(wanted.rows)))


def load(wanted: Ids, outputs: dict[str, str]) -> None:
    """The three commands from a workbook to a table."""
    index = f"{INDEX}:{MARKER}:S"
    command("merge", wanted.path.name, "-o", "ids.csv", "--add", f"{MARKER}={PENDING}", "--force")
    planned = command("plan", "ids.csv", "--key", "id:S", "--index", index)
    paragraph("Rows that share an id are equal in this workbook, so it does not matter which of them DynamoDB keeps: import it is.", "  ", "  ")
    say()
    command(
        "import", "ids.csv", "--table", TABLE, "--key", "id:S", "--index", index, "--bucket", outputs["LakeBucket"],
        "--state-machine", outputs["ImportMachineArn"], "--accept-duplicates", known=planned,
    )  # fmt: skip
