"""Exports as others read them: JSON Lines and Parquet merged by DuckDB, Parquet by pyarrow, and items made of columns again."""

from __future__ import annotations

import base64
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet
from export_items import Item, Key, parsed

# A full export and the incremental ones after it, of lines. DuckDB makes binary numbers of what it takes out of JSON unless they are
# whole, so that items are cut out of their lines as texts.
MERGED_LINES = r"""
with base as (
  select json->>'$.shop' as shop, json->>'$.number' as number, cast(json as varchar) as item
  from read_json_objects($full, format = 'newline_delimited')
),
changed as (
  select json->>'$.Keys.shop' as shop, json->>'$.Keys.number' as number, cast(json->>'$.Metadata.WriteTimestampMicros' as bigint) as micros,
    nullif(regexp_extract(cast(json as varchar), ',"NewImage":(\{.*?\})(,"OldImage":\{.*)?\}$', 1), '') as item
  from read_json_objects($incremental, format = 'newline_delimited')
),
latest as (
  select shop, number, item from changed
  qualify row_number() over (partition by shop, number order by micros desc) = 1
)
select * from base anti join latest using (shop, number)
union all
select * from latest where item is not null
"""
# The same of Parquet. The columns are those of the full export and of the incremental ones together.
MERGED_PARQUET = """
with rows as (select * from read_parquet($files, union_by_name = true, hive_partitioning = false, filename = 'tl_file')),
latest as (select * from rows qualify row_number() over (partition by shop, number order by coalesce(tl_write_micros, 0) desc) = 1)
select * from latest where tl_change is distinct from 'DELETE'
"""


def windows_on_disk(folder: Path, kind: str, ending: str) -> list[str]:
    """The objects of full or incremental windows."""
    return sorted(str(file) for file in folder.glob(f"tables/*/tl_export={kind}-*/tl_type=*/*{ending}"))


def merged_lines(folder: Path) -> dict[Key, Item]:
    """What the table holds by JSON Lines, as plain data."""
    files = {kind: windows_on_disk(folder, kind, ".jsonl.gz") for kind in ("full", "incremental")}
    with duckdb.connect() as connection:
        rows = connection.execute(MERGED_LINES, files).fetchall()
    return by_key((shop, Decimal(number), parsed(item)) for shop, number, item in rows)


def merged_parquet(folder: Path) -> dict[Key, Item]:
    """What the table holds by Parquet, as DynamoDB JSON."""
    files = windows_on_disk(folder, "full", ".parquet") + windows_on_disk(folder, "incremental", ".parquet")
    columns = {file: columns_of(file) for file in files}
    with duckdb.connect() as connection:
        answer = connection.execute(MERGED_PARQUET, {"files": files})
        names = [column[0] for column in answer.description]
        rows = [dict(zip(names, row)) for row in answer.fetchall()]
    return by_key((row["shop"], row["number"], item_of(row, columns[row["tl_file"]])) for row in rows)


def by_key(rows: Any) -> dict[Key, Item]:
    """Items by key, of which each must be there once."""
    found, count = {}, 0
    for shop, number, item in rows:
        count += 1
        found[shop, number] = item
    if count != len(found):
        raise AssertionError(f"{count - len(found)} keys are there twice")
    return found


def columns_of(file: str | Path) -> list[dict[str, Any]]:
    """The schema that a file carries."""
    return json.loads(pyarrow.parquet.read_schema(file).metadata[b"transload.schema"])["columns"]


def rows_of(file: str | Path) -> list[dict[str, Any]]:
    """The rows of a Parquet file as pyarrow reads them."""
    return pyarrow.parquet.ParquetFile(file).read().to_pylist()


def item_of(row: dict[str, Any], columns: list[dict[str, Any]]) -> Item:
    """The item that a row was made of, as DynamoDB JSON."""
    item = {column["name"]: typed(row[column["name"]], column["type"]) for column in columns if row.get(column["name"]) is not None}
    rest = json.loads(row["_extra"]) if row.get("_extra") else {}
    if item.keys() & rest.keys():
        raise AssertionError(f"{sorted(item.keys() & rest.keys())} are columns and left over: {row}")
    return item | rest


def typed(value: Any, kind: Any) -> Item:
    """The DynamoDB value that a column's value was made of."""
    match kind:
        case "string":
            return {"S": value}
        case "boolean":
            return {"BOOL": value}
        case "binary":
            return {"B": encoded(value)}
        case "json":
            return json.loads(value)
        case str():
            return {"N": str(value)}
        case {"list": member}:
            return {"L": [typed(one, member) for one in value]}
        case {"set": "string"}:
            return {"SS": list(value)}
        case {"set": "binary"}:
            return {"BS": [encoded(one) for one in value]}
        case {"set": _}:
            return {"NS": [str(one) for one in value]}
        case {"map": member}:
            return {"M": {name: typed(one, member) for name, one in dict(value).items()}}
        case {"struct": members}:
            return {"M": {one["name"]: typed(value[one["name"]], one["type"]) for one in members if value[one["name"]] is not None}}
    raise AssertionError(f"no such type: {kind}")


def encoded(content: bytes) -> str:
    """Bytes as DynamoDB JSON has them."""
    return base64.b64encode(content).decode()
