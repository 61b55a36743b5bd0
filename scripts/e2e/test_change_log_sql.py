"""The merge rule as docs/SEMANTICS.md has it in SQL, run in DuckDB. Needs no local cloud."""

from __future__ import annotations

import random
import tempfile
import time
import unittest
from pathlib import Path

import duckdb
import sqlglot
from change_log_sql import (
    LABELS,
    ODD_KEYS,
    Item,
    Key,
    Line,
    LossyTable,
    any_log,
    blocks,
    choose,
    completion,
    connect,
    key_of,
    key_of_columns,
    naive_state,
    odd_item,
    record,
    repair,
    row,
    state,
    text,
    write_log,
)

# How many random logs of each kind.
SEEDS = 60
# 2026-01-14 10:00 UTC.
TIME = 1_768_384_800
ONE: Item = {"id": {"S": "1"}}
TWO: Item = {"id": {"S": "2"}}


def item(value: str) -> Item:
    return {"v": {"S": value}}


class ChangeLogSql(unittest.TestCase):
    """Each test has its logs in a folder of its own."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.choice = random.Random(20_260_114)
        self.written = 0
        self.connection: duckdb.DuckDBPyConnection | None = None

    def open(self, lines: list[Line]) -> duckdb.DuckDBPyConnection:
        """The views over a log of these lines."""
        self.written += 1
        log = self.folder / str(self.written) / "changes" / "table=offers"
        write_log(log, lines, self.choice)
        if self.connection is None:
            self.connection = connect(log)
            self.addCleanup(self.connection.close)
        choose(self.connection, log)
        return self.connection

    def holds(self, lines: list[Line]) -> dict[Key, str]:
        """What the table holds by these lines: the SQL and the naive rule agree on it."""
        held = state(self.open(lines))
        self.assertEqual(naive_state(lines), held)
        return held

    def values(self, lines: list[Line]) -> dict[str, str]:
        return {key[0][2]: held.removeprefix('{"v":{"S":"').removesuffix('"}}') for key, held in self.holds(lines).items()}

    def test_promise_7_any_log_is_merged_as_the_rule_says(self) -> None:
        for seed in range(SEEDS):
            lines = any_log(random.Random(seed))
            if lines:
                with self.subTest(seed=seed):
                    self.holds(lines)

    def test_promise_7_the_merged_state_is_the_table(self) -> None:
        for seed in range(SEEDS):
            table = LossyTable(random.Random(seed))
            if lines := table.log():
                with self.subTest(seed=seed):
                    self.assertEqual(table.items(), self.holds(lines))

    def test_promise_6_a_reader_sees_each_change_once(self) -> None:
        lines = [record(nth, TIME + nth * 90, ODD_KEYS[nth % 9], odd_item(self.choice, nth)) for nth in range(200)]
        changes = self.open([*lines, *lines[::3], *lines[::7]])
        seen = changes.execute("select event_id, line from changes order by event_id").fetchall()
        self.assertEqual([(line["eventID"], text(line)) for line in sorted(lines, key=lambda line: line["eventID"])], seen)
        everything = changes.execute("select count(*) from change_log").fetchone()
        self.assertGreater(everything[0], len(lines) * 1.3)

    def test_each_column_is_what_the_line_says(self) -> None:
        removal = record(7, TIME + 3599, {"SK": {"B": "AA=="}, "PK": {"N": "1.5"}}, None, label=LABELS[1])
        removal["dynamodb"]["OldImage"] = item("old")
        line = text(removal).replace("1768388399.0", "1.768388399E9")
        folder = self.folder / "changes/table=offers/source=stream/dt=2026-01-14/hour=10"
        folder.mkdir(parents=True)
        (folder / "a.jsonl").write_text(line + "\n")
        changes = connect(folder.parent.parent.parent)
        self.addCleanup(changes.close)
        result = changes.execute("select * from changes")
        names = [column[0] for column in result.description]
        (found,) = result.fetchall()
        expected = {
            "event_id": removal["eventID"], "event_name": "REMOVE", "source": "stream", "snapshot_time": None, "window_start": None,
            "change_time": TIME + 3599, "stream_label": LABELS[1], "sequence_number": "7".zfill(40),
            "key1_name": "PK", "key1_type": "N", "key1_value": "1.5", "key2_name": "SK", "key2_type": "B", "key2_value": "AA==",
            "new_image": None, "old_image": text(item("old")), "user_identity": text(removal["userIdentity"]),
            "line": line, "dt": "2026-01-14", "hour": 10,
        }  # fmt: skip
        self.assertEqual(expected, dict(zip(names, found, strict=True)))

    def test_keys_and_items_survive_whatever_is_in_them(self) -> None:
        for nth in range(20):
            lines = [record(number, TIME, keys, odd_item(self.choice, number)) for number, keys in enumerate(ODD_KEYS)]
            held = self.holds(lines)
            self.assertEqual({key_of(line["dynamodb"]["Keys"]): text(line["dynamodb"]["NewImage"]) for line in lines}, held, nth)

    def test_a_line_keeps_its_bytes_and_all_three_kinds_of_object_are_read(self) -> None:
        folder = self.folder / "changes/table=offers/source=stream/dt=2026-01-14/hour=10"
        folder.mkdir(parents=True)
        long = text(record(1, TIME, ONE, item("x" * 1_000_000)))
        odd = text(record(2, TIME, TWO, item("é"))).replace("é", "\\u00e9\\/").replace('":', '" :\t')
        (folder / "1.jsonl").write_text(long + "\n")
        self.open([record(3, TIME, {"id": {"S": "3"}}, item("c"))])
        quoting = "format csv, header false, quote '', escape '', delimiter '\x01'"
        for name, compression in (("2.jsonl.zst", "zstd"), ("3.jsonl.gz", "gzip")):
            line = odd.replace('"2"', f'"{name[0]}"')
            self.connection.execute(f"copy (select $line) to '{folder / name}' ({quoting}, compression {compression})", {"line": line})
        choose(self.connection, folder.parent.parent.parent)
        lines = self.connection.execute("select line from change_log").fetchall()
        self.assertEqual(sorted([long, odd, odd.replace('"2"', '"3"')]), sorted(line for (line,) in lines))
        self.assertEqual(2, len(state(self.connection)))

    def test_a_later_stream_comes_later_whatever_its_numbers(self) -> None:
        self.assertEqual({"1": "new"}, self.values([record(900, TIME, ONE, item("old")), record(3, TIME, ONE, item("new"), label=LABELS[1])]))

    def test_numbers_are_compared_as_numbers(self) -> None:
        self.assertEqual({"1": "new"}, self.values([record(9, TIME, ONE, item("old")), record(10, TIME, ONE, item("new"))]))

    def test_a_snapshot_row_gives_way_from_a_minute_before_it(self) -> None:
        for seconds, value in ((-61, "row"), (-60, "record"), (-59, "record"), (1, "record")):
            lines = [row("row", TIME, ONE, item("row")), completion(TIME), record(1, TIME + seconds, ONE, item("record"))]
            self.assertEqual({"1": value}, self.values(lines), seconds)
        self.assertEqual({"1": "record"}, self.values([lines[0], lines[2]]), "a snapshot that is not complete takes no part")
        newer = [row("newer", TIME + 500, ONE, item("newer")), completion(TIME + 500)]
        self.assertEqual({"1": "newer"}, self.values([*lines, *newer]))
        self.assertEqual({}, self.values([*lines, completion(TIME + 500)]), "a newer snapshot that does not have it")

    def test_an_export_goes_before_a_scan_of_the_same_second(self) -> None:
        lines = [row("a", TIME, ONE, item("scan"), "scan"), row("b", TIME, ONE, item("export")), completion(TIME, source="scan")]
        self.assertEqual({"1": "scan"}, self.values(lines))
        self.assertEqual({"1": "export"}, self.values([*lines, completion(TIME)]))

    def test_a_repair_replaces_the_records_inside_of_its_window(self) -> None:
        window = (TIME, TIME + 900)
        line = repair("repair", window, TIME + 500, ONE, item("repair"))
        for seconds, value in ((59, "repair"), (60, "repair"), (839, "repair"), (840, "record"), (841, "record")):
            lines = [line, record(1, TIME + seconds, ONE, item("record")), completion(window[1], window[0])]
            self.assertEqual({"1": value}, self.values(lines), seconds)
        self.assertEqual({"1": "record"}, self.values([line, record(1, TIME + 60, ONE, item("record"))]), "while it is not complete")
        self.assertEqual({"1": "record"}, self.values([*lines[:2], record(2, TIME, ONE, item("record")), lines[2]]))

    def test_a_key_that_a_repair_does_not_name_was_removed_if_a_record_is_inside(self) -> None:
        window = (TIME, TIME + 900)
        complete = completion(window[1], window[0])
        for seconds, held in ((59, {"1": "a"}), (60, {}), (839, {}), (840, {"1": "a"})):
            self.assertEqual(held, self.values([complete, record(1, TIME + seconds, ONE, item("a"))]), seconds)
        # Inserted in the first minute of the window, removed inside of it: nothing is lost, and it must not come back.
        lines = [record(1, TIME + 10, ONE, item("a")), record(2, TIME + 300, ONE, None), complete]
        self.assertEqual({}, self.values(lines))

    def test_a_repair_gives_way_to_one_that_ends_later(self) -> None:
        inner, outer = (TIME + 300, TIME + 1200), (TIME, TIME + 3000)
        # There at the end of the inner window, not there at either end of the outer one.
        lines = [repair("inner", inner, TIME + 600, ONE, item("a")), completion(inner[1], inner[0])]
        self.assertEqual({"1": "a"}, self.values(lines))
        self.assertEqual({}, self.values([*lines, completion(outer[1], outer[0])]))
        lines.append(repair("outer", outer, TIME + 2000, ONE, item("b")))
        self.assertEqual({"1": "b"}, self.values([*lines, completion(outer[1], outer[0])]))

    def test_a_repair_from_before_the_snapshot_takes_no_part(self) -> None:
        for start, held in ((TIME - 1, {"1": "row"}), (TIME, {"1": "repair"})):
            lines = [row("row", TIME, ONE, item("row")), completion(TIME), completion(TIME + 900, start)]
            lines.append(repair("repair", (start, TIME + 900), TIME + 300, ONE, item("repair")))
            self.assertEqual(held, self.values(lines), start)

    def test_completions_are_no_changes(self) -> None:
        changes = self.open([completion(TIME), record(1, TIME, ONE, item("a"))])
        self.assertEqual([("MODIFY",)], changes.execute("select event_name from changes").fetchall())
        self.assertEqual([("export", TIME, None)], changes.execute("select distinct * from completions").fetchall())

    def test_the_four_blocks_run_as_one_file(self) -> None:
        self.open([record(1, TIME, ONE, item("a"))])
        connection = duckdb.connect()
        self.addCleanup(connection.close)
        choose(connection, self.folder / "1" / "changes" / "table=offers")
        sql = blocks()
        connection.execute("".join(sql[name] for name in ("duckdb", "changes", "completions", "table_state")))
        self.assertEqual([("1",)], connection.execute("select key1_value from table_state").fetchall())

    def test_a_filter_on_the_hour_opens_only_its_objects(self) -> None:
        changes = self.open([record(nth, TIME + nth * 3600, ONE, item("a")) for nth in range(24)])
        plan = changes.execute("explain analyze select count(*) from changes where dt = '2026-01-14' and hour = 12").fetchall()
        self.assertRegex(plan[0][1], r"Scanning Files: 1/24")

    def test_the_text_is_sql_of_athena_and_of_spark(self) -> None:
        sql = blocks()
        parsed = {
            (name, dialect): [type(statement).__name__ for statement in sqlglot.parse(sql[name], dialect=dialect) if statement]
            for name, dialect in [
                *((name, "athena") for name in ("changes", "completions", "table_state")),
                *((name, "spark") for name in ("spark", "table_state", "spark_delta_merge")),
            ]
        }
        self.assertEqual({"Create"}, {kind for (name, _), kinds in parsed.items() if name != "spark_delta_merge" for kind in kinds})
        self.assertEqual(["Merge"], parsed["spark_delta_merge", "spark"])

    def test_200_000_lines_take_seconds(self) -> None:
        changes = self.open([completion(TIME)])
        folder = self.folder / "1/changes/table=offers/source=stream/dt=2026-01-14/hour=10"
        folder.mkdir(parents=True)
        pattern = text(record(0, TIME, {"id": {"N": "@key"}}, {"v": {"S": "x" * 300}}, event_id="@id")).replace('"0"', '"@id"')
        for nth in range(20):
            numbers = range(nth * 10_000, (nth + 1) * 10_000)
            lines = (pattern.replace("@id", str(number)).replace("@key", str(number % 7000)) for number in numbers)
            (folder / f"{nth}.jsonl").write_text("\n".join(lines) + "\n")
        begin = time.monotonic()
        self.assertEqual(7000, len(state(changes)))
        # It takes seconds, and more of them on a machine that is busy.
        self.assertLess(time.monotonic() - begin, 60)


if __name__ == "__main__":
    unittest.main()
