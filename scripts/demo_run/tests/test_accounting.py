"""The demo's own arithmetic, which has to find a wrong number, row or item."""

from __future__ import annotations

import dataclasses
import unittest
from decimal import Decimal
from pathlib import Path

from demo_run.accounting import Load, Outcome, faults, samples
from demo_run.expected import Row, Rules, expect

RULES = Rules(keys=("id",), numbers=frozenset({"n"}), accepts=lambda row: row["n"] != "NA")


def rows(*cells: tuple[str, str]) -> list[Row]:
    """Rows of the columns id and n."""
    return [{"id": key, "n": number} for key, number in cells]


class ExpectedTest(unittest.TestCase):
    """Counts and winners of a file."""

    def test_the_last_accepted_row_of_a_key_wins(self) -> None:
        got = expect(rows(("a", "1"), ("b", "2"), ("a", "3"), ("a", "NA")), RULES)
        self.assertEqual((got.read, got.written, got.superseded, got.rejected), (4, 2, 1, 1))
        self.assertEqual(got.rejected_lines, [5])
        self.assertEqual(got.last[("a",)], (4, {"id": "a", "n": "3"}))
        self.assertEqual(got.rows_of_key[("a",)], 2)

    def test_a_row_is_superseded_inside_its_run_of_1000_only(self) -> None:
        got = expect(rows(*[("a", str(n)) for n in range(2001)]), RULES)
        self.assertEqual((got.written, got.superseded), (3, 1998))

    def test_rejected_rows_count_for_the_run(self) -> None:
        got = expect(rows(("a", "1"), *[("b", "NA")] * 999, ("a", "2")), RULES)
        self.assertEqual((got.written, got.superseded, got.rejected), (2, 0, 999))

    def test_empty_cells_are_no_attributes(self) -> None:
        self.assertEqual(RULES.item({"id": "a", "n": ""}), {"id": "a"})
        self.assertEqual(RULES.item({"id": "a", "n": "1.50"}), {"id": "a", "n": Decimal("1.5")})


class FaultsTest(unittest.TestCase):
    """A right outcome has no fault, and each wrong one is found."""

    def setUp(self) -> None:
        expected = expect(rows(("a", "1"), ("b", "2"), ("a", "3"), ("c", "NA")), RULES)
        self.load = Load(Path("x.csv"), {}, RULES, expected)
        self.right = Outcome(
            read=4, written=2, superseded=1, rejected=1, seconds=0.0, peak_memory_mb=1,
            items={("a",): {"id": "a", "n": Decimal(3)}, ("b",): {"id": "b", "n": Decimal(2)}},
            backup_lines=3, backup_parts=1, rejects=[{"line": 5}], reject_parts=1,
        )  # fmt: skip

    def found(self, **changes: object) -> str:
        return "\n".join(faults(self.load, dataclasses.replace(self.right, **changes)))

    def test_nothing_is_found_where_all_is_right(self) -> None:
        self.assertEqual(self.found(), "")
        self.assertEqual(self.right.deferred(self.load), 0)

    def test_counts_that_do_not_add_up(self) -> None:
        self.assertIn("written + superseded + rejected are 5", self.found(written=3))
        self.assertIn("deferred by a completed job: 1", self.found(read=3, written=1))
        # A sum that is right does not hide two wrong parts.
        self.assertIn("rows superseded: 2, expected 1", self.found(written=1, superseded=2))

    def test_lines_of_the_lake(self) -> None:
        self.assertIn("lines in the backup: 2", self.found(backup_lines=2))
        self.assertIn("unprocessed", self.found(rejects=[{"line": 4}]))

    def test_items_of_the_table(self) -> None:
        a, b = self.right.items[("a",)], self.right.items[("b",)]
        self.assertIn("items in the table: 1", self.found(items={("a",): a}))
        self.assertIn("such as a", self.found(items={("a",): {"id": "a", "n": Decimal(1)}, ("b",): b}))
        self.assertIn("such as b", self.found(items={("a",): a, ("b",): {"id": "b", "n": "2"}}))

    def test_samples_are_spread_and_different(self) -> None:
        self.assertEqual(samples(self.load), [("a",), ("b",)])


if __name__ == "__main__":
    unittest.main()
