"""A PySpark job: what a table holds by its change log, the latest state of each key, as Parquet or merged into a Delta table.

The merge rule is the SQL of docs/SEMANTICS.md, which Athena and DuckDB run as well; this job only runs it. docs/SPARK.md says
when Spark is worth it and how to start the job on EMR, on Glue and on one machine.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from pyspark import SparkFiles
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

DOCUMENT = "SEMANTICS.md"
DELTA_EXTENSION = "io.delta.sql.DeltaSparkSessionExtension"
NO_DELTA = """Delta Lake is not in this Spark: expected its classes for --delta.
  EMR 6.9 or later: the classification delta-defaults with delta.enabled=true
  Glue 4.0 or later: the job parameter --datalake-formats delta
  elsewhere: spark-submit --packages io.delta:delta-spark_2.12:3.3.3 (for Spark 3.5)"""


class JobError(Exception):
    """What the one who started the job can mend."""


def blocks(document: Path) -> dict[str, str]:
    """The SQL of docs/SEMANTICS.md by its names."""
    found = re.findall(r"^<!-- sql: (\w+) -->\n```sql\n(.*?)^```$", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return dict(found)


def find_document(given: str | None) -> Path:
    """Where SEMANTICS.md is: as given, among the job's files (spark-submit --files, Glue's --extra-files), or in the checkout."""
    if given:
        places = [Path(given)]
    else:
        here = Path(__file__).resolve()
        places = [Path(DOCUMENT), Path(SparkFiles.getRootDirectory()) / DOCUMENT, *(up / "docs" / DOCUMENT for up in here.parents)]
    for place in places:
        if place.is_file():
            return place
    raise JobError(f"{given or DOCUMENT} is not there: expected docs/{DOCUMENT} of Transload, by --sql or among the job's files")


def statements(text: str) -> list[str]:
    """The statements of a block. None of them has a semicolon in a text; comments may."""
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return [statement for statement in "\n".join(lines).split(";") if statement.strip()]


def latest_state(spark: SparkSession, log: str, sql: dict[str, str]) -> DataFrame:
    """Makes the views of docs/SEMANTICS.md over a log, the folder that ends in changes/table=<table>, and gives table_state."""
    place = log.rstrip("/").replace("\\", "\\\\").replace("'", "\\'") + "/"
    views, count = re.subn(r"path '[^']*'", lambda _: f"path '{place}'", sql["spark"])
    if count != 1:
        raise JobError(f"the block spark of {DOCUMENT} names {count} paths: expected one")
    # Spark allows no lasting view over temporary ones.
    state = sql["table_state"].replace("create or replace view", "create or replace temporary view")
    for statement in statements(views) + statements(state):
        spark.sql(statement)
    return spark.table("table_state")


def merge_into_delta(spark: SparkSession, folder: str, sql: dict[str, str]) -> None:
    """Makes the Delta table in a folder out of table_state, or brings it up to date: only what changed is written."""
    if not has_delta(spark):
        raise JobError(NO_DELTA)
    table = f"delta.`{folder.rstrip('/')}`"
    if spark._jvm.io.delta.tables.DeltaTable.isDeltaTable(spark._jsparkSession, folder):
        merge, count = re.subn(r"merge into \w+ ", lambda _: f"merge into {table} ", sql["spark_delta_merge"])
        if count != 1:
            raise JobError(f"the block spark_delta_merge of {DOCUMENT} merges {count} times: expected once")
        spark.sql(statements(merge)[0])
    else:
        spark.table("table_state").write.format("delta").save(folder)


def has_delta(spark: SparkSession) -> bool:
    """Whether Delta Lake is in this Spark."""
    try:
        spark._jvm.java.lang.Class.forName(DELTA_EXTENSION, False, spark._jvm.java.lang.Thread.currentThread().getContextClassLoader())
    except Exception:  # py4j has one error for everything that Java throws.
        return False
    return True


def arguments() -> argparse.Namespace:
    """The command line. Glue adds parameters of its own, which are left alone."""
    parser = argparse.ArgumentParser(description="The latest state of each key of a table, out of its change log.")
    parser.add_argument("--log", required=True, help="the table's change log: s3://LAKE/changes/table=TABLE, or a folder")
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--output", help="folder for Parquet, which must not be there yet")
    target.add_argument("--delta", help="folder of a Delta table, which is made or brought up to date")
    parser.add_argument("--sql", help="docs/SEMANTICS.md, where the job does not find it by itself")
    return parser.parse_known_args()[0]


def session(with_delta: bool) -> SparkSession:
    """The session that spark-submit or Glue prepared, or one on this machine."""
    builder = SparkSession.builder.appName("transload-latest-state")
    if with_delta:
        # Spark only warns where these classes are missing; has_delta finds out.
        builder = builder.config("spark.sql.extensions", DELTA_EXTENSION).config(
            "spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog"
        )
    return builder.getOrCreate()


def main() -> int:
    """Run the job; 1 with a message where it cannot be run as it was asked for."""
    chosen = arguments()
    spark = session(chosen.delta is not None)
    try:
        if chosen.delta and not has_delta(spark):
            raise JobError(NO_DELTA)
        sql = blocks(find_document(chosen.sql))
        state = latest_state(spark, chosen.log, sql)
        if chosen.delta:
            merge_into_delta(spark, chosen.delta, sql)
        else:
            state.write.parquet(chosen.output)
    except (JobError, PySparkException) as error:
        print(f"latest_state: {error}", file=sys.stderr)
        return 1
    finally:
        spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
