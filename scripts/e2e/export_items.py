"""What the tests of exports share about items: generated ones of every type, tables made of them, and what they are as plain JSON."""

from __future__ import annotations

import gzip
import json
import urllib.request
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from support import client, cloud, eventually, output

Item = dict[str, Any]
# Partition key and sort key.
Key = tuple[str, Decimal]
KEYS = ("shop", "number")
SHOPS = 997
# The attributes that are sets, which plain JSON does not say.
SETS = ("texts", "numbers", "binaries")
# Sort keys of 38 digits, which no binary number holds.
FIRST_NUMBER = 12_345_678_901_234_567_890_123_456_789_000_000_000

# Beside what every item has, one in eight has each of these. `%d` is a number of the item's own.
VARIANTS = (
    r'"nested":{"M":{"depth":{"M":{"list":{"L":[{"S":""},{"N":"%d"},{"M":{}},{"L":[]},{"BOOL":false}]}}},"näme \"\\":{"S":"✈ 𝄞"}}}',
    r'"texts":{"SS":["","a\"b","ü\n%d"]}',
    r'"numbers":{"NS":["%d","-0.1","99999999999999999999999999999999999999"]}',
    r'"binary":{"B":"AP8="},"binaries":{"BS":["AA==","/w=="]},"own":{"S":"%d"}',
    r'"nothing":{"NULL":true},"empty":{"S":""},"own":{"S":"%d"}',
    r'"huge":{"N":"9.9999999999999999999999999999999999999E+125"},"tiny":{"N":"-1E-130"},"count":{"N":"%d"}',
    # Sometimes one type and sometimes another.
    r'"mixed":{"N":"%d"},"flag":{"BOOL":true},"lines":{"L":[{"M":{"sku":{"S":"a"},"count":{"N":"1"}}},{"M":{"sku":{"S":"b"}}}]}',
    r'"mixed":{"S":"%d"},"flag":{"BOOL":false},"byday":{"M":{"mon day":{"N":"1"},"tue day":{"N":"-2.50"}}}',
)


def item_text(number: int, version: int = 0) -> str:
    """An item as DynamoDB JSON, unlike that of any other number or version."""
    more = VARIANTS[(number + version) % len(VARIANTS)] % (number * 1_000 + version)
    digits = f"{(number * 104_729 + version) % 10**9:09}"
    return f'{{"shop":{{"S":"shop {number % SHOPS}"}},"number":{{"N":"{FIRST_NUMBER + number}"}},"price":{{"N":"{number}.{digits}1234567890123456789"}},{more}}}'


def item(number: int, version: int = 0) -> Item:
    """The same, parsed."""
    return json.loads(item_text(number, version))


def key_of(found: Item) -> Key:
    """The key of an item as DynamoDB has it."""
    return found["shop"]["S"], Decimal(found["number"]["N"])


def dynamodb(operation: str, **request: Any) -> dict[str, Any]:
    """An operation by its JSON. Binary values stay base64, and 200,000 items take seconds, where boto3 takes a minute."""
    body = json.dumps(request).encode()
    headers = {"X-Amz-Target": f"DynamoDB_20120810.{operation}", "Content-Type": "application/x-amz-json-1.0"}
    signed = AWSRequest("POST", f"{cloud()['endpoint']}/", headers=headers, data=body)
    SigV4Auth(Credentials("test", "test"), "dynamodb", "us-east-1").add_auth(signed)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(urllib.request.Request(signed.url, body, dict(signed.headers.items())), timeout=150) as answer:
        return json.load(answer)


def make_table(table: str, items: int) -> None:
    """A table of generated items, made by DynamoDB's import, which is the fastest way in; it has no point-in-time recovery."""
    source = f"generated/{table}/"
    lines = "".join(f'{{"Item":{item_text(number)}}}\n' for number in range(items))
    client("s3").put_object(Bucket=output("LakeBucket"), Key=f"{source}items.json.gz", Body=gzip.compress(lines.encode(), 1))
    begun = client("dynamodb").import_table(
        S3BucketSource={"S3Bucket": output("LakeBucket"), "S3KeyPrefix": source}, InputFormat="DYNAMODB_JSON", InputCompressionType="GZIP",
        TableCreationParameters={
            "TableName": table, "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": KEYS[0], "AttributeType": "S"}, {"AttributeName": KEYS[1], "AttributeType": "N"}],
            "KeySchema": [{"AttributeName": KEYS[0], "KeyType": "HASH"}, {"AttributeName": KEYS[1], "KeyType": "RANGE"}],
        },
    )["ImportTableDescription"]  # fmt: skip
    look = lambda: client("dynamodb").describe_import(ImportArn=begun["ImportArn"])["ImportTableDescription"]
    eventually(lambda: look()["ImportStatus"] != "IN_PROGRESS", f"{table} is imported", 150)
    if look()["ImportStatus"] != "COMPLETED" or look()["ImportedItemCount"] != items:
        raise AssertionError(f"{table} was not imported: {look()}")
    client("s3").delete_object(Bucket=output("LakeBucket"), Key=f"{source}items.json.gz")


def recover(table: str) -> None:
    """Turns point-in-time recovery on."""
    client("dynamodb").update_continuous_backups(TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True})


def write(table: str, puts: Iterable[Item] = (), deletes: Iterable[Item] = ()) -> None:
    """Puts items, and deletes those with the keys of others."""
    requests = [{"PutRequest": {"Item": one}} for one in puts]
    requests += [{"DeleteRequest": {"Key": {name: one[name] for name in KEYS}}} for one in deletes]
    batches = [requests[first : first + 25] for first in range(0, len(requests), 25)]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda batch: dynamodb("BatchWriteItem", RequestItems={table: batch}), batches))


def pages(table: str) -> Iterator[list[Item]]:
    """The pages of a table."""
    start: dict[str, Any] = {}
    while True:
        page = dynamodb("Scan", TableName=table, ConsistentRead=True, **start)
        yield page["Items"]
        if "LastEvaluatedKey" not in page:
            return
        start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


def held(table: str) -> dict[Key, Item]:
    """The items of a table by key, as DynamoDB answers them."""
    return {key_of(one): one for page in pages(table) for one in page}


def plain(value: Item) -> Any:
    """A DynamoDB value as plain JSON has it; numbers are decimals, and sets in order."""
    ((kind, content),) = value.items()
    match kind:
        case "N":
            return Decimal(content)
        case "NS":
            return sorted(map(Decimal, content))
        case "SS" | "BS":
            return sorted(content)
        case "L":
            return [plain(member) for member in content]
        case "M":
            return plain_item(content)
        case "NULL":
            return None
    return content


def plain_item(found: Item) -> Item:
    """An item as plain JSON has it."""
    return {name: plain(value) for name, value in found.items()}


def parsed(text: str) -> Item:
    """An item of plain JSON, with each digit of its numbers and its sets in order."""
    found = json.loads(text, parse_float=Decimal, parse_int=Decimal)
    return found | {name: sorted(found[name]) for name in SETS if name in found}


def comparable(value: Item) -> Any:
    """A DynamoDB value whose equal forms are equal: sets without order, numbers as decimals."""
    ((kind, content),) = value.items()
    match kind:
        case "N":
            return kind, Decimal(content)
        case "SS" | "BS":
            return kind, sorted(content)
        case "NS":
            return kind, sorted(map(Decimal, content))
        case "L":
            return kind, [comparable(member) for member in content]
        case "M":
            return kind, comparable_item(content)
    return kind, content


def comparable_item(found: Item) -> Item:
    """An item whose equal forms are equal."""
    return {name: comparable(value) for name, value in found.items()}
