"""What a person reads of the demo of `--export`."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

from demo_run.exported import QUERY, Window, objects
from demo_run.show import heading, paint, paragraph, say, table


def window(found: Window, killed: int) -> None:
    """What an export came to."""
    report = found.report
    say()
    rows = [
        ("window", str(report["window"])),
        ("items of the export", f"{report['items']:,}"),
        ("data files", f"{report['files']:,}"),
        ("rows written", f"{report['rows_written']:,}"),
        ("objects", f"{len(found.objects):,}"),
        ("their size", f"{sum(found.objects.values()) / 1e6:,.1f} MB"),
        ("seconds, with DynamoDB's part", f"{found.seconds:,.0f}"),
    ]
    if killed:
        rows += [("processes killed", f"{killed:,}"), ("files begun anew", f"{found.begun_anew():,}")]
    table(rows)
    if found.begun_anew():
        say()
        paragraph(
            "What a killed process had written of its file nobody can see: its parts are no object yet. Another invocation made the file again, and files that "
            "were done stayed as they were.", "  ", "  ",
        )  # fmt: skip


def examples(bucket: str, folder: Path, windows: list[Window]) -> None:
    """Where things are, and a line of each kind of JSON Lines."""
    heading("Where things are")
    for found in windows:
        say(f"  s3://{bucket}/{min(found.objects, default='')}")
    for found in windows[:2]:
        for file in objects(folder, found.report["window"], "*.jsonl.gz")[:1]:
            line = gzip.decompress(Path(file).read_bytes()).decode().partition("\n")[0]
            say(f"\n  A line of {found.report['window']}:")
            paragraph(line, "  ", "  ")


def by_risk(rows: list[dict[str, Any]]) -> None:
    """The query of Parquet and what it says."""
    heading("DuckDB reads the Parquet")
    for line in QUERY.strip().splitlines():
        say(f"  {line}")
    say()
    if rows:
        table([tuple(rows[0]), *(tuple(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row.values()) for row in rows)])


def verdict(wrong: list[str], items: int, killed: int) -> list[str]:
    """Says what was checked and what did not add up, and returns the latter."""
    heading("Checked against the table by DuckDB and Python, which share no code with the functions")
    right = [] if wrong else [
        f"JSON Lines: the full export with the incremental one laid over it by key is the table, {items:,} items, each digit of them",
        "Parquet: its rows are the table's items, each once, with numbers of up to 38 digits",
        "ledger: every file is COMPLETED, and the lake has its objects and no others",
    ]  # fmt: skip
    for sentence in right:
        paragraph(f"{paint('right', 'green')}  {sentence}", "         ", "  ")
    if not wrong and not killed:
        say("  No process was killed: the export was done too soon.")
    for sentence in wrong:
        paragraph(f"{paint('WRONG', 'red')}  {sentence}", "         ", "  ")
    if wrong:
        say(paint("\nThe exports are not the table: this must not happen.", "red"))
    return wrong


def explain(endpoint: str, outputs: dict[str, str], windows: list[Window]) -> None:
    """What to do with a local cloud that was left up: commands that work as they are printed, from the root of the repository."""
    full, _incremental, parquet = (found.report["window"] for found in windows)
    folder = f"s3://{outputs['LakeBucket']}/tables/{outputs['TableName']}"
    job = json.dumps({":job": {"S": windows[0].report["job"]}})
    heading("The local cloud is still up. From this folder, in bash:")
    say(f"""
export AWS_ENDPOINT_URL={endpoint} AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1 NO_PROXY=127.0.0.1
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test; unset AWS_PROFILE
PATH="$PWD/.venv/local-cloud/bin:$PATH"

# Export again, under a name of your choice; the same name is the same export.
aws stepfunctions start-execution --state-machine-arn {outputs["ExportMachineArn"]} \\
  --input '{{"type": "full", "window": "mine", "format": "parquet"}}'

# What the ledger says of each file.
aws dynamodb query --table-name {outputs["LedgerTable"]} --key-condition-expression 'job = :job' \\
  --expression-attribute-values '{job}' \\
  --query 'Items[?kind.S==`export-file`].[file_id.S,processing_status.S,rows_written.N,retry_count.N]' --output text

# The exports.
aws s3 ls --recursive {folder}/
aws s3 sync --only-show-errors {folder}/ .local/demo-data/tables
gzip -dc .local/demo-data/tables/tl_export={full}/tl_type=item/*.jsonl.gz | head -2
.venv/local-cloud/bin/python -c "import duckdb
duckdb.sql('''select * from '.local/demo-data/tables/tl_export={parquet}/tl_type=item/*.parquet' limit 5''').show()"

# Is DynamoDB's export whole, and what differs from the table by now?
target/lambda/transload/bootstrap verify export s3://{outputs["LakeBucket"]}/exports/AWSDynamoDB/{export_id(windows[0])}/ --table {outputs["TableName"]}

# The end: stops server and functions and removes their state.
scripts/local/stop --name demo""")


def export_id(found: Window) -> str:
    """The id of a window's export: what the addresses of its data files have before `/data/`."""
    location = found.files[0]["s3_location"]
    return location.partition("/AWSDynamoDB/")[2].partition("/")[0]
