"""ImportTable: what it makes of CSV and DynamoDB JSON, what it says of bad items, and the table that it leaves."""

from __future__ import annotations

import gzip
import json
import time
import unittest
import uuid

import zstandard
from botocore.exceptions import ClientError
from support import client, cloud, eventually

PENDING = {
    "IndexName": "processed-index",
    "KeySchema": [{"AttributeName": "processed", "KeyType": "HASH"}],
    "Projection": {"ProjectionType": "KEYS_ONLY"},
}


def upload(body: bytes | str, *more: bytes | str) -> dict:
    """Puts objects below a prefix of their own; returns the source of an import."""
    source = {"S3Bucket": cloud()["outputs"]["Inbox"].replace("inbox", "imports"), "S3KeyPrefix": f"{uuid.uuid4().hex}/"}
    client("s3").create_bucket(Bucket=source["S3Bucket"])
    for number, content in enumerate((body, *more)):
        content = content.encode() if isinstance(content, str) else content
        client("s3").put_object(Bucket=source["S3Bucket"], Key=f"{source['S3KeyPrefix']}{number}", Body=content)
    return source


def parameters(key: str = "id", key_type: str = "S", indexed: bool = False) -> dict:
    """Table creation parameters with one key, and with the index of pending items."""
    attributes = [{"AttributeName": key, "AttributeType": key_type}]
    table = {
        "TableName": f"imported-{uuid.uuid4().hex[:8]}",
        "AttributeDefinitions": attributes + ([{"AttributeName": "processed", "AttributeType": "S"}] if indexed else []),
        "KeySchema": [{"AttributeName": key, "KeyType": "HASH"}],
        "BillingMode": "PAY_PER_REQUEST",
    }
    return table | ({"GlobalSecondaryIndexes": [PENDING]} if indexed else {})


def begin(source: dict, table: dict, **settings: object) -> dict:
    """Begins an import of CSV unless told otherwise."""
    request = {"InputFormat": "CSV", "S3BucketSource": source, "TableCreationParameters": table} | settings
    return client("dynamodb").import_table(**request)["ImportTableDescription"]


def finished(begun: dict) -> dict:
    """Waits for the end of an import."""

    def look() -> dict | None:
        shown = client("dynamodb").describe_import(ImportArn=begun["ImportArn"])["ImportTableDescription"]
        return shown if shown["ImportStatus"] != "IN_PROGRESS" else None

    return eventually(look)


def items(table: dict) -> list[dict]:
    """All items of a table, by key."""
    found = [item for page in client("dynamodb").get_paginator("scan").paginate(TableName=table["TableName"]) for item in page["Items"]]
    key = table["KeySchema"][0]["AttributeName"]
    return sorted(found, key=lambda item: list(item[key].values()))


def counts(ended: dict) -> tuple:
    """How an import ended and what it counted."""
    return tuple(ended[name] for name in ("ImportStatus", "ProcessedItemCount", "ImportedItemCount", "ErrorCount"))


