"""Events in every form, and events that come twice, late or in the wrong order."""

from __future__ import annotations

import json
import unittest
from typing import Any
from urllib.parse import quote_plus

from support import (
    ROOT,
    EndToEnd,
    client,
    configured,
    counts,
    ended,
    eventually,
    expected,
    inbox,
    invoke,
    items,
    job,
    ledger_rows,
    lines,
    messages_about,
    notification,
    offers,
    output,
    parts,
    sequencer,
    upload,
    upload_quietly,
)


def one_row(account: str, note: str = "x") -> bytes:
    return f"account,offer_id,note\n{account},1,{note}\n".encode()


def event_bridge(key: str, etag: str, number: str, version: str | None = None) -> dict[str, Any]:
    """EventBridge's form, whose key is not encoded; without a version unless one is given."""
    event = json.loads((ROOT / "events" / "eventbridge-object-created.json").read_text())
    event["detail"]["bucket"]["name"] = output("InboxBucket")
    event["detail"]["object"] = {"key": key, "etag": etag, "sequencer": number} | ({"version-id": version} if version else {})
    return event


class Forms(EndToEnd):
    def test_s3_notification_of_a_key_with_space_plus_and_umlaut(self) -> None:
        key = f"in/red flower+1 é%20/{self.key}"
        upload(key, one_row(self.account))
        self.assertEqual("COMPLETED", ended(key)["processing_status"])
        self.assertEqual([{"account": self.account, "offer_id": "1", "note": "x"}], items(self.account))
        self.assertEqual(["part-00000.jsonl"], list(parts("json-copy", key)))

    def test_event_bridge_form_of_a_key_with_space_plus_and_umlaut(self) -> None:
        key = f"in/red flower+1 é%20/{self.key}"
        version = upload_quietly(key, one_row(self.account))
        answer = invoke(event_bridge(key, "", "0a", version))
        self.assertEqual(["COMPLETED"], answer.outcomes())
        self.assertEqual([{"account": self.account, "offer_id": "1", "note": "x"}], items(self.account))
        self.assertEqual("COMPLETED", job(key, version)["processing_status"])

    def test_the_longest_key_of_s3(self) -> None:
        key = f"{self.key}/" + "k" * (1_023 - len(self.key))
        upload(key, one_row(self.account))
        self.assertEqual("COMPLETED", ended(key, seconds=5)["processing_status"])
        self.assertEqual(1, len(items(self.account)))
        listed = client("s3").list_objects_v2(Bucket=output("LakeBucket"), Prefix=f"json-copy/{self.key}/")["Contents"]
        self.assertLessEqual([len(entry["Key"]) for entry in listed], [900])

    # Red when leading zeros or the case of a sequencer count: the forms differ in both.
    def test_both_forms_of_one_upload_are_one_job(self) -> None:
        version = upload_quietly(self.key, one_row(self.account))
        self.assertEqual(["COMPLETED"], invoke(notification((self.key, version, "0055AED6DCD90281E5"))).outcomes())
        self.assertEqual(["ALREADY_DONE"], invoke(event_bridge(self.key, "", "55aed6dcd90281e5", version)).outcomes())

    def test_every_record_of_an_event(self) -> None:
        keys = [f"{name} {self.key}" for name in "abc"]
        objects = [(quote_plus(key), upload_quietly(key, one_row(f"{self.account}-{key[0]}")), "01") for key in keys]
        self.assertEqual(["COMPLETED"] * 3, invoke(notification(*objects)).outcomes())
        for key in keys:
            self.assertEqual(1, len(items(f"{self.account}-{key[0]}")))

    def test_a_record_that_fails_keeps_no_other_from_success(self) -> None:
        bad, good = f"bad-{self.key}", f"good-{self.key}"
        objects = [(bad, upload_quietly(bad, b"no key here\n1\n"), "01"), (good, upload_quietly(good, one_row(self.account)), "01")]
        self.assertEqual(["FAILED", "COMPLETED"], invoke(notification(*objects)).outcomes())

    def test_the_test_event_of_s3_is_no_error(self) -> None:
        answer = invoke(json.loads((ROOT / "events" / "s3-test-event.json").read_text()))
        self.assertEqual([], answer.outcomes())

    def test_promise_11_a_malformed_event_gives_one_clear_error(self) -> None:
        missing_sequencer = notification((self.key, "v", "01"))
        del missing_sequencer["Records"][0]["s3"]["object"]["sequencer"]
        wrong_sequencer = notification((self.key, "v", "first"))
        removed = notification((self.key, "v", "01"))
        removed["Records"][0]["eventName"] = "ObjectRemoved:Delete"
        cases: dict[str, tuple[Any, list[str]]] = {
            "no object": (json.loads((ROOT / "events" / "malformed.json").read_text()), ["Records[0]", "object"]),
            "no sequencer": (missing_sequencer, ["Records[0]", "sequencer"]),
            "wrong sequencer": (wrong_sequencer, ["Records[0]", "first", "expected"]),
            "another event": (removed, ["Records[0]", "ObjectRemoved:Delete", "expected"]),
            "something else": ({"hello": "world"}, ["expected", "Records"]),
            "no object at all": (["Records"], ["expected", "Records"]),
        }
        for name, (event, fragments) in cases.items():
            with self.subTest(name):
                answer = invoke(event)
                self.assertTrue(answer.failed, answer.payload)
                self.assertEqual("Invalid", answer.payload["errorType"])
                for fragment in fragments:
                    self.assertIn(fragment, answer.payload["errorMessage"])
                self.assertNotIn("\n", answer.payload["errorMessage"])
        self.assertEqual([], ledger_rows(self.key))


