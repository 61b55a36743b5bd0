"""What the end-to-end tests share: uploads and events in; items, lake objects, ledger rows and messages out."""

from __future__ import annotations

import contextlib
import json
import os
import time
import unittest
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import boto3
from botocore.client import BaseClient
from botocore.config import Config

from scripts.function_processes import processes_of

ROOT = Path(__file__).resolve().parent.parent.parent
# Both hold the same three rows: by `zstd -19 FILE`, and by `zstd --long=27` from a pipe, which then asks for a window of 128 MiB.
FIXTURES = Path(__file__).resolve().parent / "fixtures"
# As scripts/end-to-end deploys it.
SETTLE_SECONDS = 2
MAPPING_METADATA = "transload-mapping"
T = TypeVar("T")


@cache
def cloud() -> dict[str, Any]:
    """What `scripts/local/start --json` said of the local cloud of this run."""
    file = os.environ.get("TRANSLOAD_E2E_CLOUD")
    if not file:
        raise RuntimeError("TRANSLOAD_E2E_CLOUD is not set: run scripts/end-to-end")
    return json.loads(Path(file).read_text())


def output(name: str) -> str:
    """An output of the stack."""
    return cloud()["outputs"][name]


def make_client(service: str, key_id: str, secret: str, token: str | None = None) -> BaseClient:
    """A client of the local cloud with these credentials; it tries once."""
    config = Config(retries={"max_attempts": 1, "mode": "standard"}, s3={"addressing_style": "path"}, read_timeout=150)
    return boto3.client(
        service, endpoint_url=cloud()["endpoint"], region_name="us-east-1", config=config,
        aws_access_key_id=key_id, aws_secret_access_key=secret, aws_session_token=token,
    )  # fmt: skip


@cache
def client(service: str) -> BaseClient:
    """A client that may do everything."""
    return make_client(service, "test", "test")


def eventually(look: Callable[[], T], what: str, seconds: float = 15) -> T:
    """Asks until the answer is truthy; fails with the last answer."""
    deadline = time.monotonic() + seconds
    while True:
        answer = look()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: still {answer!r} after {seconds} seconds")
        time.sleep(0.03)


# --- in ---


def upload(key: str, body: bytes, mapping: str | None = None) -> str:
    """Puts an object into the inbox, which triggers the function; returns the version id."""
    metadata = {MAPPING_METADATA: mapping} if mapping else {}
    return client("s3").put_object(Bucket=output("InboxBucket"), Key=key, Body=body, Metadata=metadata)["VersionId"]


def upload_quietly(key: str, body: bytes) -> str:
    """Puts an object into the inbox without an event."""
    s3, bucket = client("s3"), output("InboxBucket")
    kept = s3.get_bucket_notification_configuration(Bucket=bucket)
    kept.pop("ResponseMetadata")
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    try:
        return upload(key, body)
    finally:
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=kept)


def put_mapping(name: str, text: str) -> None:
    """Puts a row mapping where objects can name it."""
    client("s3").put_object(Bucket=output("LakeBucket"), Key=f"mappings/{name}", Body=text.encode())


def notification(*objects: tuple[str, str, str]) -> dict[str, Any]:
    """S3's notification about these objects: form-encoded key, version id, sequencer."""
    event = json.loads((ROOT / "events" / "s3-put.json").read_text())
    (pattern,) = event["Records"]
    records = []
    for key, version, sequencer in objects:
        record = json.loads(json.dumps(pattern))
        record["s3"]["bucket"]["name"] = output("InboxBucket")
        record["s3"]["object"] = {"key": key, "versionId": version, "sequencer": sequencer}
        records.append(record)
    return {"Records": records}


@dataclass(frozen=True)
class Answer:
    """What an invocation came to: a report, or an error with its type."""

    payload: dict[str, Any]
    failed: bool

    def outcomes(self) -> list[str]:
        """What became of each object."""
        if self.failed:
            raise AssertionError(f"the invocation failed: {self.payload}")
        return [entry["outcome"] for entry in self.payload["objects"]]


def invoke(event: Any) -> Answer:
    """Invokes the function and waits for its answer."""
    answer = client("lambda").invoke(FunctionName=output("IngesterFunction"), Payload=json.dumps(event).encode())
    return Answer(json.loads(answer["Payload"].read()), "FunctionError" in answer)


def sweep() -> Answer:
    """What the schedule does."""
    return invoke({"sweep": True})


