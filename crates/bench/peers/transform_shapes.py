"""What the items of the bench `transform` look like, for the peers' queries; and the folders that they are started with."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

# A type is DynamoDB's name of it, or {"L": type}, or {"M": {name: type}}. N is a whole number, D one with two decimals.
Type = str | dict[str, Any]

SHAPES: dict[str, dict[str, Type]] = {
    "flat": {
        "account": "S",
        "offer_id": "S",
        "title": "S",
        "description": "S",
        "price": "D",
        "stock": "N",
        "rating": "D",
        "status": "S",
        "active": "BOOL",
        "created_at": "S",
        "changed": "N",
        "url": "S",
        "discount": "N",
    },
    "nested": {
        "account": "S",
        "offer_id": "S",
        "title": "S",
        "price": "D",
        "active": "BOOL",
        "tags": "SS",
        "sizes": "DS",
        "seller": {
            "M": {"id": "S", "name": "S", "rating": "D", "address": {"M": {"street": "S", "city": "S", "zip": "S"}}}
        },
        "history": {"L": {"M": {"at": "S", "stock": "N", "why": "S"}}},
        "thumbnail": "B",
        "created_at": "S",
        "note": "NULL",
    },
}


def arguments() -> tuple[str, str, Path, Path]:
    """Shape, format, folder of the data files and folder for outputs."""
    shape, form, data, output = sys.argv[1:]
    return shape, form, Path(data), Path(output)
