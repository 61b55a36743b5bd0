"""The subject `polars`: an export's lines into plain JSON Lines or Parquet, by one streaming query, with one thread.

The query names all types, so that nothing is inferred, and takes each value out of its tag.

Usage: transform_polars.py SHAPE FORMAT DATA-FOLDER OUTPUT-FOLDER, with POLARS_MAX_THREADS=1 in the environment.
"""

from __future__ import annotations

import polars as pl
from transform_shapes import SHAPES, Type, arguments

# What the value of a tag is read as.
READ = {"S": pl.String, "N": pl.String, "B": pl.String, "BOOL": pl.Boolean, "NULL": pl.Boolean}


def read_type(kind: Type) -> pl.Struct:
    """The type that a tagged value is read with."""
    if kind in ("SS", "DS"):
        return pl.Struct({"SS" if kind == "SS" else "NS": pl.List(pl.String)})
    if isinstance(kind, str):
        tag = "N" if kind == "D" else kind
        return pl.Struct({tag: READ[tag]})
    if "L" in kind:
        return pl.Struct({"L": pl.List(read_type(kind["L"]))})
    return pl.Struct({"M": pl.Struct({name: read_type(member) for name, member in kind["M"].items()})})


def untagged(value: pl.Expr, kind: Type) -> pl.Expr:
    """The expression of a tagged value's own value."""
    field = value.struct.field
    if kind == "N":
        return field("N").cast(pl.Int64)
    if kind == "D":
        return field("N").cast(pl.Float64)
    if kind == "DS":
        return field("NS").cast(pl.List(pl.Float64))
    if kind == "NULL":
        return pl.lit(None, pl.String)
    if isinstance(kind, str):
        return field(kind)
    if "L" in kind:
        return field("L").list.eval(untagged(pl.element(), kind["L"]))
    members = field("M").struct.field
    return pl.struct(untagged(members(name), member).alias(name) for name, member in kind["M"].items())


def main() -> None:
    """Transform the data files of the folder."""
    shape, form, data, output = arguments()
    columns = SHAPES[shape]
    schema = {"Item": pl.Struct({name: read_type(kind) for name, kind in columns.items()})}
    lines = pl.scan_ndjson(sorted(data.glob("*.json.gz")), schema=schema)
    item = pl.col("Item").struct.field
    items = lines.select(untagged(item(name), kind).alias(name) for name, kind in columns.items())
    if form == "parquet-zstd1":
        if "thumbnail" in columns:
            items = items.with_columns(pl.col("thumbnail").str.decode("base64"))
        items.sink_parquet(output / "items.parquet", compression="zstd", compression_level=1)
    elif form == "json-gzip6":
        items.sink_ndjson(output / "items.jsonl.gz", compression="gzip", compression_level=6)
    else:
        items.sink_ndjson(output / "items.jsonl.zst", compression="zstd", compression_level=1)


if __name__ == "__main__":
    main()