@contextlib.contextmanager
def configured(function: str = "IngesterFunction", timeout: int | None = None, **variables: str) -> Iterator[None]:
    """Runs a function (by its output's name, or its own) with another time-out (in seconds) or other variables for a while."""
    functions, name = client("lambda"), cloud()["outputs"].get(function, function)
    before = functions.get_function_configuration(FunctionName=name)
    environment = before["Environment"]["Variables"]
    functions.update_function_configuration(
        FunctionName=name, Timeout=timeout or before["Timeout"], Environment={"Variables": environment | variables}
    )
    try:
        yield
    finally:
        functions.update_function_configuration(FunctionName=name, Timeout=before["Timeout"], Environment={"Variables": environment})


def function_processes(function: str = "IngesterFunction") -> list[int]:
    """Processes of a function (by its output's name) that the local cloud runs."""
    return processes_of(cloud()["pid"], output(function))


# --- out ---


def plain(value: dict[str, Any]) -> Any:
    """A DynamoDB value as plain data; a number stays its text in a tuple, so that it is no string."""
    ((kind, content),) = value.items()
    match kind:
        case "N":
            return ("N", content)
        case "SS":
            return set(content)
        case "NS":
            return {("N", member) for member in content}
        case "L":
            return [plain(member) for member in content]
        case "M":
            return {name: plain(member) for name, member in content.items()}
        case "NULL":
            return None
        case _:
            return content


def whole_table(name: str) -> list[dict[str, Any]]:
    """Every item of a table."""
    pages = client("dynamodb").get_paginator("scan").paginate(TableName=name, ConsistentRead=True)
    return [{attribute: plain(value) for attribute, value in item.items()} for page in pages for item in page["Items"]]


def items(account: str) -> list[dict[str, Any]]:
    """The items of one partition of the target table, by sort key."""
    pages = client("dynamodb").get_paginator("query").paginate(
        TableName=output("TableName"), ConsistentRead=True, KeyConditionExpression="account = :account",
        ExpressionAttributeValues={":account": {"S": account}},
    )  # fmt: skip
    return [{attribute: plain(value) for attribute, value in item.items()} for page in pages for item in page["Items"]]


def ledger_rows(key: str) -> list[dict[str, Any]]:
    """The ledger's rows about an inbox key, numbers as integers."""

    def integers(value: Any) -> Any:
        match value:
            case ("N", digits):
                return int(digits)
            case dict():
                return {name: integers(member) for name, member in value.items()}
        return value

    bucket = output("InboxBucket")
    rows = [integers(row) for row in whole_table(output("LedgerTable"))]
    # The row of an object version has its address, the row of an inbox key has bucket and key.
    return [row for row in rows if row.get("s3_location") == f"s3://{bucket}/{key}" or (row.get("bucket"), row.get("key")) == (bucket, key)]


def job(key: str, version: str | None = None) -> dict[str, Any]:
    """The ledger's row of an object version; empty if there is none. Without a version, the row of the only one."""
    found = [row for row in ledger_rows(key) if row["part"] == "object" and version in (None, row["file_id"])]
    if len(found) > 1:
        raise AssertionError(f"{len(found)} ledger rows for {key}: {found}")
    return found[0] if found else {}


def inbox(key: str) -> dict[str, Any]:
    """The ledger's row of an inbox key: who works on it and what waits."""
    found = [row for row in ledger_rows(key) if row["part"] == "inbox"]
    return found[0] if found else {}


def ended(key: str, version: str | None = None, seconds: float = 15) -> dict[str, Any]:
    """Waits until the job has ended and nobody works on the key; returns the job's row."""

    def look() -> dict[str, Any]:
        row = job(key, version)
        return row if row.get("processing_status", "IN_PROGRESS") != "IN_PROGRESS" and "lease" not in inbox(key) else {}

    return eventually(look, f"the job of {key} has ended", seconds)


def sequencer(row: dict[str, Any]) -> str:
    """The sequencer in the name of a job."""
    return row["job"].rpartition("#")[2]


def counts(row: dict[str, Any]) -> dict[str, int]:
    """The four counts of a job."""
    return {name: row[f"rows_{name}"] for name in ("read", "written", "superseded", "rejected")}


def parts(folder: str, key: str) -> dict[str, bytes]:
    """The parts in the lake of an inbox key by name: of `json-copy` or `unprocessed`."""
    s3, bucket, prefix = client("s3"), output("LakeBucket"), f"{folder}/{key}/"
    listed = s3.list_objects_v2(Bucket=bucket, Prefix=prefix).get("Contents", [])
    names = sorted(entry["Key"] for entry in listed)
    return {name.removeprefix(prefix): s3.get_object(Bucket=bucket, Key=name)["Body"].read() for name in names}


