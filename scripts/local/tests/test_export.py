"""Exports: layout, checksums, partitions, moments, windows, refusals, lists, the recovery window."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import time
import unittest
import uuid
from datetime import datetime, timezone

from botocore.exceptions import ClientError
from support import client, eventually, table


# Of each table: the default of the local cloud.
PARTITIONS = 4


def at(seconds: float) -> datetime:
    """The API carries whole seconds."""
    return datetime.fromtimestamp(int(seconds), timezone.utc)


def next_second() -> int:
    """Waits for the next whole second, so that writes before and after it are told apart."""
    second = int(time.time()) + 1
    time.sleep(second - time.time() + 0.01)
    return second


def put(name: str, key: str, value: str) -> None:
    client("dynamodb").put_item(TableName=name, Item={"id": {"S": key}, "v": {"S": value}})


class Exports(unittest.TestCase):
    bucket: str

    @classmethod
    def setUpClass(cls) -> None:
        cls.bucket = f"exports-{uuid.uuid4().hex[:8]}"
        client("s3").create_bucket(Bucket=cls.bucket)

    def recoverable_table(self) -> dict:
        made = table()
        client("dynamodb").update_continuous_backups(
            TableName=made["TableName"], PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
        return made

    def export(self, made: dict, **request: object) -> dict:
        """Runs an export to its end."""
        request.setdefault("S3Bucket", self.bucket)
        begun = client("dynamodb").export_table_to_point_in_time(TableArn=made["TableArn"], **request)["ExportDescription"]
        self.assertEqual("IN_PROGRESS", begun["ExportStatus"])

        def ended() -> dict | None:
            described = client("dynamodb").describe_export(ExportArn=begun["ExportArn"])["ExportDescription"]
            return described if described["ExportStatus"] != "IN_PROGRESS" else None

        return eventually(ended)

    def read(self, key: str) -> bytes:
        return client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def lines(self, export: dict) -> list[dict]:
        """Everything in the data files, by way of the manifests."""
        summary = json.loads(self.read(export["ExportManifest"]))
        files = [json.loads(line) for line in self.read(summary["manifestFilesS3Key"]).splitlines()]
        return [json.loads(line) for file in files for line in gzip.decompress(self.read(file["dataFileS3Key"])).splitlines()]

    def values(self, export: dict) -> dict[str, str]:
        """What a full export says of each key."""
        return {line["Item"]["id"]["S"]: line["Item"]["v"]["S"] for line in self.lines(export)}

    def window(self, made: dict, begin: int, end: int, **specification: str) -> dict:
        specification = {"ExportFromTime": at(begin), "ExportToTime": at(end), **specification}
        return self.export(made, ExportType="INCREMENTAL_EXPORT", IncrementalExportSpecification=specification)

    def pages(self, **request: str) -> list[dict]:
        """All pages of ListExports."""
        pages = [client("dynamodb").list_exports(**request)]
        while "NextToken" in pages[-1]:
            pages.append(client("dynamodb").list_exports(NextToken=pages[-1]["NextToken"], **request))
        return pages

    def refusal(self, made: dict, **request: object) -> str:
        with self.assertRaises(ClientError) as refused:
            client("dynamodb").export_table_to_point_in_time(TableArn=made["TableArn"], S3Bucket=self.bucket, **request)
        return refused.exception.response["Error"]["Code"]

    def test_full_export_layout_and_checksums(self) -> None:
        made = self.recoverable_table()
        for number in range(25):
            put(made["TableName"], f"k{number}", "é" * 50)
        export = self.export(made, S3Prefix="some/prefix")
        self.assertEqual(("COMPLETED", 25), (export["ExportStatus"], export["ItemCount"]))
        base = f"some/prefix/AWSDynamoDB/{export['ExportArn'].rpartition('/')[2]}/"
        self.assertEqual(f"{base}manifest-summary.json", export["ExportManifest"])
        self.assertEqual(b"", self.read(f"{base}_started"))
        for name in ("manifest-summary", "manifest-files"):
            md5 = hashlib.md5(self.read(f"{base}{name}.json")).digest()
            self.assertEqual(base64.b64encode(md5), self.read(f"{base}{name}.md5"))
        summary = json.loads(self.read(export["ExportManifest"]))
        self.assertEqual(("2020-06-30", 25, "some/prefix"), (summary["version"], summary["itemCount"], summary["s3Prefix"]))
        self.assertNotIn("exportType", summary)
        files = [json.loads(line) for line in self.read(summary["manifestFilesS3Key"]).splitlines()]
        # More than one of a partition: the files are small here.
        self.assertGreater(len(files), PARTITIONS)
        keys = [file["dataFileS3Key"] for file in files]
        self.assertEqual(sorted(keys), keys, "by names that are random")
        self.assertEqual(25, sum(file["itemCount"] for file in files))
        for file in files:
            self.assertTrue(file["dataFileS3Key"].startswith(f"{base}data/"))
            md5 = hashlib.md5(self.read(file["dataFileS3Key"])).digest()
            self.assertEqual((base64.b64encode(md5).decode(), f"{hashlib.md5(md5).hexdigest()}-1"), (file["md5Checksum"], file["etag"]))
        self.assertEqual({f"k{number}": "é" * 50 for number in range(25)}, self.values(export))

    def files(self, export: dict) -> list[dict]:
        """The lines of manifest-files.json."""
        summary = json.loads(self.read(export["ExportManifest"]))
        return [json.loads(line) for line in self.read(summary["manifestFilesS3Key"]).splitlines()]

    def test_empty_partitions_are_empty_files(self) -> None:
        """20 bytes of gzip and a count of 0, as AWS writes for a partition without items."""
        made = self.recoverable_table()
        empty = (0, 20)
        files = self.files(self.export(made))
        self.assertEqual([empty] * PARTITIONS, [(file["itemCount"], len(self.read(file["dataFileS3Key"]))) for file in files])
        put(made["TableName"], "a", "1")
        files = self.files(self.export(made))
        self.assertEqual([0] * (PARTITIONS - 1) + [1], sorted(file["itemCount"] for file in files))

    def test_partition_key_chooses_the_file(self) -> None:
        """What has one partition key is in one partition, and its files are no part of the key's order."""
        made = self.recoverable_table()
        for number in range(60):
            put(made["TableName"], f"{number:02}", "1")

        def by_file() -> set[tuple[str, ...]]:
            export = self.export(made)
            bodies = [gzip.decompress(self.read(file["dataFileS3Key"])) for file in self.files(export)]
            return {tuple(json.loads(line)["Item"]["id"]["S"] for line in body.splitlines()) for body in bodies}

        first = by_file()
        self.assertEqual(first, by_file())
        self.assertEqual(60, sum(map(len, first)))
        ranges = sorted((keys[0], keys[-1]) for keys in first if keys)
        self.assertGreater(len(ranges), 2)
        self.assertTrue(any(later[0] < earlier[1] for earlier, later in zip(ranges, ranges[1:])), ranges)

    def test_moments_and_windows(self) -> None:
        made = self.recoverable_table()
        name = made["TableName"]
        put(name, "stays", "1")
        put(name, "changes", "1")
        put(name, "goes", "1")
        first = next_second()
        put(name, "changes", "2")
        put(name, "comes and goes", "1")
        client("dynamodb").delete_item(TableName=name, Key={"id": {"S": "comes and goes"}})
        client("dynamodb").delete_item(TableName=name, Key={"id": {"S": "goes"}})
        put(name, "comes", "1")
        second = next_second()
        put(name, "changes", "3")
        put(name, "goes", "2")
        third = next_second()

        with self.subTest("a full export shows the past moment"):
            self.assertEqual({"stays": "1", "changes": "1", "goes": "1"}, self.values(self.export(made, ExportTime=at(first))))
            self.assertEqual({"stays": "1", "changes": "2", "comes": "1"}, self.values(self.export(made, ExportTime=at(second))))
            now = {"stays": "1", "changes": "3", "comes": "1", "goes": "2"}
            self.assertEqual(now, self.values(self.export(made)))

        def images(line: dict) -> tuple:
            return tuple(line[image]["v"]["S"] if image in line else None for image in ("OldImage", "NewImage"))

        with self.subTest("a window holds its net changes"):
            export = self.window(made, first, second)
            lines = {line["Keys"]["id"]["S"]: line for line in self.lines(export)}
            self.assertEqual({"changes": ("1", "2"), "goes": ("1", None), "comes": (None, "1")}, {key: images(line) for key, line in lines.items()})
            for line in lines.values():
                micros = int(line["Metadata"]["WriteTimestampMicros"]["N"])
                self.assertTrue(first * 1_000_000 <= micros < second * 1_000_000)
            summary = json.loads(self.read(export["ExportManifest"]))
            self.assertEqual(("2023-08-01", "INCREMENTAL_EXPORT"), (summary["version"], summary["exportType"]))
            self.assertNotIn("exportTime", summary)
        with self.subTest("the next window takes over without overlap"):
            lines = {line["Keys"]["id"]["S"]: images(line) for line in self.lines(self.window(made, second, third))}
            self.assertEqual({"changes": ("2", "3"), "goes": (None, "2")}, lines)
        with self.subTest("new images only"):
            lines = {line["Keys"]["id"]["S"]: images(line) for line in self.lines(self.window(made, first, second, ExportViewType="NEW_IMAGE"))}
            self.assertEqual({"changes": (None, "2"), "goes": (None, None), "comes": (None, "1")}, lines)

    def test_refusals(self) -> None:
        without = table()
        self.assertEqual("PointInTimeRecoveryUnavailableException", self.refusal(without))
        made = self.recoverable_table()
        now = int(time.time())
        self.assertEqual("InvalidExportTimeException", self.refusal(made, ExportTime=at(now - 60)))
        self.assertEqual("InvalidExportTimeException", self.refusal(made, ExportTime=at(now + 60)))
        self.assertEqual("ValidationException", self.refusal(made, ExportFormat="ION"))
        for begin, end in ((now, now), (now - 25 * 3600, now)):
            specification = {"ExportFromTime": at(begin), "ExportToTime": at(end)}
            refusal = self.refusal(made, ExportType="INCREMENTAL_EXPORT", IncrementalExportSpecification=specification)
            self.assertEqual("ValidationException", refusal)

    def test_client_token(self) -> None:
        made = self.recoverable_table()
        first = self.export(made, ClientToken="token")
        again = client("dynamodb").export_table_to_point_in_time(TableArn=made["TableArn"], S3Bucket=self.bucket, ClientToken="token")
        self.assertEqual(first["ExportArn"], again["ExportDescription"]["ExportArn"])
        self.assertEqual("ExportConflictException", self.refusal(made, ClientToken="token", S3Prefix="other"))
        self.assertEqual(1, len(client("dynamodb").list_exports(TableArn=made["TableArn"])["ExportSummaries"]))

    def test_description(self) -> None:
        """What DescribeExport says of an export at its begin and at its end."""
        made = self.recoverable_table()
        put(made["TableName"], "a", "1")
        now = next_second()
        begun = client("dynamodb").export_table_to_point_in_time(
            TableArn=made["TableArn"], S3Bucket=self.bucket, S3Prefix="p", ClientToken="described", ExportTime=at(now)
        )["ExportDescription"]
        common = {
            "TableArn": made["TableArn"], "TableId": made["TableId"], "S3Bucket": self.bucket, "S3Prefix": "p", "S3SseAlgorithm": "AES256",
            "ClientToken": "described", "ExportFormat": "DYNAMODB_JSON", "ExportType": "FULL_EXPORT", "ExportTime": at(now),
        }  # fmt: skip
        self.assertEqual(common | {"ExportStatus": "IN_PROGRESS"}, {name: begun.get(name) for name in (*common, "ExportStatus")})
        for name in ("ExportManifest", "ItemCount", "BilledSizeBytes", "EndTime"):
            self.assertNotIn(name, begun)
        ended = self.export(made, S3Prefix="p", ClientToken="described", ExportTime=at(now))
        self.assertEqual(begun["ExportArn"], ended["ExportArn"])
        self.assertEqual(common, {name: ended.get(name) for name in common})
        self.assertLess(0, ended["BilledSizeBytes"])
        self.assertLessEqual(ended["StartTime"], ended["EndTime"])
        unnamed = client("dynamodb").export_table_to_point_in_time(TableArn=made["TableArn"], S3Bucket=self.bucket)["ExportDescription"]
        self.assertTrue(unnamed["ClientToken"])
        with self.assertRaises(ClientError) as missing:
            client("dynamodb").describe_export(ExportArn=begun["ExportArn"] + "0")
        self.assertEqual("ExportNotFoundException", missing.exception.response["Error"]["Code"])

    def test_list_has_pages(self) -> None:
        """25 exports to a page, each with its status and its type; those of other tables are not listed."""
        made, other = self.recoverable_table(), self.recoverable_table()
        begin = int(time.time())
        time.sleep(2.0)
        dynamodb = client("dynamodb")
        arns = [dynamodb.export_table_to_point_in_time(TableArn=made["TableArn"], S3Bucket=self.bucket)["ExportDescription"]["ExportArn"] for _ in range(26)]
        window = self.window(made, begin, begin + 1)["ExportArn"]
        failed = self.export(made, S3Bucket="no-such-bucket-here")["ExportArn"]
        elsewhere = self.export(other)["ExportArn"]

        pages = self.pages(TableArn=made["TableArn"])
        self.assertEqual([25, 3], [len(page["ExportSummaries"]) for page in pages])
        listed = {export["ExportArn"]: export for page in pages for export in page["ExportSummaries"]}
        self.assertEqual({*arns, window, failed}, set(listed))
        self.assertEqual({"ExportArn": window, "ExportStatus": "COMPLETED", "ExportType": "INCREMENTAL_EXPORT"}, listed[window])
        self.assertEqual({"ExportArn": failed, "ExportStatus": "FAILED", "ExportType": "FULL_EXPORT"}, listed[failed])
        page = dynamodb.list_exports(TableArn=made["TableArn"], MaxResults=2)
        self.assertEqual(2, len(page["ExportSummaries"]))
        everything = {export["ExportArn"] for page in self.pages() for export in page["ExportSummaries"]}
        self.assertLessEqual({window, elsewhere}, everything)

    def test_recovery_window(self) -> None:
        """DescribeContinuousBackups says which moments can be exported."""
        dynamodb = client("dynamodb")

        def recovery(name: str) -> dict:
            described = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
            self.assertEqual("ENABLED", described["ContinuousBackupsStatus"])
            return described["PointInTimeRecoveryDescription"]

        self.assertEqual({"PointInTimeRecoveryStatus": "DISABLED"}, recovery(table()["TableName"]))
        before = int(time.time())
        made = self.recoverable_table()
        first = recovery(made["TableName"])
        self.assertEqual(("ENABLED", 35), (first["PointInTimeRecoveryStatus"], first["RecoveryPeriodInDays"]))
        earliest, latest = (first[f"{name}RestorableDateTime"].timestamp() for name in ("Earliest", "Latest"))
        self.assertTrue(before <= earliest <= latest <= time.time(), first)
        next_second()
        later = recovery(made["TableArn"])
        self.assertEqual(first["EarliestRestorableDateTime"], later["EarliestRestorableDateTime"])
        self.assertGreater(later["LatestRestorableDateTime"], first["LatestRestorableDateTime"])
        for moment in (later["EarliestRestorableDateTime"], later["LatestRestorableDateTime"]):
            self.assertEqual("COMPLETED", self.export(made, ExportTime=moment)["ExportStatus"])
        with self.assertRaises(ClientError) as missing:
            recovery("no-such-table")
        self.assertEqual("TableNotFoundException", missing.exception.response["Error"]["Code"])

    def test_missing_bucket_fails_the_export(self) -> None:
        export = self.export(self.recoverable_table(), S3Bucket="no-such-bucket-here")
        self.assertEqual(("FAILED", "S3NoSuchBucket"), (export["ExportStatus"], export["FailureCode"]))


if __name__ == "__main__":
    unittest.main()