class Csv(unittest.TestCase):
    def test_keys_have_their_types_the_rest_is_text_and_empty_columns_are_left_out(self) -> None:
        table = parameters(key_type="N", indexed=True)
        ended = finished(begin(upload('id,name,processed\n7,"a ""b"", c",false\n8,,\n'), table))
        self.assertEqual(("COMPLETED", 2, 2, 0), counts(ended))
        self.assertEqual([{"id": {"N": "7"}, "name": {"S": 'a "b", c'}, "processed": {"S": "false"}}, {"id": {"N": "8"}}], items(table))

    def test_header_list_and_delimiter(self) -> None:
        table = parameters()
        options = {"Csv": {"Delimiter": ";", "HeaderList": ["id", "note"]}}
        ended = finished(begin(upload("id;first\n", "b;second\n"), table, InputFormatOptions=options))
        self.assertEqual(("COMPLETED", 2, 2, 0), counts(ended))
        self.assertEqual([{"id": {"S": "b"}, "note": {"S": "second"}}, {"id": {"S": "id"}, "note": {"S": "first"}}], items(table))

    def test_of_duplicates_one_stays_and_nothing_is_said(self) -> None:
        table = parameters()
        ended = finished(begin(upload("id,v\na,1\na,2\n"), table))
        self.assertEqual(("COMPLETED", 2, 2, 0), counts(ended))
        self.assertEqual(1, len(items(table)))

    def test_bad_rows_fail_the_import_leave_a_partial_table_and_are_logged(self) -> None:
        table = parameters(key_type="N")
        begun = begin(upload("id,v\n1,ok\nword,bad key\n,no key\n2,too,many\n3,ok\n"), table)
        ended = finished(begun)
        self.assertEqual(("FAILED", 5, 2, 3), counts(ended))
        self.assertEqual("ItemValidationError", ended["FailureCode"])
        self.assertEqual(["1", "3"], [item["id"]["N"] for item in items(table)])
        group = ended["CloudWatchLogGroupArn"].split(":")[6]
        stream = f"{begun['ImportArn'].rpartition('/')[2]}/error"
        events = client("logs").get_log_events(logGroupName=group, logStreamName=stream)["events"]
        self.assertEqual({1, 2, 3}, {json.loads(event["message"])["itemS3Pointer"]["itemIndex"] for event in events})


class DynamoDbJson(unittest.TestCase):
    def test_every_type_and_every_compression(self) -> None:
        item = {"id": {"S": "a"}, "n": {"N": "12345678901234567890123456789012345678"}, "m": {"M": {"l": {"L": [{"BOOL": True}, {"NULL": True}]}}}}
        line = json.dumps({"Item": item}).encode() + b"\n"
        other = json.dumps({"Item": {"id": {"S": "b"}}}).encode() + b"\n"
        frames = zstandard.compress(line) + zstandard.compress(other)
        for compression, body in (("NONE", line + other), ("GZIP", gzip.compress(line + other)), ("ZSTD", frames)):
            with self.subTest(compression):
                table = parameters()
                begun = begin(upload(body), table, InputFormat="DYNAMODB_JSON", InputCompressionType=compression)
                ended = finished(begun)
                self.assertEqual(("COMPLETED", 2, 2, 0), counts(ended), ended)
                self.assertEqual((compression, compression), (begun["InputCompressionType"], ended["InputCompressionType"]))
                self.assertEqual([item, {"id": {"S": "b"}}], items(table))

    def test_what_is_not_zstd_and_what_is_cut_off_fails(self) -> None:
        whole = zstandard.compress(json.dumps({"Item": {"id": {"S": "a"}}}).encode())
        for body in (b"plain\n", whole[:-1], whole + whole[:9]):
            with self.subTest(body):
                ended = finished(begin(upload(body), parameters(), InputFormat="DYNAMODB_JSON", InputCompressionType="ZSTD"))
                self.assertEqual(("FAILED", "InputFormatError"), (ended["ImportStatus"], ended.get("FailureCode")), ended)


