"""The subject `python-sequential`: pending items of an index into objects, by a Lambda handler that makes one call after the
other.

It queries the index, reads each item consistently, puts it into an object as plain JSON (OUTPUT=objects) or a page of items
into one gzipped object of JSON Lines (OUTPUT=bundles), and then marks each item on the condition that it still is pending. It
takes 5,000 items at most, as the function that it is compared with does, and has no lease, no tries and nothing set aside.

TABLE_NAME, INDEX_NAME, LAKE_BUCKET, OUTPUT and AWS_ENDPOINT_URL are in the environment.
"""

from __future__ import annotations

import gzip
import json
import os
from decimal import Decimal
from typing import Any

import boto3
from boto3.dynamodb.conditions import Attr, Key

LIMIT = 5_000
PAGE_ITEMS = 500

table = boto3.resource("dynamodb").Table(os.environ["TABLE_NAME"])
s3 = boto3.client("s3")
bucket = os.environ["LAKE_BUCKET"]


def handler(event: dict[str, Any], context: object) -> dict[str, int]:
    """Reprocess pending items, page by page."""
    done, start = 0, {}
    while done < LIMIT:
        page = table.query(
            IndexName=os.environ["INDEX_NAME"],
            KeyConditionExpression=Key("processed").eq("false"),
            Limit=min(PAGE_ITEMS, LIMIT - done),
            **start,
        )
        keys = [{name: entry[name] for name in ("account", "offer_id")} for entry in page["Items"]]
        if os.environ["OUTPUT"] == "bundles":
            bundle(keys)
        else:
            for key in keys:
                put(f"{key['account']}/{key['offer_id']}.json", dumped(read(key)).encode("utf-8"))
                mark(key)
        done += len(keys)
        if "LastEvaluatedKey" not in page:
            break
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}
    return {"done": done}


def bundle(keys: list[dict[str, str]]) -> None:
    """Put the items of a page into one object, and mark them."""
    if not keys:
        return
    tagged = [{name: {"S": text} for name, text in key.items()} for key in keys]
    lines = [dumped({"run": 1, "key": tag, "output": read(key)}) + "\n" for key, tag in zip(keys, tagged)]
    first, last = ("-".join(key.values()) for key in (keys[0], keys[-1]))
    put(f"{first}..{last}.jsonl.gz", gzip.compress("".join(lines).encode("utf-8")))
    for key in keys:
        mark(key)


def read(key: dict[str, str]) -> dict[str, Any]:
    """Read one item as it is now."""
    item: dict[str, Any] = table.get_item(Key=key, ConsistentRead=True)["Item"]
    return item


def put(name: str, body: bytes) -> None:
    """Put one object."""
    s3.put_object(Bucket=bucket, Key=f"reprocessed/table={table.name}/{name}", Body=body, IfNoneMatch="*")


def mark(key: dict[str, str]) -> None:
    """Mark one item as done if it still is pending."""
    table.update_item(
        Key=key,
        UpdateExpression="SET processed = :done",
        ConditionExpression=Attr("processed").eq("false"),
        ExpressionAttributeValues={":done": "true"},
    )


def dumped(value: dict[str, Any]) -> str:
    """Write plain JSON; DynamoDB's numbers are decimals in boto3."""
    return json.dumps(value, ensure_ascii=False, default=number)


def number(value: Decimal) -> int | float:
    """Write a decimal as JSON's number."""
    return int(value) if value == int(value) else float(value)


if __name__ == "__main__":
    print(handler({}, None))
