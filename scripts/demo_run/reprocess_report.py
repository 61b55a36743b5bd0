"""What a person reads of the demo of `--reprocess`."""

from __future__ import annotations

import json
from typing import Any

from demo_run.ids import Ids
from demo_run.outcome import CAP, RESULTS, Reprocessed
from demo_run.show import heading, paint, paragraph, say, table


def workbook(ids: Ids) -> None:
    """What is in the workbook."""
    sheets = ", ".join(f"{name} {rows:,}" for name, rows in ids.sheets.items())
    repeated = ids.count - len(ids.rows)
    say(f"  {ids.path.name}: {ids.count:,} rows on {len(ids.sheets)} sheets ({sheets}), {ids.path.stat().st_size / 1e6:.1f} MB")
    paragraph(
        f"Its ids are texts of 17 digits, half of them with leading zeros; its branches are numbers that only their format shows with zeros; "
        f"{repeated:,} rows are there twice; the second sheet has a title above its header, and its columns in another order.", "  ", "  ",
    )  # fmt: skip


def duration(seconds: int | None) -> str:
    """Seconds as a person says them."""
    if seconds is None:
        return "unknown"
    if seconds < 60:
        return f"{seconds} s"
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"


def scheduled(run: dict[str, Any]) -> None:
    """What the log says of the schedule's run."""
    say()
    table([
        ("items taken", f"{run['items_taken']:,}"),
        ("done", f"{run['items_done']:,}"),
        ("left", left(run)),
        ("items a second", f"{run['items_per_second']:,}"),
        ("the rest, by such a run in every minute", duration(run.get("eta_on_schedule_seconds"))),
        ("the rest, by the drain", duration(run.get("eta_drain_seconds"))),
    ])  # fmt: skip
    say()
    paragraph(
        f"A run ends at {CAP:,} items and says when the rest will be done: by the schedule, of a minute in this demo and of half an hour "
        "where nothing else is said, and by runs back to back. The seconds are those of the local cloud and say nothing about AWS.", "  ", "  ",
    )  # fmt: skip


def left(run: dict[str, Any]) -> str:
    """Items that a run has left pending, if it has counted them."""
    if run.get("items_left") is None:
        return "-"
    return f"{run['items_left']:,}" if run["items_left_exact"] else f"{run['items_left']:,} or more"


def drained(found: Reprocessed) -> None:
    """What the drain came to."""
    report = found.drain
    say()
    names = ("items_taken", "items_done", "items_skipped", "items_per_second")
    rows = [(str(number), *(f"{run[name]:,}" for name in names)) for number, run in enumerate(found.runs, 1)]
    table([("run", "taken", "done", "skipped", "items/s"), *rows])
    say()
    table([
        ("runs of the drain", f"{report['runs']:,}"),
        ("items done by them", f"{report['done']:,}"),
        ("items done by the schedule", f"{len(found.objects):,}"),
        ("runs that were killed", f"{found.killed:,}"),
        ("bundles", f"{len({line.bundle for line in found.lines}):,}"),
        ("lines in them", f"{len(found.lines):,}"),
        ("of those a second time", f"{found.repeated_lines():,}"),
    ])  # fmt: skip
    say()
    if not found.killed:
        say("  No run was killed: the drain was done too soon.")
    else:
        paragraph(
            "A killed run has told nobody what it did, so no count has what it had marked by then. What it had stored and not marked was done again by a "
            "later run, whose lines have a higher number: those count.", "  ", "  ",
        )  # fmt: skip
    heading("The ledger's row of the lane")
    paragraph("  ".join(f"{name}={value}" for name, value in sorted(found.lane.items())), "  ", "  ")


def examples(ids: Ids, found: Reprocessed, outputs: dict[str, str]) -> None:
    """One object and one line of a bundle."""
    lake = f"s3://{outputs['LakeBucket']}"
    heading("One object an item, as the schedule writes them")
    one = next((one for one in ids.rows if one in found.objects), None)
    if one:
        say(f"  {lake}/{RESULTS}{one}.json")
        say(f"  {json.dumps(found.objects[one], ensure_ascii=False)}")
    heading("One bundle for 500 items, as the drain writes them")
    if found.lines:
        line = found.lines[0]
        say(f"  {lake}/{line.bundle}")
        say(f"  {json.dumps({'run': line.run, 'key': {'id': {'S': line.id}}, 'output': line.output}, ensure_ascii=False)}")


def verdict(ids: Ids, found: Reprocessed, wrong: list[str]) -> list[str]:
    """Says what was checked and what did not add up, and returns the latter."""
    heading("Checked against the rows of the workbook by Python, which shares no code with the function")
    right = [] if wrong else [
        f"results: each of {len(ids.rows):,} ids has one, by the highest run, and it is the row as it was when it was pending",
        f"table: {len(found.items):,} items, each marked done, with every digit of its id and branch",
        f"runs: none took more than {CAP:,} items; nothing failed or was set aside; the ledger adds up",
    ]  # fmt: skip
    for sentence in right:
        paragraph(f"{paint('right', 'green')}  {sentence}", "         ", "  ")
    for sentence in wrong:
        paragraph(f"{paint('WRONG', 'red')}  {sentence}", "         ", "  ")
    if wrong:
        say(paint("\nThe results are not those of the workbook: this must not happen.", "red"))
    return wrong


def explain(endpoint: str, outputs: dict[str, str], table_name: str, one: str) -> None:
    """What to do with a local cloud that was left up: commands that work as they are printed, from the root of the repository."""
    heading("The local cloud is still up. From this folder, in bash:")
    say(f"""
export AWS_ENDPOINT_URL={endpoint} AWS_REGION=us-east-1 AWS_DEFAULT_REGION=us-east-1 NO_PROXY=127.0.0.1
export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test; unset AWS_PROFILE
PATH="$PWD/.venv/local-cloud/bin:$PATH"

# Change an item, so that it is pending again, and run the function by hand.
aws dynamodb update-item --table-name {table_name} --key '{{"id": {{"S": "{one}"}}}}' \\
  --update-expression 'SET #p = :p, note = :n' --expression-attribute-names '{{"#p": "processed"}}' \\
  --expression-attribute-values '{{":p": {{"S": "false"}}, ":n": {{"S": "new"}}}}'
aws lambda invoke --function-name {outputs["ReprocessorFunction"]} --payload '{{}}' /dev/stdout
aws s3 cp s3://{outputs["LakeBucket"]}/{RESULTS}{one}.json -

# The results.
aws s3 ls s3://{outputs["LakeBucket"]}/{RESULTS}lane=00/
aws s3 sync --only-show-errors s3://{outputs["LakeBucket"]}/{RESULTS}lane=00 .local/demo-data/lane=00
.venv/local-cloud/bin/python -c "import duckdb
duckdb.sql('''select key, arg_max(output, run) as output from read_json('.local/demo-data/lane=00/*.jsonl.gz',
  columns={{run: 'bigint', key: 'json', output: 'json'}}) group by key limit 3''').show()"

# Run the drain again: it finds nothing and ends.
aws stepfunctions start-execution --state-machine-arn {outputs["DrainMachineArn"]}

# The end: stops server and functions and removes their state.
scripts/local/stop --name demo""")
