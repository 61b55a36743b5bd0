"""Inputs that can never succeed: one clear answer, no half work, no repeats."""

from __future__ import annotations

import gzip
import io
import json
import random
import unittest
import zipfile
from typing import Any

from support import (
    FIXTURES,
    EndToEnd,
    client,
    counts,
    ended,
    invoke,
    items,
    job,
    ledger_rows,
    lines,
    messages_about,
    notification,
    output,
    parts,
    put_mapping,
    sequencer,
    upload,
    upload_quietly,
)

NOTHING = {"read": 0, "written": 0, "superseded": 0, "rejected": 0}


class BadInput(EndToEnd):
    """What holds for every input that can never succeed."""

    def check(self, fragments: list[str], body: bytes, mapping: str | None = None) -> dict[str, Any]:
        """The job is FAILED with one message in ledger and queue, and a repeat changes nothing. Returns the ledger row."""
        version = upload(self.key, body, mapping)
        row = ended(self.key, version)
        self.assertEqual("FAILED", row["processing_status"])
        place = f"s3://{output('InboxBucket')}/{self.key}"
        for fragment in [place, "expected", *fragments]:
            self.assertIn(fragment, row["error_message"])
        self.assertEqual(1, row["error_message"].count(place), "the message names the object twice")
        self.assertNotIn("\n", row["error_message"])
        (message,) = messages_about(self.key)
        self.assertEqual((row["job"], row["error_message"]), (message["job"], message["error_message"]))
        self.assertEqual("FAILED", message["processing_status"])

        before = ledger_rows(self.key)
        self.assertEqual(["ALREADY_DONE"], invoke(notification((self.key, version, sequencer(row)))).outcomes())
        self.assertEqual(before, ledger_rows(self.key))
        self.assertEqual(1, len(messages_about(self.key)), "a repeat must not send a second message")
        return row

    def check_nothing_written(self, fragments: list[str], body: bytes, mapping: str | None = None) -> None:
        row = self.check(fragments, body, mapping)
        self.assertEqual(NOTHING, counts(row))
        self.assertEqual([], items(self.account))
        self.assertEqual(({}, {}), (parts("json-copy", self.key), parts("unprocessed", self.key)))


class NeverSucceeds(BadInput):
    def one_row(self) -> bytes:
        return f"account,offer_id,price\n{self.account},1,2\n".encode()

    def test_promise_11_empty_file(self) -> None:
        self.check_nothing_written(["no header"], b"")

    def test_promise_11_file_of_newlines(self) -> None:
        self.check_nothing_written(["no header"], b"\n\r\n\n")

    def test_promise_11_duplicate_header_name(self) -> None:
        self.check_nothing_written(["account", "1 and 3"], f"account,offer_id,account\n{self.account},1,2\n".encode())

    def test_promise_11_empty_header_name(self) -> None:
        self.check_nothing_written(["column 2", "name"], f"account,,offer_id\n{self.account},1,2\n".encode())

    def test_promise_11_missing_key_column(self) -> None:
        self.check_nothing_written(["offer_id", output("TableName"), "account, price"], f"account,price\n{self.account},1\n".encode())

    def test_promise_11_header_that_is_not_text(self) -> None:
        self.check_nothing_written(["header"], b"account,offer_id,\xff\xfe\nx,1,2\n")

    def test_promise_11_zip_archive(self) -> None:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as files:
            files.writestr("offers.csv", f"account,offer_id\n{self.account},1\n")
        self.check_nothing_written(["zip archive", "CSV"], archive.getvalue())

    def test_promise_11_excel_workbook(self) -> None:
        workbook = io.BytesIO()
        with zipfile.ZipFile(workbook, "w", zipfile.ZIP_DEFLATED) as files:
            files.writestr("[Content_Types].xml", "<Types/>")
            files.writestr("xl/workbook.xml", "<workbook/>")
        self.check_nothing_written(["Excel", "CSV"], workbook.getvalue())

    def test_promise_4_zstd_window_above_8_mib(self) -> None:
        self.check_nothing_written(["zstd"], (FIXTURES / "window-128mib.csv.zst").read_bytes())

    def test_promise_11_mapping_that_is_not_there(self) -> None:
        self.check_nothing_written(["mappings/nowhere.json"], self.one_row(), mapping="nowhere.json")

    def test_promise_11_mapping_that_is_wrong(self) -> None:
        cases = {
            "no JSON": ("{", []),
            "unknown type": (json.dumps({"columns": {"price": {"type": "DECIMAL"}}}), ["DECIMAL"]),
            "unknown member": (json.dumps({"colums": {}}), ["colums"]),
            "unknown column": (json.dumps({"columns": {"cost": {"type": "N"}}}), ["cost", "account, offer_id, price"]),
            "default of another type": (json.dumps({"columns": {"price": {"type": "N", "default": "free"}}}), ["price", "free"]),
            "key of another type": (json.dumps({"columns": {"offer_id": {"type": "N"}}}), ["offer_id"]),
            "two sources": (json.dumps({"constants": {"price": "1"}}), ["price"]),
        }
        for number, (name, (text, fragments)) in enumerate(cases.items()):
            with self.subTest(name):
                self.key = f"{number}-{self.account}.csv"
                put_mapping(f"{self.key}.json", text)
                self.check_nothing_written(fragments, self.one_row(), mapping=f"{self.key}.json")

    def test_a_corrected_upload_succeeds(self) -> None:
        upload(self.key, b"")
        self.assertEqual("FAILED", ended(self.key)["processing_status"])
        row = ended(self.key, upload(self.key, self.one_row()))
        self.assertEqual("COMPLETED", row["processing_status"])
        self.assertEqual(1, len(items(self.account)))


