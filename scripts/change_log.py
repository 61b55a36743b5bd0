"""The SQL of docs/SEMANTICS.md over a change log, in DuckDB: for the demo and the end-to-end tests."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb

SEMANTICS = Path(__file__).resolve().parent.parent / "docs" / "SEMANTICS.md"
# The blocks of docs/SEMANTICS.md that DuckDB runs, in the order in which each needs those before it.
DUCKDB_BLOCKS = ("duckdb", "changes", "completions", "table_state")


def blocks() -> dict[str, str]:
    """The SQL of docs/SEMANTICS.md by its names."""
    found = re.findall(r"^<!-- sql: (\w+) -->\n```sql\n(.*?)^```$", SEMANTICS.read_text(), re.MULTILINE | re.DOTALL)
    if len(dict(found)) != len(found):
        raise ValueError(f"{SEMANTICS} has two blocks of one name: expected each once")
    return dict(found)


def connect(log: str | Path) -> duckdb.DuckDBPyConnection:
    """A connection with the views over a log: the folder or the URL that ends in `changes/table=<table>`."""
    connection = duckdb.connect()
    choose(connection, log)
    sql = blocks()
    for name in DUCKDB_BLOCKS:
        connection.execute(sql[name])
    return connection


def choose(connection: duckdb.DuckDBPyConnection, log: str | Path) -> None:
    """Turns the views to another log. There must be an object in it."""
    connection.execute("set variable change_log = $log", {"log": str(log)})
