"""From a CSV file to results: merged, imported into a new table, drained; a schedule that does it alone; a table without the index."""

from __future__ import annotations

import json
import shlex
import subprocess
import tempfile
import unittest
from functools import cache
from pathlib import Path

from command_line import environment, transload
from reprocess_support import MARKER, Reprocessor, count, deployed, put, result_of
from support import ROOT, client, eventually

STACK = "flow"
TABLE = "flow-ids"
INDEX = "processed-index"
TIMED_STACK = "timed"


@cache
def flow() -> Reprocessor:
    """The function of a stack whose pending items are in a table that the stack does not make."""
    parameters = ("ReprocessState=DISABLED", "DrainSweepSeconds=1", "LeaseSeconds=10")
    return Reprocessor(deployed(STACK, f"ReprocessTable={TABLE}", *parameters), TABLE, keys=("id",))


def marker_index(kind: str) -> dict:
    """What CreateTable and UpdateTable want of an index by the marker, as a text or a number."""
    return {
        "definitions": [{"AttributeName": "id", "AttributeType": "S"}, {"AttributeName": MARKER, "AttributeType": kind}],
        "index": {"IndexName": INDEX, "KeySchema": [{"AttributeName": MARKER, "KeyType": "HASH"}], "Projection": {"ProjectionType": "KEYS_ONLY"}},
    }


class Flow(unittest.TestCase):
    maxDiff = 4_000

    def create(self, table: str, kind: str | None) -> None:
        """Makes a table with or without the index; it goes with the test."""
        shape = marker_index(kind or "S")
        indexes = {"GlobalSecondaryIndexes": [shape["index"]]} if kind else {}
        client("dynamodb").create_table(
            TableName=table, BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=shape["definitions"] if kind else shape["definitions"][:1], **indexes,
        )  # fmt: skip
        self.addCleanup(client("dynamodb").delete_table, TableName=table)

    def refused(self) -> str:
        """Why a run was refused."""
        answer = flow().run()
        self.assertEqual((True, "Invalid"), (answer.failed, answer.payload.get("errorType")), answer.payload)
        return answer.payload["errorMessage"]

    def test_promise_11_a_missing_index_is_refused_with_the_command_that_makes_it(self) -> None:
        stack = flow()
        self.create(TABLE, None)
        stack.put([{"id": {"S": "a"}, MARKER: {"S": "false"}}])
        message = self.refused()
        self.assertIn(f'table {TABLE} has no index "{INDEX}"', message)
        command = message[message.index("aws dynamodb update-table") :]
        self.assertEqual(0, self.shell(command).returncode, message)
        self.assertEqual((1, "empty"), (stack.report()["done"], stack.report()["lanes"][0]["ended"]))

    def test_promise_11_an_index_of_numbers_is_refused(self) -> None:
        self.create(TABLE, "N")
        message = self.refused()
        for fragment in (f'index "{INDEX}" of table {TABLE}', f"{MARKER} (N)", "of type S"):
            self.assertIn(fragment, message)

    def shell(self, command: str) -> subprocess.CompletedProcess[str]:
        """Runs a command of the AWS command line as a message gives it."""
        with tempfile.TemporaryDirectory() as folder:
            program, *arguments = shlex.split(command)
            self.assertEqual("aws", program)
            aws, surroundings = str(ROOT / ".venv/local-cloud/bin/aws"), environment(Path(folder)) | {"AWS_DEFAULT_REGION": "us-east-1"}
            return subprocess.run([aws, *arguments], env=surroundings, capture_output=True, text=True, timeout=60, check=False)

    def test_promise_8_the_schedule_of_the_template_does_it_alone(self) -> None:
        table = f"{TIMED_STACK}-ids"
        self.create(table, "S")
        items = [{"id": {"S": f"id {number}"}, MARKER: {"S": "false"}, "n": {"N": str(number)}} for number in range(50)]
        put(table, items)
        outputs = deployed(TIMED_STACK, f"ReprocessTable={table}", "ReprocessMinutes=1", "ReprocessOutput=bundles")
        stack = Reprocessor(outputs, table, keys=("id",))
        markers = lambda: count(item[MARKER]["S"] for item in stack.items().values())
        eventually(lambda: markers() == {"true": 50}, "the schedule has done every item", 20)
        said, lines = stack.last_words()
        self.assertEqual({stack.key_of(item): result_of(item) for item in items}, said)
        self.assertEqual(50, lines)

    def test_promise_8_a_merged_file_is_imported_and_drained(self) -> None:
        stack, ids = flow(), [f"{number:08}" for number in range(500)]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            # Two files, one of them with other columns in another order, as people send them.
            (folder / "a.csv").write_text("id,name\n" + "".join(f"{one},n {one}\n" for one in ids[:200]))
            (folder / "b.csv").write_text("city;id\n" + "".join(f"Köln;{one}\n" for one in ids[200:]))
            self.command(folder, "merge", "a.csv", "b.csv", "-o", "ids.csv", "--columns", "id,name,city", "--add", f"{MARKER}=false", "--json")
            imported = self.command(
                folder, "import", "ids.csv", "--table", TABLE, "--key", "id:S", "--index", f"{INDEX}:{MARKER}:S",
                "--bucket", stack.lake, "--state-machine", stack.outputs["ImportMachineArn"], "--json",
            )  # fmt: skip
        self.addCleanup(self.drop, TABLE)
        self.assertEqual({"false": 500}, count(item[MARKER]["S"] for item in stack.items().values()))
        self.assertEqual({(one,) for one in ids}, stack.items().keys(), imported)
        report = stack.drained(stack.start_drain(limit=200))
        self.assertEqual((500, 500, True), (report["taken"], report["done"], report["lanes"][0]["drained"]))
        items = stack.items()
        self.assertEqual({"true": 500}, count(item[MARKER]["S"] for item in items.values()))
        said, _lines = stack.last_words()
        self.assertEqual({key: result_of(item) for key, item in items.items()}, {key: said[key] for key in items})
        self.assertEqual({"id": ids[0], "name": f"n {ids[0]}", MARKER: "false"}, said[(ids[0],)])
        self.assertEqual({"id": ids[-1], "city": "Köln", MARKER: "false"}, said[(ids[-1],)])

    def command(self, folder: Path, *arguments: str) -> dict:
        """What a run of the command line says, which must succeed."""
        done = transload(folder, *arguments)
        self.assertEqual(0, done.returncode, done.stdout + done.stderr)
        return json.loads(done.stdout)

    def drop(self, table: str) -> None:
        """Deletes a table that the import has protected."""
        client("dynamodb").update_table(TableName=table, DeletionProtectionEnabled=False)
        client("dynamodb").delete_table(TableName=table)


if __name__ == "__main__":
    unittest.main()