class BrokenCompression(BadInput):
    """Rows before the break are kept and counted; nothing after it is made up."""

    def compressed(self) -> tuple[list[dict[str, str]], bytes]:
        random.seed(7)  # Rows that do not compress, so that many of them come out of half a file.
        rows = [{"account": self.account, "offer_id": f"{index:05}", "note": f"{random.getrandbits(200):x}"} for index in range(3_000)]
        text = "account,offer_id,note\n" + "".join(",".join(row.values()) + "\n" for row in rows)
        return rows, gzip.compress(text.encode())

    def check_kept(self, rows: list[dict[str, str]], body: bytes) -> int:
        row = self.check(["gzip", "byte"], body)
        kept = row["rows_read"]
        self.assertEqual({"read": kept, "written": kept, "superseded": 0, "rejected": 0}, counts(row))
        self.assertEqual(rows[:kept], items(self.account))
        self.assertEqual(rows[:kept], lines("json-copy", self.key))
        self.assertEqual({}, parts("unprocessed", self.key))
        return kept

    def test_promise_11_truncated_gzip(self) -> None:
        rows, body = self.compressed()
        kept = self.check_kept(rows, body[: len(body) // 2])
        self.assertTrue(1_000 < kept < 2_000, f"{kept} of 3,000 rows came out of half the file")

    def test_promise_11_gzip_without_its_last_byte(self) -> None:
        rows, body = self.compressed()
        self.assertEqual(3_000, self.check_kept(rows, body[:-1]))

    # Red when reading stops at the last row without asking for the end of the stream.
    def test_promise_11_gzip_with_a_wrong_checksum(self) -> None:
        rows, body = self.compressed()
        self.assertEqual(3_000, self.check_kept(rows, body[:-8] + bytes([body[-8] ^ 1]) + body[-7:]))

    def test_promise_11_gzip_cut_before_the_header_ends(self) -> None:
        _, body = self.compressed()
        self.check_nothing_written(["gzip"], body[:12])


class Gone(EndToEnd):
    def check(self, event: dict[str, Any]) -> None:
        self.assertEqual(["FAILED"], invoke(event).outcomes())
        row = job(self.key)
        self.assertEqual("FAILED", row["processing_status"])
        for fragment in ("gone", "expected", f"s3://{output('InboxBucket')}/{self.key}"):
            self.assertIn(fragment, row["error_message"])
        self.assertEqual(1, len(messages_about(self.key)))
        self.assertEqual(["ALREADY_DONE"], invoke(event).outcomes())
        self.assertEqual(1, len(messages_about(self.key)))
        self.assertEqual([], items(self.account))

    def test_promise_11_a_version_that_was_deleted_before_it_was_read(self) -> None:
        version = upload_quietly(self.key, f"account,offer_id\n{self.account},1\n".encode())
        client("s3").delete_object(Bucket=output("InboxBucket"), Key=self.key, VersionId=version)
        self.check(notification((self.key, version, "1")))

    def test_promise_11_an_object_that_was_deleted_before_it_was_read(self) -> None:
        upload_quietly(self.key, f"account,offer_id\n{self.account},1\n".encode())
        client("s3").delete_object(Bucket=output("InboxBucket"), Key=self.key)
        self.check(notification((self.key, "", "1")))


if __name__ == "__main__":
    unittest.main()
