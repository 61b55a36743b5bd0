"""One file through one stack: upload it, follow it in the ledger, and collect what is there at the end."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import boto3
from local_cloud import control

from demo_run.accounting import Load, Outcome
from demo_run.expected import Item
from demo_run.show import Progress

# The ledger moves with every block; nothing for this long means that something is wrong.
STALLED_SECONDS = 120
POLL_SECONDS = 0.25


def run(session: boto3.Session, load: Load) -> Outcome:
    """Uploads the file and waits for its end; S3's event does the rest."""
    with open(load.path, "rb") as body:
        answer = session.client("s3").put_object(Bucket=load.outputs["InboxBucket"], Key=load.key, Body=body)
    job = follow(session, load, answer["VersionId"])
    s3 = Lake(session, load.outputs["LakeBucket"])
    copies, rejects = s3.keys(load.folder("json-copy")), s3.keys(load.folder("unprocessed"))
    began, ended = (datetime.fromisoformat(job[name]) for name in ("start_time", "end_time"))
    return Outcome(
        read=int(job["rows_read"]),
        written=int(job["rows_written"]),
        superseded=int(job["rows_superseded"]),
        rejected=int(job["rows_rejected"]),
        seconds=(ended - began).total_seconds(),
        peak_memory_mb=int(job["peak_memory_mb"]),
        items={load.rules.key_of_item(item): item for item in scan(session, load.outputs["TableName"])},
        backup_lines=sum(s3.read(key).count(b"\n") for key in copies),
        backup_parts=len(copies),
        rejects=[json.loads(line) for key in rejects for line in s3.read(key).splitlines()],
        reject_parts=len(rejects),
    )


def follow(session: boto3.Session, load: Load, version: str) -> Item:
    """The ledger row of this version of the file once its job is complete; a Problem if it fails or stands still."""
    progress = Progress(load.key, load.expected.read, "rows", "settled", speed=True)
    moved, last_updated = time.monotonic(), None
    try:
        while True:
            job = next((row for row in scan(session, load.outputs["LedgerTable"]) if row.get("file_id") == version), None)
            if job is not None and job["last_updated"] != last_updated:
                moved, last_updated = time.monotonic(), job["last_updated"]
            settled = int(job["rows_read"]) if job else 0
            if job and job["processing_status"] == "COMPLETED":
                progress.finish(settled)
                return job
            if job and job["processing_status"] != "IN_PROGRESS":
                raise control.Problem(f"the job of {load.key} is {job['processing_status']}: {job.get('error_message')}")
            if time.monotonic() - moved > STALLED_SECONDS:
                reason = (job or {}).get("error_message", "the function has not said why")
                raise control.Problem(f"nothing has happened to {load.key} for {STALLED_SECONDS} seconds: {reason}")
            progress.update(settled)
            time.sleep(POLL_SECONDS)
    except BaseException:
        progress.abandon()
        raise


class Lake:
    """The objects of the lake bucket."""

    def __init__(self, session: boto3.Session, bucket: str) -> None:
        self.s3 = session.client("s3")
        self.bucket = bucket

    def keys(self, prefix: str) -> list[str]:
        """Names of all objects under a prefix, in order."""
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        return [entry["Key"] for page in pages for entry in page.get("Contents", [])]

    def read(self, key: str) -> bytes:
        """A whole object."""
        return self.s3.get_object(Bucket=self.bucket, Key=key)["Body"].read()


def scan(session: boto3.Session, table: str) -> Iterator[Item]:
    """All items of a table."""
    for page in session.client("dynamodb").get_paginator("scan").paginate(TableName=table, ConsistentRead=True):
        for item in page["Items"]:
            yield {name: plain(value) for name, value in item.items()}


def plain(value: dict[str, Any]) -> Any:
    """The value of an attribute; types that the demo's tables do not have stay as DynamoDB writes them."""
    if "S" in value:
        return value["S"]
    return Decimal(value["N"]) if "N" in value else value
