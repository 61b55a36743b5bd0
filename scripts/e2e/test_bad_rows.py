"""Rows that cannot be items: each is set aside with line, byte offset, column and reason, and the rest goes in."""

from __future__ import annotations

import base64
import json
import unittest
from typing import Any

from support import EndToEnd, client, counts, ended, eventually, items, lines, output, put_mapping, upload

MAPPING = {
    "columns": {
        "price": {"type": "N"}, "active": {"type": "BOOL"}, "photo": {"type": "B"}, "extra": {"type": "JSON"},
        "note": {"default": "none"}, "unit": {"required": True},
    }
}  # fmt: skip
HEADER = b"account,offer_id,price,active,photo,extra,note,unit"


class BadRows(EndToEnd):
    def row(self, offer: str, **cells: str) -> bytes:
        row = {"account": self.account, "offer_id": offer, "unit": "kg"} | cells
        return ",".join(row.get(name, "") for name in HEADER.decode().split(",")).encode()

    def test_promise_1_every_bad_row_is_set_aside_with_its_place_and_reason(self) -> None:
        account = self.account.encode()
        # Name, row, column that is to blame, words of the reason. A row with neither is good.
        table: list[tuple[str, bytes, str | None, list[str]]] = [
            ("good", self.row("good-1"), None, []),
            ("too few fields", account + b",short", None, ["2 fields", "8"]),
            ("too many fields", self.row("long") + b",more", None, ["9 fields", "8"]),
            ("two lines in quotes", self.row("good-2", note='"two\nlines"'), None, []),
            ("not UTF-8", self.row("bad-text", note="?").replace(b"?", b"\xff"), "note", ["UTF-8"]),
            ("empty partition key", self.row("no-account", account=""), "account", ["empty"]),
            ("empty sort key", self.row(""), "offer_id", ["empty"]),
            ("partition key too long", self.row("x", account="a" * 2_049), "account", ["2049", "2048"]),
            ("sort key too long", self.row("s" * 1_025), "offer_id", ["1025", "1024"]),
            ("longest sort key", self.row("s" * 1_024), None, []),
            ("longest sort key in bytes", self.row("ü" * 513), "offer_id", ["1026", "1024"]),
            ("item too large", self.row("large", note="n" * 409_600), None, ["bytes", "409600"]),
            ("record too large", self.row("larger", note="n" * (2 << 20)), None, ["longer", "2097152"]),
            ("no number", self.row("bad-number", price="12x"), "price", ["number"]),
            ("no number either", self.row("not-a-number", price="NaN"), "price", ["number"]),
            ("space around a number", self.row("spaces", price=" 12"), "price", ["number"]),
            ("39 digits", self.row("digits-39", price="1" * 39), "price", ["38"]),
            ("38 digits", self.row("good-3", price="1" * 38), None, []),
            ("number too large", self.row("magnitude", price="1e126"), "price", ["1E", "125"]),
            ("no boolean", self.row("bad-boolean", active="maybe"), "active", ["true", "false"]),
            ("no base64", self.row("bad-base64", photo="%%"), "photo", ["base64"]),
            ("no JSON", self.row("bad-json", extra="{"), "extra", []),
            ("JSON with 39 digits", self.row("json-digits", extra="1" * 39), "extra", ["38"]),
            ("required cell is empty", self.row("no-unit", unit=""), "unit", ["required"]),
            ("text behind a closing quote is kept", self.row("good-4", note='"a"b'), None, []),
            ("open quote", self.row("open", note='"never closed'), None, ["quote"]),
            ("good after the open quote", self.row("good-5"), None, []),
        ]
        wanted: list[tuple[str, dict[str, Any], list[str]]] = []
        body, line = HEADER + b"\n", 2
        for name, row, column, fragments in table:
            if column or fragments:
                wanted.append((name, {"line": line, "byte_offset": len(body), "column": column, "row": row}, fragments))
            body += row + b"\n"
            line += 1 + row.count(b"\n")

        put_mapping(f"{self.account}.json", json.dumps(MAPPING))
        upload(self.key, body, mapping=f"{self.account}.json")
        ledger_row = ended(self.key)
        rejects = lines("unprocessed", self.key)
        self.assertEqual([place["line"] for _, place, _ in wanted], [reject["line"] for reject in rejects])
        for (name, place, fragments), reject in zip(wanted, rejects, strict=True):
            with self.subTest(name):
                self.assertEqual(place["byte_offset"], reject["byte_offset"])
                self.assertEqual(place["column"], reject.get("column"), reject["reason"])
                for fragment in fragments:
                    self.assertIn(fragment, reject["reason"].replace(",", ""))
                self.assertNotIn("\n", reject["reason"])
                text = reject["row"].encode() if "row" in reject else base64.b64decode(reject["row_base64"])
                if "row_bytes" in reject:
                    self.assertEqual(len(place["row"]), reject["row_bytes"])
                    self.assertTrue(place["row"].startswith(text))
                    self.assertGreater(len(text), 1_000)
                else:
                    self.assertEqual(place["row"], text)

        self.assertEqual("COMPLETED", ledger_row["processing_status"])
        good = len(table) - len(wanted)
        self.assertEqual({"read": len(table), "written": good, "superseded": 0, "rejected": len(wanted)}, counts(ledger_row))
        held = items(self.account)
        self.assertEqual(["good-1", "good-2", "good-3", "good-4", "good-5", "s" * 1_024], [item["offer_id"] for item in held])
        self.assertEqual("two\nlines", held[1]["note"])
        self.assertEqual(("N", "1" * 38), held[2]["price"])
        self.assertEqual(good, len(lines("json-copy", self.key)))

    def test_promise_1_a_value_of_the_wrong_type_for_an_index_key_is_set_aside(self) -> None:
        dynamodb, table = client("dynamodb"), output("TableName")

        def indexes(change: dict[str, Any], **definitions: Any) -> None:
            dynamodb.update_table(TableName=table, GlobalSecondaryIndexUpdates=[change], **definitions)
            eventually(lambda: dynamodb.describe_table(TableName=table)["Table"]["TableStatus"] == "ACTIVE", "the table is active")

        keys = [{"AttributeName": "stars", "KeyType": "HASH"}]
        definitions = [{"AttributeName": name, "AttributeType": kind} for name, kind in (("account", "S"), ("offer_id", "S"), ("stars", "N"))]
        indexes({"Create": {"IndexName": "by-stars", "KeySchema": keys, "Projection": {"ProjectionType": "KEYS_ONLY"}}}, AttributeDefinitions=definitions)
        try:
            upload(self.key, f"account,offer_id,stars\n{self.account},1,5\n{self.account},2,five\n{self.account},3,\n".encode())
            row = ended(self.key)
        finally:
            indexes({"Delete": {"IndexName": "by-stars"}})
        self.assertEqual({"read": 3, "written": 2, "superseded": 0, "rejected": 1}, counts(row))
        (reject,) = lines("unprocessed", self.key)
        self.assertEqual((3, "stars"), (reject["line"], reject["column"]))
        self.assertIn("number", reject["reason"])
        # A key of an index is typed without a mapping, and an item without it is not in the index.
        self.assertEqual([("N", "5"), None], [item.get("stars") for item in items(self.account)])


if __name__ == "__main__":
    unittest.main()
