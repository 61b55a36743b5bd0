"""infra/import.asl.json: imports, and what is switched on afterwards."""

from __future__ import annotations

import json
import unittest
import uuid
from functools import cache

from support import client, ended, start, state_machine
from test_import_table import items, parameters, upload

GOOD = "id,name,processed\na,first,false\nb,second,\n"


@cache
def machine() -> str:
    """The machine, made once."""
    return state_machine("import.asl.json", Partition="aws")


def payload(source: dict, table: dict, **settings: object) -> dict:
    """The input of an execution that imports CSV and wants a stream, unless told otherwise."""
    return {
        "client_token": uuid.uuid4().hex, "source": source, "format": "CSV", "compression": "NONE", "table": table,
        "stream_view": "NEW_AND_OLD_IMAGES",
    } | settings  # fmt: skip


def run(settings: dict) -> dict:
    """Runs the machine to its end."""
    return ended(start(machine(), settings))


def shown(table: dict) -> dict:
    """What DescribeTable says."""
    return client("dynamodb").describe_table(TableName=table["TableName"])["Table"]


def recovery(table: dict) -> str:
    """Whether point-in-time recovery is on."""
    described = client("dynamodb").describe_continuous_backups(TableName=table["TableName"])["ContinuousBackupsDescription"]
    return described["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"]


def called(execution: dict, operation: str) -> int:
    """How often an execution called an operation, with every retry."""
    history = client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=execution["executionArn"])
    scheduled = [event["taskScheduledEventDetails"]["resource"] for page in history for event in page["events"] if event["type"] == "TaskScheduled"]
    return sum(resource.endswith(f":{operation}") for resource in scheduled)


class Import(unittest.TestCase):
    def succeeded(self, execution: dict) -> dict:
        self.assertEqual("SUCCEEDED", execution["status"], execution.get("cause"))
        return json.loads(execution["output"])

    def failed(self, execution: dict, error: str) -> dict:
        self.assertEqual(("FAILED", error), (execution["status"], execution.get("error")), execution.get("cause") or execution.get("output"))
        return json.loads(execution["cause"])

    def test_a_table_is_imported_and_made_safe(self) -> None:
        table = parameters(indexed=True)
        report = self.succeeded(run(payload(upload(GOOD), table)))
        self.assertEqual((table["TableName"], 2, 2, 0, len(GOOD)), tuple(report[name] for name in ("table", "imported", "processed", "errors", "bytes")))
        self.assertTrue(report["log_group"].startswith("arn:aws:logs:"), report)
        self.assertNotIn("message", report)
        self.assertEqual([{"id": {"S": "a"}, "name": {"S": "first"}, "processed": {"S": "false"}}, {"id": {"S": "b"}, "name": {"S": "second"}}], items(table))
        described = shown(table)
        self.assertEqual({"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}, described["StreamSpecification"])
        self.assertEqual((True, "ENABLED"), (described["DeletionProtectionEnabled"], recovery(table)))

    def test_without_stream_and_with_every_option_of_the_import(self) -> None:
        table = parameters() | {"SSESpecification": {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": "alias/own"}}
        csv = {"Delimiter": ";", "HeaderList": ["id", "note"]}
        self.succeeded(run(payload(upload("a;x\n"), table, csv=csv, stream_view=None)))
        self.assertEqual([{"id": {"S": "a"}, "note": {"S": "x"}}], items(table))
        described = shown(table)
        self.assertNotIn("LatestStreamArn", described)
        self.assertEqual((True, "ENABLED", "KMS"), (described["DeletionProtectionEnabled"], recovery(table), described["SSEDescription"]["SSEType"]))

    def test_the_same_input_again_finds_the_import_and_changes_nothing(self) -> None:
        settings = payload(upload(GOOD), parameters())
        first = run(settings)
        again = run(settings)
        self.assertEqual(self.succeeded(first), self.succeeded(again))
        self.assertEqual([1, 0], [called(execution, "updateTable") // 2 for execution in (first, again)])

    def test_bad_items_fail_the_execution_with_code_counts_and_log(self) -> None:
        table = parameters()
        cause = self.failed(run(payload(upload("id,v\na,1\n,2\n"), table)), "Import.Failed")
        expected = {"table": table["TableName"], "status": "FAILED", "failure_code": "ItemValidationError", "imported": 1, "processed": 2, "errors": 1}
        self.assertEqual(expected, {name: cause[name] for name in expected})
        self.assertIn("CloudWatch", cause["failure_message"])
        self.assertTrue(cause["log_group"].startswith("arn:aws:logs:"), cause)
        self.assertIn(f"refused 1 of 2 items and imported the others into table {table['TableName']}, without recovery", cause["message"])
        self.assertIn("import it into a new table. Or keep this table", cause["message"])
        self.assertNotIn("delete", cause["message"])
        # It is as the message says: the table can be kept, and nothing is switched on yet.
        self.assertEqual(("ACTIVE", "DISABLED"), (shown(table)["TableStatus"], recovery(table)))

    def test_a_source_that_is_not_there_fails(self) -> None:
        cause = self.failed(run(payload({"S3Bucket": "no-such-bucket"}, parameters())), "Import.Failed")
        self.assertEqual(("S3NoSuchBucket", 0), (cause["failure_code"], cause["imported"]))
        self.assertIn("ended FAILED", cause["message"])
        self.assertIn("delete the table, and import again", cause["message"])

    def test_a_table_that_exists_is_refused_at_once(self) -> None:
        table = parameters()
        client("dynamodb").create_table(**table)
        execution = run(payload(upload(GOOD), table))
        cause = self.failed(execution, "Import.Refused")
        self.assertIn("DynamoDb.ResourceInUseException: Table already exists", cause["message"])
        self.assertEqual(1, called(execution, "importTable"))

    def test_what_cannot_be_switched_on_is_said_and_the_table_is_kept(self) -> None:
        table = parameters()
        execution = run(payload(upload(GOOD), table, stream_view="NO_SUCH_VIEW"))
        cause = self.failed(execution, "Import.NotReady")
        self.assertIn("UpdateTable (stream)", cause["message"])
        self.assertEqual(2, cause["imported"])
        self.assertEqual("ENABLED", recovery(table))

    def test_an_import_that_outlasts_the_machine_is_found_again(self) -> None:
        impatient = state_machine("import.asl.json", {"$looks >= 2400": "$looks >= 3", "$looks < 1000 ? 30 : 300": "1"}, Partition="aws")
        settings = payload(upload(GOOD), parameters())
        execution = ended(start(impatient, settings))
        cause = self.failed(execution, "Import.StillRunning")
        self.assertEqual(("IN_PROGRESS", 3), (cause["status"], called(execution, "describeImport")))
        self.assertEqual(cause["import_arn"], self.succeeded(run(settings))["import_arn"])

    def test_a_look_that_fails_is_tried_again_and_then_said(self) -> None:
        blind = state_machine("import.asl.json", {'"{% $report.import_arn %}"': '"none"', '"MaxAttempts": 10': '"MaxAttempts": 2'}, Partition="aws")
        execution = ended(start(blind, payload(upload(GOOD), parameters())))
        cause = self.failed(execution, "Import.StillRunning")
        self.assertIn("DynamoDb.ImportNotFoundException", cause["message"])
        self.assertEqual(3, called(execution, "describeImport"))


if __name__ == "__main__":
    unittest.main()
