"""Exports whose files are damaged: the execution says which file and what was expected, nothing of it is visible, and once it is
mended only that file is done again. Each kind has an export of its own; all of them go their ways at the same time."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import unittest
from collections.abc import Callable
from typing import Any

from export_items import recover
from export_support import Exporter, Row, stack, succeeded
from support import eventually

ITEMS = 1_000
Line = dict[str, Any]


def md5(body: bytes) -> str:
    """What a manifest says of a body."""
    return base64.b64encode(hashlib.md5(body).digest()).decode()


class Damaged:
    """An export that DynamoDB has completed and nobody has looked at yet; what is replaced of it can be put back."""

    def __init__(self, exporter: Exporter, name: str) -> None:
        self.exporter = exporter
        self.event = {"type": "full", "window": name}
        begun = exporter.invoke("ExportPollerFunction", action="begin", **self.event)
        self.job, self.window = begun["job"], begun["window"]
        self.kept: dict[str, bytes | None] = {}
        self.file = ""
        """The name of the bad file, if there is one."""

    def complete(self) -> None:
        """Waits until DynamoDB is done."""
        look = lambda: self.exporter.invoke("ExportPollerFunction", action="poll", job=self.job)["status"]
        eventually(lambda: look() == "COMPLETED", f"the export of {self.window} is completed", 30)
        self.summary_key = self.exporter.rows(self.job)["export"]["manifest_key"]
        self.files_key = self.summary_key.replace("manifest-summary", "manifest-files")

    def replace(self, key: str, body: bytes | None) -> None:
        """Puts another object in an object's place, or none."""
        there = key in self.exporter.keys(key)
        self.kept.setdefault(key, self.exporter.read(key) if there else None)
        self.exporter.delete(key) if body is None else self.exporter.put(key, body)

    def restore(self) -> None:
        """Puts everything back."""
        for key, body in self.kept.items():
            self.exporter.delete(key) if body is None else self.exporter.put(key, body)

    def lines(self) -> list[Line]:
        """The list of files."""
        return [json.loads(line) for line in self.exporter.read(self.files_key).splitlines()]

    def summary(self) -> Line:
        """The summary."""
        return json.loads(self.exporter.read(self.summary_key))

    def first(self, lines: list[Line]) -> Line:
        """The first file that holds items, which is the bad one."""
        line = next(line for line in lines if line["itemCount"])
        self.file = line["dataFileS3Key"].rpartition("/")[2]
        return line

    def write_lines(self, lines: list[Line]) -> None:
        """Replaces the list of files, and its checksum."""
        self.write_whole(self.files_key, "".join(json.dumps(line) + "\n" for line in lines).encode())

    def write_whole(self, key: str, body: bytes) -> None:
        """Replaces a manifest, and its checksum."""
        self.replace(key, body)
        self.replace(key.replace(".json", ".md5"), md5(body).encode())

    def visible(self) -> list[str]:
        """Objects of the window that anyone can see."""
        return self.exporter.keys(self.exporter.window_folder(self.window))


def wrong_md5(export: Damaged) -> None:
    lines = export.lines()
    export.first(lines)["md5Checksum"] = md5(b"other")
    export.write_lines(lines)


def truncated(export: Damaged) -> None:
    key = export.first(export.lines())["dataFileS3Key"]
    export.replace(key, export.exporter.read(key)[:-9])


def wrong_count(export: Damaged) -> None:
    lines = export.lines()
    export.first(lines)["itemCount"] += 1
    export.write_lines(lines)
    export.write_whole(export.summary_key, json.dumps(export.summary() | {"itemCount": ITEMS + 1}).encode())


def missing(export: Damaged) -> None:
    export.replace(export.first(export.lines())["dataFileS3Key"], None)


def another_file(export: Damaged) -> None:
    """A file with items of its own, whole, and no file of this export."""
    body = gzip.compress(b'{"Item":{"shop":{"S":"x"},"number":{"N":"1"}}}\n')
    key = f"{export.files_key.rpartition('/')[0]}/data/another.json.gz"
    export.replace(key, body)
    export.write_lines([*export.lines(), {"itemCount": 1, "md5Checksum": md5(body), "etag": "x-1", "dataFileS3Key": key}])


