"""A second stack, whose table has a number as its only key and whose row mapping is a parameter."""

from __future__ import annotations

import json
import subprocess
import unittest

from support import ROOT, EndToEnd, client, cloud, eventually, whole_table

MAPPING = {"columns": {"cost": {"rename": "price", "type": "N"}}}


class NumberKey(EndToEnd):
    outputs: dict[str, str]

    @classmethod
    def setUpClass(cls) -> None:
        parameters = ["PartitionKey=id", "PartitionKeyType=N", "SortKey=", "RowMappingKey=mappings/default.json", "SweepMinutes=1440"]
        command = [str(ROOT / "scripts" / "local" / "deploy"), "--name", cloud()["name"], "--stack", "numbers", "--json", "--parameters", *parameters]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        cls.outputs = json.loads(done.stdout)["outputs"]

    def test_promise_2_one_number_in_four_spellings_is_one_key(self) -> None:
        s3 = client("s3")
        s3.put_object(Bucket=self.outputs["LakeBucket"], Key="mappings/default.json", Body=json.dumps(MAPPING).encode())
        body = "id,cost\n1,10\n2,20\n1.0,11\n1e0,12\n+01,13\n-0,5\nx,6\n,7\n"
        s3.put_object(Bucket=self.outputs["InboxBucket"], Key="numbers.csv", Body=body.encode())

        def done() -> dict:
            rows = [row for row in whole_table(self.outputs["LedgerTable"]) if row["part"] == "object"]
            return rows[0] if rows and rows[0]["processing_status"] != "IN_PROGRESS" else {}

        row = eventually(done, "the job has ended")
        self.assertEqual("COMPLETED", row["processing_status"], row.get("error_message"))
        self.assertEqual(["8", "3", "3", "2"], [row[f"rows_{name}"][1] for name in ("read", "written", "superseded", "rejected")])
        held = {item["id"]: item["price"] for item in whole_table(self.outputs["TableName"])}
        self.assertEqual({("N", "1"): ("N", "13"), ("N", "2"): ("N", "20"), ("N", "0"): ("N", "5")}, held)
        self.assertEqual("mappings/default.json", row["row_mapping_key"])
        copies = s3.get_object(Bucket=self.outputs["LakeBucket"], Key="json-copy/numbers.csv/part-00000.jsonl")["Body"].read().splitlines()
        self.assertEqual([1, 2, 1, 1, 1, 0], [json.loads(copy)["id"] for copy in copies])


if __name__ == "__main__":
    unittest.main()