class Repeats(EndToEnd):
    """Marks left in the table and the lake would be gone if anything were written again: the same bytes would not show it."""

    def leave_marks(self, key: str) -> dict[str, Any]:
        dynamodb, s3 = client("dynamodb"), client("s3")
        dynamodb.put_item(TableName=output("TableName"), Item={"account": {"S": self.account}, "offer_id": {"S": "1"}, "mark": {"S": "left"}})
        for folder in ("json-copy", "unprocessed"):
            for part in ("part-00000.jsonl", "part-00001.jsonl"):
                s3.put_object(Bucket=output("LakeBucket"), Key=f"{folder}/{key}/{part}", Body=b'"mark"\n')
        return self.state(key)

    def state(self, key: str) -> dict[str, Any]:
        return {
            "items": items(self.account),
            "ledger": sorted(ledger_rows(key), key=lambda row: (row["job"], row["part"])),
            "copies": parts("json-copy", key),
            "rejects": parts("unprocessed", key),
        }

    # Red when `done` of the inbox row is not looked at.
    def test_promise_3_a_duplicate_event_does_nothing(self) -> None:
        version = upload(self.key, one_row(self.account))
        row = ended(self.key, version)
        before = self.leave_marks(self.key)
        self.assertEqual(["ALREADY_DONE"], invoke(notification((self.key, version, sequencer(row)))).outcomes())
        self.assertEqual(before, self.state(self.key))

    # Red when sequencers are compared as texts.
    def test_promise_3_an_older_event_after_a_newer_one_does_nothing(self) -> None:
        older = upload_quietly(self.key, one_row(self.account, "older"))
        newer = upload_quietly(self.key, one_row(self.account, "newer"))
        # As texts, "9" comes after "10".
        self.assertEqual(["COMPLETED"], invoke(notification((self.key, newer, "10"))).outcomes())
        self.assertEqual("newer", items(self.account)[0]["note"])
        before = self.leave_marks(self.key)
        self.assertEqual(["ALREADY_DONE"], invoke(notification((self.key, older, "9"))).outcomes())
        self.assertEqual(before, self.state(self.key))

    def test_promise_3_both_versions_in_one_event_in_the_wrong_order(self) -> None:
        older = upload_quietly(self.key, one_row(self.account, "older"))
        newer = upload_quietly(self.key, one_row(self.account, "newer"))
        self.assertEqual(["COMPLETED", "ALREADY_DONE"], invoke(notification((self.key, newer, "2"), (self.key, older, "1"))).outcomes())
        self.assertEqual("newer", items(self.account)[0]["note"])

    # Red when GetObject is sent without the version id.
    def test_promise_3_an_event_reads_the_version_that_it_speaks_of(self) -> None:
        older = upload_quietly(self.key, one_row(self.account, "older"))
        newer = upload_quietly(self.key, one_row(self.account, "newer"))
        self.assertEqual(["COMPLETED"], invoke(notification((self.key, older, "1"))).outcomes())
        self.assertEqual("older", items(self.account)[0]["note"])
        self.assertEqual(["COMPLETED"], invoke(notification((self.key, newer, "2"))).outcomes())
        self.assertEqual("newer", items(self.account)[0]["note"])

    # Red when GetObject is sent without If-Match.
    def test_promise_3_replaced_bytes_are_not_taken_for_those_of_the_event(self) -> None:
        etag = client("s3").head_object(Bucket=output("InboxBucket"), Key=self.key, VersionId=upload_quietly(self.key, one_row(self.account, "older")))["ETag"]
        upload_quietly(self.key, one_row(self.account, "newer"))
        # EventBridge's form without a version: only the ETag says which bytes are meant.
        self.assertEqual(["SUPERSEDED"], invoke(event_bridge(self.key, etag, "1")).outcomes())
        self.assertEqual([], items(self.account))
        self.assertEqual([], messages_about(self.key))


