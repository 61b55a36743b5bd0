"""The subject `boto3-batch-writer`: a CSV object into a table with boto3's own bulk helper.

Usage: boto3_batch_writer.py BUCKET KEY, with TABLE_NAME and AWS_ENDPOINT_URL in the environment.
"""

from __future__ import annotations

import codecs
import csv
import os
import sys

import boto3


def load(bucket: str, key: str, table_name: str) -> int:
    """Write every row of an object, read as a stream, and return how many there were."""
    body = boto3.client("s3").get_object(Bucket=bucket, Key=key)["Body"]
    table = boto3.resource("dynamodb").Table(table_name)
    rows = 0
    with table.batch_writer() as writer:
        for row in csv.DictReader(codecs.getreader("utf-8")(body)):
            writer.put_item(Item={name: value for name, value in row.items() if value})
            rows += 1
    return rows


if __name__ == "__main__":
    print(load(sys.argv[1], sys.argv[2], os.environ["TABLE_NAME"]))
