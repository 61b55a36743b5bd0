"""The subject `sample-handler`: a Lambda handler as such samples are usually written.

The whole object is read into memory, its rows go through csv.DictReader, and batches of 25 are written one after the
other, each with up to 3 retries of what is handed back.

Usage: sample_handler.py BUCKET KEY, with TABLE_NAME and AWS_ENDPOINT_URL in the environment.
"""

from __future__ import annotations

import csv
import io
import os
import sys
import time
from typing import Any

import boto3

BATCH_ITEMS = 25
RETRIES = 3

s3 = boto3.client("s3")
dynamodb = boto3.client("dynamodb")


def handler(event: dict[str, Any], context: object) -> dict[str, int]:
    """Load the object of each record of an S3 event."""
    rows = 0
    for record in event["Records"]:
        answer = s3.get_object(Bucket=record["s3"]["bucket"]["name"], Key=record["s3"]["object"]["key"])
        text = answer["Body"].read().decode("utf-8")
        batch: list[dict[str, Any]] = []
        for row in csv.DictReader(io.StringIO(text)):
            batch.append({"PutRequest": {"Item": {name: {"S": value} for name, value in row.items() if value}}})
            rows += 1
            if len(batch) == BATCH_ITEMS:
                write(batch)
                batch = []
        if batch:
            write(batch)
    return {"rows": rows}


def write(batch: list[dict[str, Any]]) -> None:
    """Write one batch; raise if some of it is still handed back after the last retry."""
    left = {os.environ["TABLE_NAME"]: batch}
    for attempt in range(1 + RETRIES):
        if attempt:
            time.sleep(0.1 * 2**attempt)
        left = dynamodb.batch_write_item(RequestItems=left).get("UnprocessedItems", {})
        if not left:
            return
    raise RuntimeError(f"{sum(map(len, left.values()))} items were not written")


if __name__ == "__main__":
    bucket, key = sys.argv[1:]
    print(handler({"Records": [{"s3": {"bucket": {"name": bucket}, "object": {"key": key}}}]}, None))
