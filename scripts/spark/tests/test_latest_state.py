"""The job latest_state on a local Spark: what it says of a log is what DuckDB says, and what the rule says."""

from __future__ import annotations

import contextlib
import io
import json
import random
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import duckdb
import latest_state
import query_export
from change_log_sql import Key, LossyTable, any_log, connect, key_of_columns, naive_state, state, write_log
from latest_state import JobError, blocks, find_document
from pyspark.sql import SparkSession

# How many random logs of each kind.
LOGS = 3
COLUMNS = ("key1_name", "key1_type", "key1_value", "key2_name", "key2_type", "key2_value", "item")


def local_session() -> SparkSession:
    """A Spark for small data, which compiles neither queries nor itself for long: that is most of the time here."""
    spark = (
        SparkSession.builder.master("local[1]")
        .appName("test")
        .config("spark.driver.extraJavaOptions", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        .config("spark.sql.shuffle.partitions", 1)
        .config("spark.sql.adaptive.enabled", "false")
        .config("spark.sql.codegen.wholeStage", "false")
        .config("spark.sql.codegen.factoryMode", "NO_CODEGEN")
        .config("spark.ui.enabled", "false")
        .config("spark.ui.showConsoleProgress", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.sql.warehouse.dir", tempfile.mkdtemp())
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("OFF")
    return spark


def parsed(held: dict[Key, str]) -> dict[Key, str]:
    """Items without the engine's spelling of blanks, escapes and order."""
    return {key: json.dumps(json.loads(item), sort_keys=True) for key, item in held.items()}


class LocalSpark(unittest.TestCase):
    """Each test has its files in a folder of its own, and all of them one Spark."""

    spark: SparkSession

    @classmethod
    def setUpClass(cls) -> None:
        cls.spark = local_session()
        cls.addClassCleanup(cls.spark.stop)

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def run_job(self, job: object, *arguments: str) -> tuple[int, str]:
        """What a job's main gives and what it prints; the tests' Spark goes on, with the settings that it had."""
        for setting in ("spark.sql.catalog.spark_catalog", query_export.INFERENCE):
            self.addCleanup(self.spark.conf.unset, setting)
        printed = io.StringIO()
        with (
            mock.patch.object(sys, "argv", ["job", *arguments]),
            mock.patch.object(SparkSession, "stop"),
            contextlib.redirect_stderr(printed),
            contextlib.redirect_stdout(printed),
        ):
            return job.main(), printed.getvalue()  # type: ignore[attr-defined]


class LatestState(LocalSpark):
    def log(self, lines: list[dict[str, object]], name: str = "log") -> Path:
        folder = self.folder / name / "changes" / "table=offers"
        write_log(folder, lines, random.Random(7))
        return folder

    def held(self, log: Path) -> dict[Key, str]:
        """What a log comes to by Spark."""
        rows = latest_state.latest_state(self.spark, str(log), blocks(find_document(None))).select(*COLUMNS).collect()
        held = {key_of_columns(tuple(row)[:6]): row["item"] for row in rows}
        self.assertEqual(len(rows), len(held), "a key twice")
        return parsed(held)

    def test_any_log_is_merged_as_the_rule_says_and_as_duckdb_does(self) -> None:
        sizes = set()
        for seed in range(LOGS):
            lines = any_log(random.Random(seed))
            log = self.log(lines, str(seed))
            expected = parsed(naive_state(lines))
            sizes.add(len(expected))
            self.assertEqual(expected, self.held(log), f"seed {seed}")
            with connect(log) as connection:
                self.assertEqual(expected, parsed(state(connection)), f"seed {seed}")
        self.assertGreater(max(sizes), 1)

    def test_a_table_whose_stream_loses_records_is_merged_as_it_is(self) -> None:
        for seed in range(LOGS):
            table = LossyTable(random.Random(seed))
            if lines := table.log():
                self.assertEqual(parsed(table.items()), self.held(self.log(lines, str(seed))), f"seed {seed}")

    def test_the_job_writes_parquet_and_never_over_something(self) -> None:
        lines = any_log(random.Random(3))
        log, output = self.log(lines), str(self.folder / "state")
        code, printed = self.run_job(latest_state, "--log", str(log), "--output", output)
        self.assertEqual((0, ""), (code, printed))
        rows = self.spark.read.parquet(output).select(*COLUMNS).collect()
        self.assertEqual(parsed(naive_state(lines)), parsed({key_of_columns(tuple(row)[:6]): row["item"] for row in rows}))
        code, printed = self.run_job(latest_state, "--log", str(log), "--output", output)
        self.assertEqual(1, code)
        self.assertIn("latest_state: [PATH_ALREADY_EXISTS]", printed)

    def test_without_delta_the_job_says_what_to_install(self) -> None:
        code, printed = self.run_job(latest_state, "--log", "nowhere", "--delta", str(self.folder / "held"))
        self.assertEqual(1, code)
        for words in ("delta.enabled=true", "--datalake-formats delta", "--packages io.delta:delta-spark_2.12"):
            self.assertIn(words, printed)

    def test_a_delta_table_is_made_and_then_merged_into(self) -> None:
        """Without Delta Lake's classes: what would be run."""
        spark, sql = mock.MagicMock(), blocks(find_document(None))
        spark._jvm.io.delta.tables.DeltaTable.isDeltaTable.return_value = False
        latest_state.merge_into_delta(spark, "s3://lake/held/", sql)
        spark.table("table_state").write.format.assert_called_once_with("delta")
        spark.sql.assert_not_called()
        spark._jvm.io.delta.tables.DeltaTable.isDeltaTable.return_value = True
        latest_state.merge_into_delta(spark, "s3://lake/held/", sql)
        ((merge,), _) = spark.sql.call_args
        self.assertRegex(merge, r"(?s)^\s*merge into delta\.`s3://lake/held` as held\nusing table_state .*when not matched by source then delete\s*$")

    def test_a_missing_document_and_a_missing_log_say_so(self) -> None:
        with self.assertRaisesRegex(JobError, "nowhere.md is not there: expected docs/SEMANTICS.md"):
            find_document("nowhere.md")
        code, printed = self.run_job(latest_state, "--log", str(self.folder / "none"), "--output", str(self.folder / "out"))
        self.assertEqual(1, code)
        self.assertIn("PATH_NOT_FOUND", printed)


class QueryExport(LocalSpark):
    WINDOW = "full-20261121T040000Z"

    def setUp(self) -> None:
        super().setUp()
        self.table = self.folder / "tables/offers"
        # Data sets with columns of their own and names that look like numbers.
        self.data_set("042", "id::bigint as id, price::decimal(38, 2) as price, extra::varchar as _extra", """(1, 12.50, null), (2, 3.00, '{"x":{"NULL":true}}')""")
        self.data_set("007", "id::bigint as id, extra::varchar as _extra", "(3, 4.00, null)")
        # Another window that is none of the query's business, and is not whole.
        (self.table / "tl_export=full-20261128T040000Z").mkdir()
        (self.table / f"tl_export={self.WINDOW}/_SUCCESS.json").write_text("{}")

    def data_set(self, entity: str, columns: str, rows: str) -> None:
        folder = self.table / f"tl_export={self.WINDOW}/tl_type={entity}"
        folder.mkdir(parents=True)
        with duckdb.connect() as connection:
            connection.execute(
                f"copy (select {columns} from (values {rows}) as t(id, price, extra))"
                f" to '{folder}/aaaa-00000.parquet' (format parquet, compression zstd)"
            )

    def cells(self, printed: str) -> list[list[str]]:
        return [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if line.startswith("|")]

    def test_items_are_counted_by_data_set(self) -> None:
        code, printed = self.run_job(query_export, "--table", str(self.table), "--window", self.WINDOW)
        self.assertEqual(0, code, printed)
        self.assertEqual([["tl_type", "items", "with_extra"], ["007", "1", "0"], ["042", "2", "1"]], self.cells(printed))

    def test_one_data_set_is_asked_with_exact_numbers(self) -> None:
        query_export.items(self.spark, str(self.table), self.WINDOW, "042")
        (row,) = self.spark.sql("select sum(price) as total, max(tl_export) as window from items").collect()
        self.assertEqual(("15.50", self.WINDOW), (str(row["total"]), row["window"]))

    def test_a_column_of_one_data_set_is_null_in_the_others(self) -> None:
        query_export.items(self.spark, str(self.table), self.WINDOW)
        rows = self.spark.sql("select id, price, tl_type from items order by id").collect()
        self.assertEqual([(1, "12.50", "042"), (2, "3.00", "042"), (3, "None", "007")], [(row.id, str(row.price), row.tl_type) for row in rows])

    def test_data_sets_whose_columns_cannot_be_merged_are_counted_and_asked_one_by_one(self) -> None:
        self.data_set("a%2Fb", "id::varchar as id, price::bigint as price, extra::varchar as _extra", "('x', 5, '{}')")
        job = ("--table", str(self.table), "--window", self.WINDOW)
        code, printed = self.run_job(query_export, *job)
        self.assertEqual(0, code, printed)
        self.assertEqual([["007", "1", "0"], ["042", "2", "1"], ["a/b", "1", "1"]], self.cells(printed)[1:])
        code, printed = self.run_job(query_export, *job, "--query", "select count(*) as items from items")
        self.assertEqual(1, code)
        for words in (
            "id (bigint in 007, 042; string in a%2Fb), price (decimal(38,2) in 042; bigint in a%2Fb): expected one data set, with --type",
        ):
            self.assertIn(words, printed)
        for query in ((), ("--query", "select tl_type, sum(price) as price, count(id) as ids from items group by tl_type")):
            code, printed = self.run_job(query_export, *job, "--type", "a%2Fb", *query)
            self.assertEqual(0, code, printed)
            self.assertEqual([["a/b", "5" if query else "1", "1"]], self.cells(printed)[1:])

    def test_a_window_that_is_not_whole_is_refused(self) -> None:
        code, printed = self.run_job(query_export, "--table", str(self.table), "--window", "full-20261128T040000Z")
        self.assertEqual(1, code)
        self.assertIn("_SUCCESS.json is not there: expected the window to be whole", printed)


if __name__ == "__main__":
    unittest.main()
