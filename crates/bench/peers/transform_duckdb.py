"""The subject `duckdb`: an export's lines into plain JSON Lines or Parquet, by one query, with one thread.

The query names all types, so that nothing is inferred, says that lines are objects (records = true: guessing costs it a
multiple), and takes each value out of its tag. Its lines are compressed at the level that DuckDB has for itself.

Usage: transform_duckdb.py SHAPE FORMAT DATA-FOLDER OUTPUT-FOLDER
"""

from __future__ import annotations

import duckdb
from transform_shapes import SHAPES, Type, arguments

TARGETS = {
    "json-zstd1": ("items.jsonl.zst", "format json, compression zstd"),
    "json-gzip6": ("items.jsonl.gz", "format json, compression gzip"),
    "parquet-zstd1": ("items.parquet", "format parquet, compression zstd, compression_level 1"),
}
# What the value of a tag is read as.
READ = {"S": "S varchar", "N": "N varchar", "D": "N varchar", "B": "B varchar", "BOOL": "BOOL boolean", "NULL": '"NULL" boolean'}
READ |= {"SS": "SS varchar[]", "DS": "NS varchar[]"}


def read_type(kind: Type) -> str:
    """The type that a tagged value is read with."""
    if isinstance(kind, str):
        return f"struct({READ[kind]})"
    if "L" in kind:
        return f"struct(L {read_type(kind['L'])}[])"
    members = ", ".join(f'"{name}" {read_type(member)}' for name, member in kind["M"].items())
    return f"struct(M struct({members}))"


def untagged(value: str, kind: Type) -> str:
    """The expression of a tagged value's own value."""
    if kind == "N":
        return f"{value}.N::bigint"
    if kind == "D":
        return f"{value}.N::decimal(18, 2)"
    if kind == "DS":
        return f"{value}.NS::decimal(18, 2)[]"
    if kind == "NULL":
        return "null::varchar"
    if isinstance(kind, str):
        return f"{value}.{kind}"
    if "L" in kind:
        return f"list_transform({value}.L, lambda e: {untagged('e', kind['L'])})"
    members = ", ".join(f"{name} := {untagged(f'{value}.M.{name}', member)}" for name, member in kind["M"].items())
    return f"struct_pack({members})"


def main() -> None:
    """Transform the data files of the folder."""
    shape, form, data, output = arguments()
    columns = SHAPES[shape]
    item = ", ".join(f'"{name}" {read_type(kind)}' for name, kind in columns.items())
    values = ", ".join(f'{untagged(f"Item.{name}", kind)} as "{name}"' for name, kind in columns.items())
    # Parquet's binary columns hold bytes.
    if form == "parquet-zstd1":
        values = values.replace("Item.thumbnail.B", "from_base64(Item.thumbnail.B)")
    name, options = TARGETS[form]
    connection = duckdb.connect(config={"threads": 1})
    connection.execute("set preserve_insertion_order = false")
    connection.execute(
        f"copy (select {values} from read_json('{data}/*.json.gz', format = 'newline_delimited',"
        f" records = true, columns = {{'Item': 'struct({item})'}})) to '{output / name}' ({options})"
    )


if __name__ == "__main__":
    main()
