"""From spreadsheets to a new table: `transload merge`, `plan` and `import`, with the state machine of the stack."""

from __future__ import annotations

import json
import subprocess
import tempfile
import unittest
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from command_line import transload
from support import client, eventually, output, whole_table

from scripts.demo_run import workbook

INDEX = "processed-index"
SHAPE = ("--key", "id:S", "--index", f"{INDEX}:processed:S")
# Ids that a spreadsheet has as text, and ids that are numbers there which only their format shows with leading zeros.
TEXTS = [f"{number:08}" for number in range(300)]
NUMBERS = [f"{number:05}" for number in range(1, 200)]
OTHERS = [f"ä-{number}" for number in range(100)]


class Import(unittest.TestCase):
    """A test with a folder and the name of a table of its own."""

    maxDiff = 4_000

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.table = f"import-{uuid.uuid4().hex[:8]}"

    def succeed(self, *arguments: str) -> dict[str, Any]:
        """What a run of the command line says as JSON, which must succeed."""
        done = transload(self.folder, *arguments, "--json")
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def start(self, name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Imports a file into the test's table."""
        where = ("--bucket", output("LakeBucket"), "--state-machine", output("ImportMachineArn"))
        return transload(self.folder, "import", name, "--table", self.table, *SHAPE, *where, "--json", *arguments)

    def executions(self) -> list[dict[str, Any]]:
        """Executions of the state machine for the test's table."""
        found = client("stepfunctions").list_executions(stateMachineArn=output("ImportMachineArn"))["executions"]
        return [execution for execution in found if execution["name"].startswith(self.table)]

    def objects(self) -> list[str]:
        """Objects of the lake that were put there for the test's table."""
        listed = client("s3").list_objects_v2(Bucket=output("LakeBucket"), Prefix=f"imports/{self.table}/")
        return [entry["Key"] for entry in listed.get("Contents", [])]

    def drop(self) -> None:
        """Deletes the test's table, which an import may have protected."""
        client("dynamodb").update_table(TableName=self.table, DeletionProtectionEnabled=False)
        client("dynamodb").delete_table(TableName=self.table)

    def test_spreadsheets_become_a_protected_table_with_an_index_once(self) -> None:
        rows = [["The list of January"], ["id", "name"], *([one, f"n {one}"] for one in TEXTS)]
        numbers = [["name", "id"], *(["", int(one)] for one in NUMBERS)]
        workbook.write(self.folder / "ids.xlsx", [workbook.Sheet("Ids", rows), workbook.Sheet("More", numbers)])
        # As spreadsheet programs save it where a comma is the decimal point.
        text = "id;city\r\n" + "".join(f"{one};Köln\r\n" for one in OTHERS)
        (self.folder / "more.csv").write_bytes(text.encode("utf-8-sig"))
        merged = self.succeed("merge", "ids.xlsx", "more.csv", "-o", "ids.csv", "--add", "processed=false")
        wanted = [{"id": one, "name": f"n {one}", "processed": "false"} for one in TEXTS]
        wanted += [{"id": one, "processed": "false"} for one in NUMBERS]
        wanted += [{"id": one, "city": "Köln", "processed": "false"} for one in OTHERS]
        self.assertEqual((len(wanted), ["id", "name", "city", "processed"], 0), (merged["rows"], merged["columns"], merged["duplicates"]))

        plan = self.succeed("plan", "ids.csv", *SHAPE)
        self.assertEqual((len(wanted), 0), (plan["preflight"]["items"], plan["preflight"]["bad_rows"]))
        self.assertEqual(len(wanted), plan["preflight"]["indexes"][0]["entries"])
        self.assertIsNone(plan["plan"]["ways"][1]["impossible"])

        self.addCleanup(self.drop)
        # Two who do not know of one another, and one who comes when all is done.
        with ThreadPoolExecutor(2) as pool:
            runs = list(pool.map(lambda _: self.start("ids.csv"), range(2)))
        runs.append(self.start("ids.csv"))
        self.assertEqual([0, 0, 0], [run.returncode for run in runs], runs)
        results = [json.loads(run.stdout)["result"] for run in runs]
        self.assertEqual((len(wanted), len(wanted), 0), tuple(results[0][count] for count in ("imported", "processed", "errors")))
        self.assertEqual([results[0]] * 3, results)
        self.assertIn(f"this source was imported into {self.table} before", runs[2].stderr)
        self.assertEqual(1, len(self.executions()))
        self.assertEqual([f"imports/{self.table}/ids.csv"], self.objects())
        self.check_table(wanted)

    def check_table(self, wanted: list[dict[str, str]]) -> None:
        """The table has these items, an index that finds them, and all that protects it."""
        by_id = lambda items: sorted(items, key=lambda item: item["id"])
        self.assertEqual(by_id(wanted), by_id(whole_table(self.table)))
        dynamodb = client("dynamodb")
        table = dynamodb.describe_table(TableName=self.table)["Table"]
        self.assertEqual("PAY_PER_REQUEST", table["BillingModeSummary"]["BillingMode"])
        self.assertEqual({"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}, table["StreamSpecification"])
        self.assertIs(True, table["DeletionProtectionEnabled"])
        (index,) = table["GlobalSecondaryIndexes"]
        self.assertEqual((INDEX, "KEYS_ONLY"), (index["IndexName"], index["Projection"]["ProjectionType"]))
        backups = dynamodb.describe_continuous_backups(TableName=self.table)["ContinuousBackupsDescription"]
        self.assertEqual("ENABLED", backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"])
        found = dynamodb.query(
            TableName=self.table, IndexName=INDEX, KeyConditionExpression="#p = :p", Select="COUNT",
            ExpressionAttributeNames={"#p": "processed"}, ExpressionAttributeValues={":p": {"S": "false"}},
        )  # fmt: skip
        self.assertEqual(len(wanted), found["Count"])

    def test_a_row_that_would_make_it_fail_is_found_before_anything_is_started(self) -> None:
        (self.folder / "ids.csv").write_text("id,processed\na,false\n,false\nb,false\n")
        run = self.start("ids.csv")
        self.assertEqual(2, run.returncode, run.stderr)
        self.assertIn("nothing was imported", run.stderr)
        (finding,) = (found for found in json.loads(run.stdout)["preflight"]["findings"] if found["effect"] == "fails")
        self.assertEqual(("missing_key", 1, 3), (finding["kind"], finding["count"], finding["examples"][0]["line"]))
        self.assertEqual(([], []), (self.executions(), self.objects()))
        self.assertNotIn(self.table, client("dynamodb").list_tables()["TableNames"])

    def test_a_file_that_was_not_checked_fails_with_the_log_that_says_why(self) -> None:
        key, machine = f"imports/{self.table}/bad.csv", output("ImportMachineArn")
        client("s3").put_object(Bucket=output("LakeBucket"), Key=key, Body=b"id,processed\na,false\n,false\nb,false\n")
        order = {
            "client_token": self.table, "source": {"S3Bucket": output("LakeBucket"), "S3KeyPrefix": key},
            "format": "CSV", "compression": "NONE", "csv": {"Delimiter": ","}, "stream_view": None,
            "table": {
                "TableName": self.table, "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            },
        }  # fmt: skip
        states = client("stepfunctions")
        execution = states.start_execution(stateMachineArn=machine, name=self.table, input=json.dumps(order))["executionArn"]
        self.addCleanup(self.drop)
        look = lambda: states.describe_execution(executionArn=execution)
        eventually(lambda: look()["status"] != "RUNNING", "the execution has ended", 30)
        ended = look()
        self.assertEqual(("FAILED", "Import.Failed"), (ended["status"], ended.get("error")), ended)
        cause = json.loads(ended["cause"])
        self.assertEqual((self.table, "FAILED", 1), (cause["table"], cause["status"], cause["errors"]))
        self.assertIn("There are two ways on", cause["message"])
        group = cause["log_group"].split(":log-group:")[1].removesuffix(":*")
        events = client("logs").filter_log_events(logGroupName=group)["events"]
        name = cause["import_arn"].rpartition("/")[2]
        self.assertTrue([event for event in events if name in event["message"]], f"{name} is not in {group}: {events}")


if __name__ == "__main__":
    unittest.main()