def changed_list(export: Damaged) -> None:
    export.replace(export.files_key, export.exporter.read(export.files_key).replace(b'"itemCount"', b' "itemCount"', 1))


def other_table(export: Damaged) -> None:
    summary = export.summary()
    export.write_whole(export.summary_key, json.dumps(summary | {"tableArn": f"{summary['tableArn']}-other"}).encode())


def other_window(export: Damaged) -> None:
    """The manifests of another export of the table, as DynamoDB wrote them."""
    twin = Damaged(export.exporter, f"twin-{export.event['window']}")
    twin.complete()
    export.write_whole(export.summary_key, export.exporter.read(twin.summary_key))


def foreign_object(export: Damaged) -> None:
    export.replace(f"{export.exporter.window_folder(export.window)}tl_type=item/foreign-00000.jsonl.gz", gzip.compress(b"{}\n"))


KINDS: tuple[Callable[[Damaged], None], ...] = (
    wrong_md5, truncated, wrong_count, missing, another_file, changed_list, other_table, other_window, foreign_object,
)  # fmt: skip


class DamagedExports(unittest.TestCase):
    maxDiff = 4_000
    exports: dict[str, Damaged]
    failures: dict[str, dict[str, Any]]
    rows: dict[str, dict[str, Row]]
    seen: dict[str, list[str]]
    ends: dict[str, dict[str, Any]]

    @classmethod
    def setUpClass(cls) -> None:
        exporter = stack("shapes", ITEMS, "ExportConcurrency=3")
        recover(exporter.table)
        cls.exporter = exporter
        cls.exports = {kind.__name__: Damaged(exporter, kind.__name__) for kind in KINDS}
        for kind in KINDS:
            cls.exports[kind.__name__].complete()
            kind(cls.exports[kind.__name__])
        cls.failures = cls.run_all({name: export.event for name, export in cls.exports.items()})
        if unharmed := [name for name, described in cls.failures.items() if described["status"] != "FAILED"]:
            raise AssertionError(f"exports that are damaged succeeded: {unharmed}")
        cls.rows = {name: exporter.rows(export.job) for name, export in cls.exports.items()}
        cls.seen = {name: export.visible() for name, export in cls.exports.items()}
        for export in cls.exports.values():
            export.restore()
        # With the input that the failure gives.
        cls.ends = cls.run_all({name: json.loads(failure["cause"])["input"] for name, failure in cls.failures.items()})

    @classmethod
    def run_all(cls, events: dict[str, Any]) -> dict[str, dict[str, Any]]:
        """Runs the machine with all of these at the same time; how each has ended."""
        executions = {name: cls.exporter.start(**event) for name, event in events.items()}
        return {name: cls.exporter.ended(execution) for name, execution in executions.items()}

    def failed(self, kind: Callable[[Damaged], None], error: str, *fragments: str) -> dict[str, Any]:
        """The execution has failed with this error and says all of this; its cause."""
        failure = self.failures[kind.__name__]
        self.assertEqual(("FAILED", error), (failure["status"], failure["error"]), failure["cause"])
        cause = json.loads(failure["cause"])
        for fragment in fragments:
            self.assertIn(fragment, cause["message"])
        return cause

    def parts(self, rows: dict[str, Row]) -> dict[str, Row]:
        return {part: row for part, row in rows.items() if row["kind"] == "export-file"}

    def check_file(self, kind: Callable[[Damaged], None], *expected: str, retries: int = 1) -> None:
        """One file is bad: it alone is FAILED and invisible, and it alone is done again. Where its line of the list was wrong, the
        mended one is of another file, and its row a new one, without retries."""
        export = self.exports[kind.__name__]
        cause = self.failed(kind, "Export.Incomplete", export.file, *expected)
        self.assertEqual([True], [export.file in told for told in cause["failed_files"]], cause["failed_files"])
        before, after = (self.parts(rows) for rows in (self.rows[kind.__name__], self.exporter.rows(export.job)))
        bad = before.pop(export.file)
        self.assertEqual("FAILED", bad["processing_status"])
        for fragment in (f"s3://{self.exporter.lake}/exports/", export.file, *expected):
            self.assertIn(fragment, bad["error_message"])
        self.assertEqual({"COMPLETED"}, {row["processing_status"] for row in before.values()})
        self.assertGreater(len(before), 20)
        stem = export.file.partition(".")[0]
        self.assertEqual([], [key for key in self.seen[kind.__name__] if stem in key or key.endswith("_SUCCESS.json")])
        self.assertEqual(sorted(one["key"] for row in before.values() for one in row.get("objects", [])), sorted(self.seen[kind.__name__]))
        self.check_end(kind)
        mended = after.pop(export.file)
        self.assertEqual(("COMPLETED", retries), (mended["processing_status"], mended["retry_count"]))
        self.assertEqual(before, after, "the other files were not touched")

    def check_export(self, kind: Callable[[Damaged], None], name: str, *expected: str) -> None:
        """The manifests are bad: no file is looked at."""
        cause = self.failed(kind, "Export.Interrupted", name, *expected)
        self.assertIn("Invalid: ", cause["message"])
        rows = self.rows[kind.__name__]
        self.assertEqual(({}, []), (self.parts(rows), self.seen[kind.__name__]))
        self.assertEqual("FAILED", rows["export"]["processing_status"])
        self.check_end(kind)

    def check_end(self, kind: Callable[[Damaged], None]) -> None:
        """Once it is mended, all is there once."""
        export = self.exports[kind.__name__]
        report = succeeded(self.ends[kind.__name__])
        self.assertEqual(("COMPLETED", ITEMS, ITEMS), (report["status"], report["items"], report["rows_written"]))
        visible = export.visible()
        self.assertIn(f"{self.exporter.window_folder(export.window)}_SUCCESS.json", visible)
        lines = sum(gzip.decompress(self.exporter.read(key)).count(b"\n") for key in visible if key.endswith(".jsonl.gz"))
        self.assertEqual(ITEMS, lines)

    def test_promise_11_a_wrong_md5_in_the_list_of_files(self) -> None:
        self.check_file(wrong_md5, "its MD5 is ", f"expected {md5(b'other')}, as the manifest has it", retries=0)

    def test_promise_11_a_file_that_breaks_off(self) -> None:
        self.check_file(truncated, "its gzip data breaks off after ", "expected a whole gzip file")

    def test_promise_11_a_wrong_count_in_the_list_of_files(self) -> None:
        line = next(line for line in self.exports["wrong_count"].lines() if line["itemCount"])
        self.check_file(wrong_count, f"it has {line['itemCount']} items: expected {line['itemCount'] + 1}, as the manifest has it", retries=0)

    def test_promise_11_a_file_that_is_not_there(self) -> None:
        self.check_file(missing, "it cannot be read: expected the data file that the manifest names")

    def test_promise_11_a_file_too_many_in_the_list(self) -> None:
        self.check_export(another_file, "manifest-files.json", f"item count {ITEMS + 1}", f"expected {ITEMS}", "manifest-summary.json")

    def test_promise_11_a_list_of_files_that_was_changed(self) -> None:
        self.check_export(changed_list, "manifest-files.json", "MD5", "expected ", "manifest-files.md5")

    def test_promise_11_the_manifest_of_another_table(self) -> None:
        self.check_export(other_table, "manifest-summary.json", "is of the table", f"{self.exporter.table}-other", "expected ")

    def test_promise_11_the_manifest_of_another_window(self) -> None:
        self.check_export(other_window, "manifest-summary.json", "is of the export", "expected ")

    def test_promise_11_an_object_in_the_window_that_no_file_made(self) -> None:
        cause = self.failed(foreign_object, "Export.Incomplete", "foreign-00000.jsonl.gz", "is of no file of this export: expected only")
        self.assertEqual([], cause.get("failed_files", []))
        before = self.parts(self.rows["foreign_object"])
        self.assertEqual({"COMPLETED"}, {row["processing_status"] for row in before.values()})
        self.assertEqual([], [key for key in self.seen["foreign_object"] if key.endswith("_SUCCESS.json")])
        self.check_end(foreign_object)
        self.assertEqual(before, self.parts(self.exporter.rows(self.exports["foreign_object"].job)))


if __name__ == "__main__":
    unittest.main()
