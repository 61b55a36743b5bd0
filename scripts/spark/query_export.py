"""A PySpark job that asks a question of a transformed export: the Parquet under tables/<table>/ in the lake.

Without --query it counts the items of each data set, and those of which something fitted no column (it is in `_extra`).
"""

from __future__ import annotations

import argparse
import sys

from py4j.protocol import Py4JJavaError
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StringType, StructField, StructType

INFERENCE = "spark.sql.sources.partitionColumnTypeInference.enabled"
QUERY = "select tl_type, count(*) as items, count(_extra) as with_extra from items group by tl_type order by tl_type"
# What every data set has, whatever its other columns are.
COMMON = StructType([StructField(name, StringType()) for name in ("_extra", "tl_export", "tl_type")])


class QueryError(Exception):
    """The window cannot be asked in this way."""


def items(spark: SparkSession, table: str, window: str, entity: str | None = None, common: bool = False) -> DataFrame:
    """The items of a window as the view `items`, with the columns `tl_export` and `tl_type`. Data sets differ in their columns:
    what one does not have is null in it. With `common` there are only the columns that all of them have."""
    folder = table.rstrip("/")
    whole = f"{folder}/tl_export={window}"
    files = Files(spark, f"{whole}/_SUCCESS.json")
    if not files.exist():
        raise QueryError(f"{files.path} is not there: expected the window to be whole")
    # Values of partitions are texts: a data set that is called 007 is not the number 7.
    spark.conf.set(INFERENCE, "false")
    reader = spark.read.option("basePath", folder)
    reader = reader.schema(COMMON) if common else reader.option("mergeSchema", "true")
    try:
        frame = reader.parquet(f"{whole}/tl_type={entity}" if entity else whole)
    except (PySparkException, Py4JJavaError) as error:
        # Spark has no name of its own in Python for schemas that it cannot merge.
        differing = [] if common or entity else differing_columns(spark, whole)
        if not differing:
            raise
        raise QueryError(f"data sets have columns of other types, {', '.join(differing)}: expected one data set, with --type") from error
    frame.createOrReplaceTempView("items")
    return frame


class Files:
    """What is at a place of any file system that Spark reads."""

    def __init__(self, spark: SparkSession, path: str) -> None:
        self.path = spark._jvm.org.apache.hadoop.fs.Path(path)
        self.system = self.path.getFileSystem(spark._jsc.hadoopConfiguration())

    def exist(self) -> bool:
        """Whether there is something."""
        return self.system.exists(self.path)

    def paths(self) -> list[str]:
        """The files and folders in the folder."""
        return [status.getPath().toString() for status in self.system.listStatus(self.path)]


def differing_columns(spark: SparkSession, whole: str) -> list[str]:
    """Columns that are not of the same type in all data sets that have them, with the types. The files of a data set have the
    same columns."""
    types: dict[str, dict[str, list[str]]] = {}
    for path in sorted(Files(spark, whole).paths()):
        _, is_data_set, entity = path.rpartition("/tl_type=")
        if is_data_set:
            for column in spark.read.parquet(path).schema:
                types.setdefault(column.name, {}).setdefault(column.dataType.simpleString(), []).append(entity)
    differing = []
    for column, kinds in sorted(types.items()):
        if len(kinds) > 1:
            where = "; ".join(f"{kind} in {', '.join(entities)}" for kind, entities in kinds.items())
            differing.append(f"{column} ({where})")
    return differing


def main() -> int:
    """Run the query and print what it gives."""
    parser = argparse.ArgumentParser(description="Ask a question of a transformed export.")
    parser.add_argument("--table", required=True, help="s3://LAKE/tables/TABLE, or a folder")
    parser.add_argument("--window", required=True, help="the window, such as full-20261121T040000Z, which must be whole")
    parser.add_argument("--type", help="only this data set, such as order")
    parser.add_argument("--query", help="SQL over the view items (default: how many items each data set has)")
    chosen = parser.parse_known_args()[0]
    spark = SparkSession.builder.appName("transload-query-export").getOrCreate()
    try:
        items(spark, chosen.table, chosen.window, chosen.type, common=chosen.query is None)
        spark.sql(chosen.query or QUERY).show(100, truncate=False)
    except (QueryError, PySparkException) as error:
        print(f"query_export: {error}", file=sys.stderr)
        return 1
    finally:
        spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
