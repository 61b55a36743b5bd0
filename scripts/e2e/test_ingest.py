"""Files that succeed: every row ends somewhere, the last row wins, in any encoding."""

from __future__ import annotations

import gzip
import json
import unittest
from pathlib import Path

from support import (
    FIXTURES,
    EndToEnd,
    configured,
    counts,
    ended,
    eventually,
    expected,
    function_processes,
    inbox,
    items,
    job,
    lines,
    offers,
    parts,
    put_mapping,
    sweep,
    upload,
)

# The mapping with everything in it: each type, required, default, rename, drop, constants and a write shard.
EVERYTHING = {
    "columns": {
        "offer_id": {"type": "S", "required": True}, "price": {"type": "N", "default": "0"}, "active": {"type": "BOOL"}, "photo": {"type": "B"},
        "tags": {"type": "SS", "delimiter": "|"}, "sizes": {"type": "NS", "delimiter": "|"}, "extra": {"type": "JSON"},
        "cust_nm": {"rename": "customer_name"}, "tmp": {"drop": True},
    },
    "constants": {"processed": "false"},
    "shards": {"marker": {"from": "offer_id", "count": 16, "format": "false#{shard:02}"}},
}  # fmt: skip


class EveryRow(EndToEnd):
    def test_promise_1_every_row_ends_somewhere(self) -> None:
        body = offers(self.account, 2_500)
        with configured(BLOCK_ROWS="1000"):
            upload(self.key, body)
            row = ended(self.key)
        wanted = expected(body, block_rows=1_000)
        self.assertGreater(min(wanted.counts.values()), 20, "the file must have rows of every fate")
        self.assert_ended_as(wanted, self.key, row)
        total = counts(row)
        self.assertEqual(total["read"], total["written"] + total["superseded"] + total["rejected"])
        self.assertEqual((3, 2_502, len(body)), (row["checkpoint"]["block"], row["checkpoint"]["line"], row["checkpoint"]["byte_offset"]))
        self.assertEqual(["part-00000.jsonl", "part-00001.jsonl", "part-00002.jsonl"], sorted(parts("json-copy", self.key)))

    def test_promise_1_backup_and_rejects_are_the_rows_in_file_order(self) -> None:
        upload(self.key, f"account,offer_id,price\n{self.account},b,2\n{self.account}\n{self.account},a,1\n{self.account},b,3\n{self.account},,4\n".encode())
        ended(self.key)
        copies = [{"account": self.account, "offer_id": offer, "price": price} for offer, price in (("b", "2"), ("a", "1"), ("b", "3"))]
        self.assertEqual(copies, lines("json-copy", self.key))
        ragged, empty = lines("unprocessed", self.key)
        start = len("account,offer_id,price\n")
        row = len(f"{self.account},b,2\n")
        self.assertEqual((3, start + row, self.account), (ragged["line"], ragged["byte_offset"], ragged["row"]))
        self.assertEqual((6, start + 3 * row + len(self.account) + 1, "offer_id"), (empty["line"], empty["byte_offset"], empty["column"]))
        self.assertIn("1 field", ragged["reason"])
        self.assertIn("empty", empty["reason"])

    # Red when going on reads from byte 0, counts a block twice, or the checkpoint is written without the counts.
    def test_promise_1_what_a_deadline_leaves_is_gone_on_with(self) -> None:
        rows = 30_000
        body = offers(self.account, rows, note="x" * 100)
        # Fifteen seconds of the time-out are kept to leave in order, so the first attempt has one second to work.
        with configured(timeout=16, BLOCK_ROWS="1000"):
            version = upload(self.key, body)
            deferred = eventually(lambda: (row := job(self.key, version)) and "pending" in inbox(self.key) and row, "the first attempt has handed over")
            self.assertEqual("IN_PROGRESS", deferred["processing_status"])
            self.assertLess(deferred["rows_read"], rows, "the time must run out in the middle of the file")
        sweep()
        row = ended(self.key, version)
        self.assertGreaterEqual(row["retry_count"], 1)
        self.assert_ended_as(expected(body, block_rows=1_000), self.key, row)

    def test_promise_1_a_file_without_rows_is_complete(self) -> None:
        upload(self.key, b"account,offer_id\n")
        row = ended(self.key)
        self.assertEqual("COMPLETED", row["processing_status"])
        self.assertEqual({"read": 0, "written": 0, "superseded": 0, "rejected": 0}, counts(row))
        self.assertEqual({}, parts("json-copy", self.key))

    # Red when rows of one key take different lanes, or a run keeps the first of two rows.
    def test_promise_2_last_row_wins_near_and_far(self) -> None:
        # One key in every run of 1,000 rows, and thrice in the last one.
        rows = [f"{self.account},{'same' if index % 500 == 0 else index},{index}" for index in range(5_001)]
        upload(self.key, ("account,offer_id,price\n" + "\n".join(rows) + "\n" + f"{self.account},same,first\n{self.account},same,last\n").encode())
        row = ended(self.key)
        held = {item["offer_id"]: item["price"] for item in items(self.account)}
        self.assertEqual("last", held.pop("same"))
        self.assertEqual({str(index): str(index) for index in range(5_001) if index % 500}, held)
        self.assertEqual({"read": 5_003, "written": 4_990 + 6, "superseded": 5 + 2, "rejected": 0}, counts(row))

    def test_promise_4_peak_memory_is_that_of_the_process(self) -> None:
        upload(self.key, offers(self.account, 1_000))
        peak = ended(self.key)["peak_memory_mb"]
        statuses = [Path(f"/proc/{process}/status").read_text() for process in function_processes()]
        kibibytes = [int(line.split()[1]) for status in statuses for line in status.splitlines() if line.startswith("VmHWM:")]
        self.assertGreater(peak, 5)
        self.assertLessEqual(peak, max(kibibytes) * 1024 / 1_000_000 + 1, "the ledger's peak in MB is above the process's own")


