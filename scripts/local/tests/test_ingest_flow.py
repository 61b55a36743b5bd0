"""What the ingest flow needs of the local cloud: events, versions, ranges, retries, schedules, roles, index."""

from __future__ import annotations

import json
import unittest

from botocore.exceptions import ClientError
from support import client, cloud, eventually, invocations


def output(name: str) -> str:
    return cloud()["outputs"][name]


def object_events(key: str) -> list[dict]:
    """The S3 records about one key that reached the probe."""
    records = [record for call in invocations() for record in call["event"].get("Records", []) if "s3" in record]
    return [record for record in records if record["s3"]["object"]["key"] == key]


class UploadEvents(unittest.TestCase):
    def test_event_names_version_and_growing_sequencer(self) -> None:
        first = client("s3").put_object(Bucket=output("Inbox"), Key="dir/a b+é.csv", Body=b"1")
        second = client("s3").put_object(Bucket=output("Inbox"), Key="dir/a b+é.csv", Body=b"22")
        records = eventually(lambda: (found := object_events("dir/a+b%2B%C3%A9.csv")) and len(found) == 2 and found)
        by_version = {record["s3"]["object"]["versionId"]: record["s3"]["object"] for record in records}
        older, newer = by_version[first["VersionId"]], by_version[second["VersionId"]]
        self.assertLess(older["sequencer"], newer["sequencer"])
        self.assertEqual([1, 2], [older["size"], newer["size"]])
        self.assertEqual({"ObjectCreated:Put"}, {record["eventName"] for record in records})
        old_body = client("s3").get_object(Bucket=output("Inbox"), Key="dir/a b+é.csv", VersionId=first["VersionId"])["Body"].read()
        self.assertEqual(b"1", old_body)

    def test_multipart_upload_is_one_event(self) -> None:
        s3, key = client("s3"), {"Bucket": output("Inbox"), "Key": "parts.csv"}
        upload = s3.create_multipart_upload(**key)["UploadId"]
        bodies = [b"a" * (5 << 20), b"tail"]
        parts = [
            {"PartNumber": number, "ETag": s3.upload_part(**key, UploadId=upload, PartNumber=number, Body=body)["ETag"]}
            for number, body in enumerate(bodies, 1)
        ]
        s3.complete_multipart_upload(**key, UploadId=upload, MultipartUpload={"Parts": parts})
        (record,) = eventually(lambda: object_events("parts.csv"))
        self.assertEqual("ObjectCreated:CompleteMultipartUpload", record["eventName"])
        self.assertEqual((5 << 20) + 4, record["s3"]["object"]["size"])

    def test_failing_upload_is_retried_and_then_queued(self) -> None:
        client("s3").put_object(Bucket=output("Inbox"), Key="poison.csv", Body=b"x")
        queue = client("sqs")
        messages = eventually(lambda: queue.receive_message(QueueUrl=output("Failures")).get("Messages"))
        body = json.loads(messages[0]["Body"])
        self.assertEqual("poison.csv", body["requestPayload"]["Records"][0]["s3"]["object"]["key"])
        self.assertEqual("Poisoned", body["responsePayload"]["errorType"])
        self.assertEqual(2, len(object_events("poison.csv")))


class Schedules(unittest.TestCase):
    def test_rate_schedule_fires_at_once_with_its_input(self) -> None:
        eventually(lambda: [call for call in invocations() if call["event"] == {"sweep": True}])


class Objects(unittest.TestCase):
    def test_ranged_read_of_the_very_object(self) -> None:
        s3, key = client("s3"), {"Bucket": output("Inbox"), "Key": "ranged.bin"}
        etag = s3.put_object(**key, Body=b"0123456789")["ETag"]
        answer = s3.get_object(**key, Range="bytes=4-6", IfMatch=etag)
        self.assertEqual((206, b"456", "bytes 4-6/10"), (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Body"].read(), answer["ContentRange"]))
        s3.put_object(**key, Body=b"abcdefghij")
        with self.assertRaises(ClientError) as refused:
            s3.get_object(**key, Range="bytes=4-", IfMatch=etag)
        self.assertEqual(412, refused.exception.response["ResponseMetadata"]["HTTPStatusCode"])

    def test_put_if_absent(self) -> None:
        s3, key = client("s3"), {"Bucket": output("Inbox"), "Key": "once.bin"}
        s3.put_object(**key, Body=b"1", IfNoneMatch="*")
        with self.assertRaises(ClientError) as refused:
            s3.put_object(**key, Body=b"2", IfNoneMatch="*")
        self.assertEqual(412, refused.exception.response["ResponseMetadata"]["HTTPStatusCode"])


class Tables(unittest.TestCase):
    def test_batches_and_keys_only_index(self) -> None:
        dynamodb, table = client("dynamodb"), output("Table")
        rows = [{"job": {"S": f"j{i:02}"}, "part": {"S": "object"}, "note": {"S": "n"}} | ({"open": {"S": "open"}} if i % 2 else {}) for i in range(25)]
        answer = dynamodb.batch_write_item(RequestItems={table: [{"PutRequest": {"Item": row}} for row in rows]})
        self.assertEqual({}, answer["UnprocessedItems"])
        found = dynamodb.query(
            TableName=table, IndexName="open-jobs", KeyConditionExpression="#o = :o",
            ExpressionAttributeNames={"#o": "open"}, ExpressionAttributeValues={":o": {"S": "open"}},
        )["Items"]  # fmt: skip
        self.assertEqual([f"j{i:02}" for i in range(1, 25, 2)], [item["job"]["S"] for item in found])
        self.assertEqual({"job", "part", "open"}, set(found[0]))

    def test_batch_refusals(self) -> None:
        put = {"PutRequest": {"Item": {"job": {"S": "same"}, "part": {"S": "p"}}}}
        many = [{"PutRequest": {"Item": {"job": {"S": f"m{i}"}, "part": {"S": "p"}}}} for i in range(26)]
        for requests in ([put, put], many):
            with self.assertRaises(ClientError) as refused:
                client("dynamodb").batch_write_item(RequestItems={output("Table"): requests})
            self.assertEqual("ValidationException", refused.exception.response["Error"]["Code"])


class TemplateProperties(unittest.TestCase):
    def test_point_in_time_recovery_and_expiry_are_applied(self) -> None:
        dynamodb, table = client("dynamodb"), output("Table")
        backups = dynamodb.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
        self.assertEqual("ENABLED", backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"])
        expiry = dynamodb.describe_time_to_live(TableName=table)["TimeToLiveDescription"]
        self.assertEqual(("ENABLED", "expire"), (expiry["TimeToLiveStatus"], expiry["AttributeName"]))

    def test_function_settings_are_applied(self) -> None:
        function = client("lambda").get_function(FunctionName=output("Probe"))
        self.assertEqual(7, function["Concurrency"]["ReservedConcurrentExecutions"])
        self.assertIn(":sqs:", function["Configuration"]["DeadLetterConfig"]["TargetArn"])
        self.assertEqual(["x86_64"], function["Configuration"]["Architectures"])


if __name__ == "__main__":
    unittest.main()
