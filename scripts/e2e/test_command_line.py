"""The command line on the same cloud: `transload ingest` does with a file what the function does with an object."""

from __future__ import annotations

import gzip
import json
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any

from command_line import transload
from support import EndToEnd, expected, items, offers, output

BLOCK_ROWS = 50_000


class Ingest(EndToEnd):
    def setUp(self) -> None:
        super().setUp()
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def ingest(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs the command with the credentials of the local cloud and nothing else from the environment."""
        return transload(self.folder, "ingest", *arguments)

    def write(self, name: str, content: bytes) -> str:
        (self.folder / name).write_bytes(content)
        return name

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.folder / name).read_text().splitlines()]

    def test_a_file_comes_to_what_an_object_comes_to(self) -> None:
        body = offers(self.account, 3_000)
        wanted = expected(body, BLOCK_ROWS)
        for name, content in (("offers.csv", body), ("offers.csv.gz", gzip.compress(body))):
            with self.subTest(name):
                run = self.ingest(self.write(name, content), "--table", output("TableName"), "--json")
                self.assertEqual(0, run.returncode, run.stderr)
                result = json.loads(run.stdout)
                self.assertEqual(wanted.counts, {count: result[f"rows_{count}"] for count in wanted.counts})
                self.assertEqual(wanted.items, items(self.account))
                self.assertEqual(wanted.backup["part-00000.jsonl"], self.lines(result["backup"]))
                rejects = [(entry["line"], entry["byte_offset"]) for entry in self.lines(result["unprocessed"])]
                self.assertEqual(wanted.rejects["part-00000.jsonl"], rejects)
                self.assertIn("rows were rejected and are not in the table; the first is line ", run.stderr)

    def test_a_mapping_gives_types(self) -> None:
        self.write("mapping.json", b'{"columns": {"price": {"type": "N"}}, "constants": {"processed": "false"}}')
        name = self.write("data.csv", f"account,offer_id,price\n{self.account},1,2.50\n".encode())
        run = self.ingest(name, "--table", output("TableName"), "--mapping", "mapping.json")
        self.assertEqual((0, ""), (run.returncode, run.stderr))
        self.assertIn("            1 written\n", run.stdout)
        self.assertEqual([{"account": self.account, "offer_id": "1", "price": ("N", "2.5"), "processed": "false"}], items(self.account))

    def test_a_table_that_is_not_there(self) -> None:
        run = self.ingest(self.write("data.csv", b"account,offer_id\na,1\n"), "--table", "no-such-table")
        self.assertEqual((1, ""), (run.returncode, run.stdout))
        self.assertIn("there is no table no-such-table: check --table", run.stderr)
        self.assertEqual(["data.csv"], [entry.name for entry in self.folder.iterdir()])


if __name__ == "__main__":
    unittest.main()