class Encodings(EndToEnd):
    """Three rows, of which the second has a newline in quotes, whatever the file looks like."""

    def check(self, body: bytes) -> None:
        upload(self.key, body)
        row = ended(self.key)
        self.assertEqual("COMPLETED", row["processing_status"], row.get("error_message"))
        self.assertEqual({"read": 3, "written": 3, "superseded": 0, "rejected": 0}, counts(row))
        self.assertEqual(
            [
                {"account": self.account, "offer_id": "1", "nöte": "plain"},
                {"account": self.account, "offer_id": "2", "nöte": 'two\nlines, "quoted"'},
                {"account": self.account, "offer_id": "3", "nöte": "€ 😀"},
            ],
            items(self.account),
        )

    def text(self, delimiter: str = ",", line_end: str = "\n") -> str:
        quoted = '"two\nlines, ""quoted"""'
        rows = [("account", "offer_id", "nöte"), (self.account, "1", "plain"), (self.account, "2", quoted), (self.account, "3", "€ 😀")]
        return line_end.join(delimiter.join(row) for row in rows)

    def test_utf_8_without_a_last_newline(self) -> None:
        self.check(self.text().encode())

    def test_utf_8_with_byte_order_mark(self) -> None:
        self.check((self.text() + "\n").encode("utf-8-sig"))

    def test_utf_16_little_endian(self) -> None:
        self.check(b"\xff\xfe" + self.text(";", "\r\n").encode("utf-16-le"))

    def test_utf_16_big_endian(self) -> None:
        self.check(b"\xfe\xff" + self.text("\t", "\r\n").encode("utf-16-be"))

    def test_semicolon(self) -> None:
        self.check(self.text(";").encode())

    def test_tab(self) -> None:
        self.check(self.text("\t").encode())

    def test_pipe(self) -> None:
        self.check(self.text("|").encode())

    def test_windows_line_ends(self) -> None:
        self.check((self.text(line_end="\r\n") + "\r\n").encode())

    def test_gzip(self) -> None:
        self.check(gzip.compress(self.text().encode()))

    def test_gzip_of_two_members(self) -> None:
        body = self.text().encode()
        self.check(gzip.compress(body[:40]) + gzip.compress(body[40:]))

    def test_gzip_of_utf_16(self) -> None:
        self.check(gzip.compress(b"\xff\xfe" + self.text().encode("utf-16-le")))

    def test_zstd(self) -> None:
        upload(self.key, (FIXTURES / "three-rows.csv.zst").read_bytes())
        self.assertEqual({"read": 3, "written": 3, "superseded": 0, "rejected": 0}, counts(ended(self.key)))
        self.assertEqual([{"account": "zstd", "offer_id": str(row), "price": f"{row}0"} for row in (1, 2, 3)], items("zstd"))

    # Red when offsets are those of the decoded text.
    def test_offsets_of_utf_16_are_those_of_the_file(self) -> None:
        before = f"account,offer_id\n{self.account},ö\n"
        upload(self.key, b"\xff\xfe" + (before + "bad\n").encode("utf-16-le"))
        ended(self.key)
        (reject,) = lines("unprocessed", self.key)
        self.assertEqual((3, 2 + 2 * len(before), "bad"), (reject["line"], reject["byte_offset"], reject["row"]))

    def test_empty_cells_are_left_out(self) -> None:
        upload(self.key, f"account,offer_id,a,b\n{self.account},1,,x\n".encode())
        ended(self.key)
        self.assertEqual([{"account": self.account, "offer_id": "1", "b": "x"}], items(self.account))


class Mappings(EndToEnd):
    def test_every_type_and_rule(self) -> None:
        put_mapping("everything.json", json.dumps(EVERYTHING))
        header = "account,offer_id,price,active,photo,tags,sizes,extra,cust_nm,tmp"
        extra = '"{""n"":12345678901234567890123456789012345678,""l"":[true,null,""x""]}"'
        rows = [f"{self.account},1,1.50,TRUE,aGk=,b|a|b,2|10,{extra},Ann,gone", f"{self.account},2,,0,,,,,,"]
        upload(self.key, ("\n".join([header, *rows]) + "\n").encode(), mapping="everything.json")
        row = ended(self.key)
        self.assertEqual("COMPLETED", row["processing_status"], row.get("error_message"))
        first, second = items(self.account)
        self.assertRegex(first.pop("marker"), r"^false#(0\d|1[0-5])$")
        self.assertRegex(second.pop("marker"), r"^false#(0\d|1[0-5])$")
        self.assertEqual(
            {
                "account": self.account, "offer_id": "1", "price": ("N", "1.5"), "active": True, "photo": b"hi", "tags": {"a", "b"},
                "sizes": {("N", "2"), ("N", "10")}, "extra": {"n": ("N", "12345678901234567890123456789012345678"), "l": [True, None, "x"]},
                "customer_name": "Ann", "processed": "false",
            },
            first,
        )  # fmt: skip
        self.assertEqual({"account": self.account, "offer_id": "2", "price": ("N", "0"), "active": False, "processed": "false"}, second)
        self.assertEqual("mappings/everything.json", row["row_mapping_key"])


if __name__ == "__main__":
    unittest.main()
