"""What the tests of the change log share: changes of the table, functions that fail on purpose, and the log in DuckDB."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import random
import signal
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from change_log_sql import connect
from support import EndToEnd, client, configured, eventually, function_processes, output

# Few enough that most changes are of a key that was changed before.
KEYS = 60
Item = dict[str, Any]


def mapping() -> str:
    """The event source mapping of the table's stream."""
    (found,) = client("lambda").list_event_source_mappings(FunctionName=output("StreamWriterFunction"))["EventSourceMappings"]
    return found["UUID"]


def odd_values(choice: random.Random, number: int) -> Item:
    """Attributes of all kinds, unlike those of any other number."""
    nested: Item = {"N": str(number)}
    for _ in range(30):
        nested = choice.choice([{"M": {"m": nested}}, {"L": [nested, {"BOOL": True}]}])
    values: Item = {
        "digits": {"N": f"1234567890123456789012345678901234567{number % 10}"},
        "small": {"N": "-9.9999999999999999999999999999999999999E-130"},
        "binary": {"B": bytes([0, 255, number % 256])},
        "binaries": {"BS": [b"\x00", b"\xff"]},
        "texts": {"SS": ["", 'a"\\b', "ü\n"]},
        "numbers": {"NS": ["1", "-0.1", "99999999999999999999999999999999999999"]},
        "empty": {"S": ""},
        "nothing": {"NULL": True},
        "map": {"M": {}},
        "list": {"L": []},
        "nested": nested,
        'näme "\\ ✈': {"S": "𝄞\u2028"},
    }
    return {"number": {"N": str(number)}} | {name: values[name] for name in choice.sample(sorted(values), 4)}


def comparable(value: Item) -> Any:
    """A DynamoDB value whose equal forms are equal: sets without order, bytes as base64, numbers as decimals."""
    ((kind, content),) = value.items()
    as_text = lambda blob: base64.b64encode(blob).decode() if isinstance(blob, bytes) else blob
    match kind:
        case "N":
            return kind, Decimal(content)
        case "B":
            return kind, as_text(content)
        case "SS" | "BS":
            return kind, sorted(map(as_text, content))
        case "NS":
            return kind, sorted(map(Decimal, content))
        case "L":
            return kind, [comparable(member) for member in content]
        case "M":
            return kind, {name: comparable(member) for name, member in content.items()}
    return kind, content


def comparable_item(item: Item) -> Item:
    return {name: comparable(value) for name, value in item.items()}


class Log:
    """A copy of the lake's log on disk, so that reading it again costs nothing of the local cloud."""

    def __init__(self, account: str) -> None:
        self.account = account
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / f"changes/table={output('TableName')}"
        self.connection: Any = None

    def refresh(self) -> None:
        """Fetches the objects that are new."""
        s3, bucket = client("s3"), output("LakeBucket")
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"changes/table={output('TableName')}/"):
            for entry in page.get("Contents", []):
                file = Path(self.folder.name) / entry["Key"]
                if not file.exists():
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read())

    def ask(self, sql: str) -> list[Any]:
        """Runs a query that names the account as $account."""
        if self.connection is None:
            self.connection = connect(self.path)
        return self.connection.execute(sql, {"account": self.account}).fetchall()

    def seen(self) -> list[tuple[str, str, str]]:
        """Key, event name and line of each change of the account, as a reader sees them."""
        self.refresh()
        if not self.path.exists():
            return []
        return self.ask("select key2_value, event_name, line from changes where key1_value = $account order by sequence_number")

    def state(self) -> dict[str, Item]:
        """The account's items by sort key."""
        rows = self.ask("select key2_value, item from table_state where key1_value = $account")
        return {key: comparable_item(json.loads(item)) for key, item in rows}

    def lines(self) -> int:
        """How many lines of the account the objects have, doubled ones among them."""
        ((count,),) = self.ask("select count(*) from change_log where line like '%' || $account || '%'")
        return count


def held(account: str, table: str | None = None) -> dict[str, Item]:
    """What the target table, or another one with its keys, holds of the account, by sort key."""
    pages = client("dynamodb").get_paginator("query").paginate(
        TableName=table or output("TableName"), ConsistentRead=True, KeyConditionExpression="account = :account",
        ExpressionAttributeValues={":account": {"S": account}},
    )  # fmt: skip
    return {item["offer_id"]["S"]: comparable_item(item) for page in pages for item in page["Items"]}


@contextlib.contextmanager
def killed_again_and_again(choice: random.Random) -> Iterator[list[int]]:
    """Kills the function's processes every few moments; yields a list that tells them."""
    over, killed = threading.Event(), []

    def kill() -> None:
        while not over.wait(choice.uniform(0.02, 0.4)):
            for process in function_processes("StreamWriterFunction"):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                    killed.append(process)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


class ChangingTable(EndToEnd):
    """A test that changes the table and looks at its log."""

    def setUp(self) -> None:
        super().setUp()
        self.choice = random.Random(7)
        self.made: Counter[str] = Counter()
        self.log = Log(self.account)
        self.addCleanup(self.log.folder.cleanup)
        # Small batches, several at a time: more deliveries for the same changes.
        client("lambda").update_event_source_mapping(UUID=mapping(), BatchSize=20, ParallelizationFactor=3)
        self.addCleanup(client("lambda").update_event_source_mapping, UUID=mapping(), BatchSize=10_000, ParallelizationFactor=1)

    def change(self, changes: int) -> None:
        """Puts, updates and deletes items of the account, each of which is a change."""
        table, dynamodb = output("TableName"), client("dynamodb")
        there = set(held(self.account))
        for _ in range(changes):
            # Greater with each change, so that none leaves its item as it was: DynamoDB makes no record of that.
            number = sum(self.made.values())
            name = f"o{self.choice.randrange(KEYS)}"
            key = {"account": {"S": self.account}, "offer_id": {"S": name}}
            kind = self.choice.random()
            if name in there and kind < 0.25:
                dynamodb.delete_item(TableName=table, Key=key)
                there.remove(name)
            elif name in there and kind < 0.6:
                dynamodb.update_item(
                    TableName=table, Key=key, UpdateExpression="SET #n = :n",
                    ExpressionAttributeNames={"#n": "number"}, ExpressionAttributeValues={":n": {"N": str(number)}},
                )  # fmt: skip
            else:
                dynamodb.put_item(TableName=table, Item=key | odd_values(self.choice, number))
                there.add(name)
            self.made[name] += 1

    def arrived(self) -> list[tuple[str, str, str]]:
        """Waits until as many changes are in the log as were made."""
        wanted = sum(self.made.values())
        eventually(lambda: len(self.log.seen()) >= wanted, f"{wanted} changes are in the log", 120)
        return self.log.seen()

    def change_while_all_fails(self, changes: int) -> int:
        """Changes the table while the function is killed, and for a while has no bucket; returns how often it was killed."""
        with killed_again_and_again(self.choice) as killed:
            self.change(changes // 3)
            # A bucket that is not there: every batch fails, and is reported by its first sequence number.
            with configured("StreamWriterFunction", LAKE_BUCKET="there-is-no-such-bucket"):
                self.change(changes // 3)
                time.sleep(2)
            self.change(changes // 3)
        return len(killed)