class Replaced(EndToEnd):
    # Red when the worker does not look for a newer version between blocks, or does not take it over at its end.
    def test_promise_3_two_uploads_in_quick_succession(self) -> None:
        rows = 20_000
        older, newer = offers(self.account, rows, note="older"), offers(self.account, 3_500, note="newer")
        with configured(BLOCK_ROWS="1000"):
            first = upload(self.key, older)
            eventually(lambda: job(self.key, first).get("rows_read"), "the first upload is under way")
            second = upload(self.key, newer)
            row = ended(self.key, second)
        stopped = job(self.key, first)
        self.assertEqual("SUPERSEDED", stopped["processing_status"])
        total = counts(stopped)
        self.assertLess(total["read"], rows)
        self.assertEqual(total["read"], total["written"] + total["superseded"] + total["rejected"])
        self.assertEqual("COMPLETED", row["processing_status"], row.get("error_message"))
        wanted = expected(newer, block_rows=1_000)
        self.assertEqual(wanted.counts, counts(row))
        held = {item["offer_id"]: item for item in items(self.account)}
        self.assertEqual(wanted.items, [held[item["offer_id"]] for item in wanted.items])
        self.assertEqual([copy for part in wanted.backup.values() for copy in part], lines("json-copy", self.key))
        self.assertEqual(4, len(parts("json-copy", self.key)))

    # Red without `remove_leftovers`, and (unprocessed parts) when an empty block leaves the object of that name.
    def test_promise_3_a_shorter_version_leaves_no_parts_of_the_longer_one(self) -> None:
        with configured(BLOCK_ROWS="1000"):
            ended(self.key, upload(self.key, offers(self.account, 3_500)))
            self.assertEqual((4, 4), (len(parts("json-copy", self.key)), len(parts("unprocessed", self.key))))
            body = one_row(self.account)
            ended(self.key, upload(self.key, body))
        self.assertEqual([{"account": self.account, "offer_id": "1", "note": "x"}], lines("json-copy", self.key))
        self.assertEqual({}, parts("unprocessed", self.key))
        self.assertEqual(["part-00000.jsonl"], list(parts("json-copy", self.key)))

    def test_promise_3_a_version_that_meets_a_worker_waits_and_is_no_error(self) -> None:
        with configured(BLOCK_ROWS="1000"):
            version = upload(self.key, offers(self.account, 20_000))
            row = eventually(lambda: job(self.key, version), "the upload is under way")
            answer = invoke(notification((self.key, version, sequencer(row))))
            self.assertEqual(["WAITING"], answer.outcomes())
            self.assertEqual(0, ended(self.key, version)["retry_count"])
        self.assertNotIn("pending", inbox(self.key))


if __name__ == "__main__":
    unittest.main()