class Requests(unittest.TestCase):
    def refused(self, operation: str, **request: object) -> str:
        with self.assertRaises(ClientError) as caught:
            getattr(client("dynamodb"), operation)(**request)
        return caught.exception.response["Error"]["Code"]

    def test_a_repeated_request_finds_its_import_and_another_with_its_token_is_refused(self) -> None:
        source, table, token = upload("id\na\n"), parameters(), uuid.uuid4().hex
        first = begin(source, table, ClientToken=token)
        self.assertEqual(first["ImportArn"], begin(source, table, ClientToken=token)["ImportArn"])
        self.assertEqual("COMPLETED", finished(first)["ImportStatus"])
        self.assertEqual(first["ImportArn"], begin(source, table, ClientToken=token, InputCompressionType="NONE")["ImportArn"])
        request = {"S3BucketSource": source, "TableCreationParameters": table}
        self.assertEqual("ImportConflictException", self.refused("import_table", **request, InputFormat="DYNAMODB_JSON", ClientToken=token))
        self.assertEqual("ResourceInUseException", self.refused("import_table", **request, InputFormat="CSV", ClientToken=uuid.uuid4().hex))

    def test_the_table_is_not_ready_before_the_import_ends(self) -> None:
        table = parameters()
        begun = begin(upload("id\na\n"), table)
        name = table["TableName"]
        self.assertEqual("CREATING", client("dynamodb").describe_table(TableName=name)["Table"]["TableStatus"])
        self.assertEqual("ResourceInUseException", self.refused("update_table", TableName=name, DeletionProtectionEnabled=True))
        recovery = {"PointInTimeRecoveryEnabled": True}
        self.assertEqual(
            "ContinuousBackupsUnavailableException", self.refused("update_continuous_backups", TableName=name, PointInTimeRecoverySpecification=recovery)
        )
        finished(begun)
        self.assertEqual("ACTIVE", client("dynamodb").describe_table(TableName=name)["Table"]["TableStatus"])

    def test_a_stream_without_a_proper_view_and_a_second_stream_are_refused(self) -> None:
        table = parameters()
        finished(begin(upload("id\na\n"), table))
        unknown = {"StreamEnabled": True, "StreamViewType": "ALL"}
        self.assertEqual("ValidationException", self.refused("update_table", TableName=table["TableName"], StreamSpecification=unknown))
        stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        client("dynamodb").update_table(TableName=table["TableName"], StreamSpecification=stream)
        self.assertEqual("ValidationException", self.refused("update_table", TableName=table["TableName"], StreamSpecification=stream))

    def test_imports_are_listed_by_table(self) -> None:
        table = parameters()
        begun = begin(upload("id\na\n"), table)
        finished(begun)
        listed = client("dynamodb").list_imports(TableArn=begun["TableArn"])["ImportSummaryList"]
        self.assertEqual([(begun["ImportArn"], "COMPLETED", "CSV")], [(entry["ImportArn"], entry["ImportStatus"], entry["InputFormat"]) for entry in listed])


class Large(unittest.TestCase):
    def test_twenty_thousand_rows_with_an_index_take_seconds_and_the_table_is_a_table_like_any_other(self) -> None:
        table = parameters(indexed=True)
        rows = "id,name,processed\n" + "".join(f"{number:05},name {number},false\n" for number in range(20_000))
        began = time.monotonic()
        self.assertEqual(("COMPLETED", 20_000, 20_000, 0), counts(finished(begin(upload(rows), table))))
        self.assertLess(time.monotonic() - began, 10, "seconds for the import")

        name = table["TableName"]
        recovery = {"PointInTimeRecoveryEnabled": True}
        client("dynamodb").update_continuous_backups(TableName=name, PointInTimeRecoverySpecification=recovery)
        stream = {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
        client("dynamodb").update_table(TableName=name, StreamSpecification=stream)

        began = time.monotonic()
        pages = client("dynamodb").get_paginator("query").paginate(
            TableName=name, IndexName="processed-index", KeyConditionExpression="#p = :p", ExpressionAttributeNames={"#p": "processed"},
            ExpressionAttributeValues={":p": {"S": "false"}}, Limit=1000,
        )  # fmt: skip
        keys = [item["id"]["S"] for page in pages for item in page["Items"]]
        self.assertEqual([f"{number:05}" for number in range(20_000)], keys)
        self.assertLess(time.monotonic() - began, 10, "seconds for twenty pages")

        changed = {"id": {"S": "00007"}, "processed": {"S": "true"}}
        client("dynamodb").put_item(TableName=name, Item=changed)
        arn = client("dynamodb").describe_table(TableName=name)["Table"]["LatestStreamArn"]
        self.assertRegex(arn, r"/stream/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}$")
        (shard,) = client("dynamodbstreams").describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
        iterator = client("dynamodbstreams").get_shard_iterator(StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
        # What was imported is not on the stream: it was not there yet.
        (record,) = client("dynamodbstreams").get_records(ShardIterator=iterator)["Records"]
        self.assertEqual(("MODIFY", changed), (record["eventName"], record["dynamodb"]["NewImage"]))
        self.assertEqual({"S": "name 7"}, record["dynamodb"]["OldImage"]["name"])


if __name__ == "__main__":
    unittest.main()
