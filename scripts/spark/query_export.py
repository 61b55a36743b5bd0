"""A PySpark job that asks a question of a transformed export: the Parquet under tables/<table>/ in the lake.

Without --query it counts the items of each data set, and those of which something fitted no column (it is in `_extra`).
"""

from __future__ import annotations

import argparse
import sys

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession

INFERENCE = "spark.sql.sources.partitionColumnTypeInference.enabled"
QUERY = "select tl_type, count(*) as items, count(_extra) as with_extra from items group by tl_type order by tl_type"


def items(spark: SparkSession, table: str, window: str, entity: str | None = None) -> DataFrame:
    """The items of a window as the view `items`, with the columns `tl_export` and `tl_type`. Data sets differ in their columns:
    what one does not have is null in it."""
    folder = table.rstrip("/")
    success = spark._jvm.org.apache.hadoop.fs.Path(f"{folder}/tl_export={window}/_SUCCESS.json")
    if not success.getFileSystem(spark._jsc.hadoopConfiguration()).exists(success):
        raise FileNotFoundError(f"{success} is not there: expected the window to be whole")
    chosen = f"{folder}/tl_export={window}" + (f"/tl_type={entity}" if entity else "")
    # Values of partitions are texts: a data set that is called 007 is not the number 7.
    spark.conf.set(INFERENCE, "false")
    frame = spark.read.option("basePath", folder).option("mergeSchema", "true").parquet(chosen)
    frame.createOrReplaceTempView("items")
    return frame


def main() -> int:
    """Run the query and print what it gives."""
    parser = argparse.ArgumentParser(description="Ask a question of a transformed export.")
    parser.add_argument("--table", required=True, help="s3://LAKE/tables/TABLE, or a folder")
    parser.add_argument("--window", required=True, help="the window, such as full-20261121T040000Z, which must be whole")
    parser.add_argument("--type", help="only this data set, such as order")
    parser.add_argument("--query", default=QUERY, help="SQL over the view items")
    chosen = parser.parse_known_args()[0]
    spark = SparkSession.builder.appName("transload-query-export").getOrCreate()
    try:
        items(spark, chosen.table, chosen.window, chosen.type)
        spark.sql(chosen.query).show(100, truncate=False)
    except (FileNotFoundError, PySparkException) as error:
        print(f"query_export: {error}", file=sys.stderr)
        return 1
    finally:
        spark.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
