"""The subject `python-handler`: batches of a table's stream into a log, by a Lambda handler of the usual shape.

The event is parsed, each record is dumped as a line, the lines are compressed with gzip as Python does it by itself
(level 9), and boto3 puts them under a key made of the first sequence number. The lines are dumped without spaces, so that
they are the bytes that came, and there is less to compress than usually.

The loop below is that of Lambda's runtime: it asks the Runtime API at AWS_LAMBDA_RUNTIME_API for one event after the other.
TABLE_NAME, LAKE_BUCKET and AWS_ENDPOINT_URL are in the environment.
"""

from __future__ import annotations

import gzip
import http.client
import json
import os
from typing import Any

import boto3

s3 = boto3.client("s3")


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    """Put the records of a batch into one object."""
    records = event["Records"]
    lines = [json.dumps(record, separators=(",", ":"), ensure_ascii=False) + "\n" for record in records]
    s3.put_object(
        Bucket=os.environ["LAKE_BUCKET"],
        Key=f"changes/table={os.environ['TABLE_NAME']}/{records[0]['dynamodb']['SequenceNumber']}.jsonl.gz",
        Body=gzip.compress("".join(lines).encode("utf-8")),
        IfNoneMatch="*",
    )
    return {"batchItemFailures": []}


def run(runtime_api: str) -> None:
    """Answer events until the process is killed."""
    connection = http.client.HTTPConnection(runtime_api)
    invocations = "/2018-06-01/runtime/invocation"
    while True:
        connection.request("GET", f"{invocations}/next")
        answer = connection.getresponse()
        result = handler(json.loads(answer.read()), None)
        request = answer.headers["Lambda-Runtime-Aws-Request-Id"]
        connection.request("POST", f"{invocations}/{request}/response", json.dumps(result))
        connection.getresponse().read()


if __name__ == "__main__":
    run(os.environ["AWS_LAMBDA_RUNTIME_API"])