def lines(folder: str, key: str) -> list[dict[str, Any]]:
    """The JSON lines of all parts; members in the order in which they stand."""
    return [json.loads(line) for content in parts(folder, key).values() for line in content.splitlines()]


_received: list[str] = []


def messages_about(key: str) -> list[dict[str, Any]]:
    """Messages in the failure queue, so far, that speak of an inbox key."""
    queue = client("sqs")
    while batch := queue.receive_message(QueueUrl=output("FailureQueueUrl"), MaxNumberOfMessages=10).get("Messages", []):
        for message in batch:
            _received.append(message["Body"])
            queue.delete_message(QueueUrl=output("FailureQueueUrl"), ReceiptHandle=message["ReceiptHandle"])
    return [json.loads(body) for body in _received if key in json.dumps(json.loads(body), ensure_ascii=False)]


def invocations_ended() -> int:
    """How many invocations of the function have ended so far, by its log."""
    pages = client("logs").get_paginator("filter_log_events").paginate(logGroupName=f"/aws/lambda/{output('IngesterFunction')}", filterPattern="REPORT")
    return sum(event["message"].startswith("REPORT RequestId") for page in pages for event in page["events"])


# --- a naive reference ---


def offers(account: str, rows: int, note: str = "") -> bytes:
    """A CSV with doubled keys near and far, ragged rows and empty keys, always the same for the same arguments."""
    text = ["account,offer_id,price,note"]
    for index in range(rows):
        if index % 97 == 13:
            text.append(f"{account},ragged")
        elif index % 89 == 7:
            text.append(f"{account},,{index},{note}")
        elif index % 10 == 9:
            text.append(f"{account},o{index - 4:06},{index},{note}")  # a doubled key nearby
        elif index % 11 == 10:
            text.append(f"{account},o{index // 3:06},{index},{note}")  # a doubled key far back, mostly in another run
        else:
            text.append(f"{account},o{index:06},{index},{note}")
    return ("\n".join(text) + "\n").encode()


@dataclass(frozen=True)
class Expected:
    """What a file of `offers` has to come to."""

    counts: dict[str, int]
    items: list[dict[str, str]]
    backup: dict[str, list[dict[str, str]]]
    rejects: dict[str, list[tuple[int, int]]]
    """Line and byte offset of each rejected row."""


def expected(body: bytes, block_rows: int, run_rows: int = 1_000) -> Expected:
    """One row after the other, without lanes, batches or checkpoints. `block_rows` is a multiple of `run_rows`."""
    header, *rows = body.decode().splitlines()
    names = header.split(",")
    table: dict[str, dict[str, str]] = {}
    run_of_key: dict[str, int] = {}
    totals = {"read": len(rows), "written": 0, "superseded": 0, "rejected": 0}
    backup: dict[str, list[dict[str, str]]] = {}
    rejects: dict[str, list[tuple[int, int]]] = {}
    offset = len(header) + 1
    for index, row in enumerate(rows):
        part = f"part-{index // block_rows:05}.jsonl"
        cells = row.split(",")
        item = {name: cell for name, cell in zip(names, cells) if cell}
        if len(cells) != len(names) or "offer_id" not in item:
            totals["rejected"] += 1
            rejects.setdefault(part, []).append((index + 2, offset))
        else:
            key, run = item["offer_id"], index // run_rows
            if run_of_key.get(key) == run:
                totals["superseded"] += 1
            else:
                totals["written"] += 1
            run_of_key[key] = run
            table[key] = item
            backup.setdefault(part, []).append(item)
        offset += len(row.encode()) + 1
    return Expected(totals, [table[key] for key in sorted(table)], backup, rejects)


class EndToEnd(unittest.TestCase):
    """A test with an inbox key and a partition of the table of its own."""

    maxDiff = 4_000

    def setUp(self) -> None:
        unique = uuid.uuid4().hex[:6]
        self.account = f"{self._testMethodName[-40:]}-{unique}"
        self.key = f"{self.account}.csv"

    def assert_ended_as(self, wanted: Expected, key: str, row: dict[str, Any]) -> None:
        """Table, lake and ledger are what the reference says."""
        self.assertEqual("COMPLETED", row["processing_status"], row.get("error_message"))
        self.assertEqual(wanted.counts, counts(row))
        backup = {name: [json.loads(line) for line in content.splitlines()] for name, content in parts("json-copy", key).items()}
        self.assertEqual(wanted.backup, backup)
        rejects = {
            name: [(entry["line"], entry["byte_offset"]) for entry in map(json.loads, content.splitlines())]
            for name, content in parts("unprocessed", key).items()
        }
        self.assertEqual(wanted.rejects, rejects)
        self.assertEqual(wanted.items, items(self.account))
