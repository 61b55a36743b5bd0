"""The subject `boto3`: an export's lines into plain JSON, each by json.loads, boto3's TypeDeserializer and json.dumps.

Usage: transform_boto3.py SHAPE json-zstd1|json-gzip6 DATA-FOLDER OUTPUT-FOLDER
"""

from __future__ import annotations

import gzip
import json
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import zstandard
from boto3.dynamodb.types import TypeDeserializer
from transform_shapes import arguments


class LineDeserializer(TypeDeserializer):
    """Leaves bytes in the base64 that they have in an export, since plain JSON has them so, too."""

    def _deserialize_b(self, value: str) -> str:
        return value


deserialize = LineDeserializer().deserialize


def transform(data: Path, output: BinaryIO) -> None:
    """Write the items of one data file as lines."""
    with gzip.open(data, "rt", encoding="utf-8") as lines:
        for line in lines:
            item = {name: deserialize(value) for name, value in json.loads(line)["Item"].items()}
            text = json.dumps(item, ensure_ascii=False, separators=(",", ":"), default=plain)
            output.write(text.encode("utf-8") + b"\n")


def plain(value: Any) -> Any:
    """Say in JSON what it has no word for."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return list(value)


def opened(form: str, stem: Path) -> BinaryIO:
    """A file for lines, compressed."""
    if form == "json-gzip6":
        return gzip.open(f"{stem}.jsonl.gz", "wb", compresslevel=6)
    return zstandard.open(f"{stem}.jsonl.zst", "wb", cctx=zstandard.ZstdCompressor(level=1))


def main() -> None:
    """Transform every data file of the folder."""
    _, form, data, output = arguments()
    for file in sorted(data.iterdir()):
        with opened(form, output / file.name.split(".")[0]) as lines:
            transform(file, lines)


if __name__ == "__main__":
    main()
