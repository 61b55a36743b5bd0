"""The tables and explanations that a person reads."""

from __future__ import annotations

import json
from demo_run.accounting import ChangeLog, Load, Outcome, faults, log_faults, samples
from demo_run.show import heading, paint, paragraph, say, table


def counts(loads: list[Load], outcomes: list[Outcome]) -> None:
    """What became of the rows, one column a file, and where the copies are."""

    def row(label: str, cells: list[str]) -> tuple[str, ...]:
        return (label, *cells)

    heading("What became of every row")
    table([
        row("", [load.key for load in loads]),
        row("rows read", [f"{it.read:,}" for it in outcomes]),
        row("= written", [f"{it.written:,}" for it in outcomes]),
        row("+ superseded", [f"{it.superseded:,}" for it in outcomes]),
        row("+ rejected", [f"{it.rejected:,}" for it in outcomes]),
        row("deferred", [f"{it.deferred(load):,}" for load, it in zip(loads, outcomes, strict=True)]),
        row("items in the table", [f"{len(it.items):,}" for it in outcomes]),
        row("seconds", [f"{it.seconds:.1f}" for it in outcomes]),
        row("rows per second", [f"{it.rows_per_second():,.0f}" for it in outcomes]),
        row("peak memory of the function", [f"{it.peak_memory_mb} MB" for it in outcomes]),
    ])  # fmt: skip
    say()
    paragraph("The seconds are those of the stand-in for DynamoDB, which takes a few thousand items a second; they say nothing about AWS.", "  ", "  ")
    heading("Where the copies are")
    for load, it in zip(loads, outcomes, strict=True):
        lake = f"s3://{load.outputs['LakeBucket']}"
        say(f"  backup of the accepted rows   {lake}/{load.folder('json-copy')}   ({parts(it.backup_parts)})")
        where = f"{lake}/{load.folder('unprocessed')}   ({parts(it.reject_parts)})" if it.rejects else f"none of {load.key}"
        say(f"  rejected rows                 {where}")


def parts(count: int) -> str:
    """How many objects, one a block of 50,000 rows."""
    return "1 part" if count == 1 else f"{count} parts"


def change_log(load: Load, outcome: Outcome, log: ChangeLog) -> None:
    """What the change log of a table came to."""
    table([
        ("changes, each seen once", f"{log.seen():,}"),
        ("= insertions", f"{log.changes.get('INSERT', 0):,}"),
        ("+ updates", f"{log.changes.get('MODIFY', 0):,}"),
        ("+ removals", f"{log.changes.get('REMOVE', 0):,}"),
        ("lines in the log", f"{log.lines:,}"),
        ("objects", f"{log.objects:,}"),
        ("compressed", f"{log.bytes / 1e6:.1f} MB"),
        ("items by the log", f"{log.states:,}"),
        ("items in the table", f"{len(outcome.items):,}"),
        ("processes killed meanwhile", f"{log.killed}"),
    ])  # fmt: skip
    say(f"\n  s3://{load.outputs['LakeBucket']}/{load.changes_folder()}\n")
    paragraph(
        "Changes and items are those of the views `changes` and `table_state` of docs/SEMANTICS.md, which DuckDB has run over a copy of the objects. "
        + interruptions(log), "  ", "  ",
    )  # fmt: skip


def interruptions(log: ChangeLog) -> str:
    """What the demo did to the function meanwhile, and what is to be seen of it."""
    if log.killed == 0:
        return "No process of the function that writes the log was killed: each had ended its work too soon."
    processes = "a process" if log.killed == 1 else f"{log.killed} processes"
    text = (
        f"Meanwhile the demo killed {processes} of the function that writes the log, by kill -9 within a quarter of a second from the "
        "beginning of a batch. A batch without an answer is delivered again, in halves."
    )
    if log.lines > log.seen():
        text += f" {log.lines - log.seen():,} lines stand in the log twice, since their batch was stored already; the views count them once."
    return text


def read_back(load: Load, outcome: Outcome) -> None:
    """A few items of the table, with the line that each came from."""
    heading(f"Items read back from {load.outputs['TableName']}")
    for key in samples(load):
        line, _ = load.expected.last[key]
        rows = load.expected.rows_of_key[key]
        origin = f"line {line:,} of {load.key}" + (f", the last of {rows} with these keys" if rows > 1 else "")
        say(f"  {paint(' '.join(key), 'bold')}   ({origin})")
        # Without spaces between name and value, lines break between attributes only.
        attributes = (f"{name}={value}" for name, value in outcome.items.get(key, {}).items() if name not in load.rules.keys)
        paragraph("  ".join(attributes), "    ", "    ")


def explain_flights(load: Load, outcome: Outcome) -> None:
    """Why the numbers of the flights are what they are."""
    want = load.expected
    accepted = want.read - want.rejected
    overwritten = outcome.written - len(outcome.items)
    heading(f"Why {want.read:,} rows of {load.key} became {len(outcome.items):,} items")
    paragraph(
        f"An item is found by airport and hour, and {accepted:,} accepted rows have only {len(want.last):,} different pairs of these. "
        "The last row of each pair in the file wins, so the table holds one flight for each airport and hour."
    )
    say()
    for label, text in [
        ("superseded", f"{outcome.superseded:,} rows: a later accepted row of the same run of 1,000 rows has their keys. They were never sent, since the "
                       "later row would have replaced them at once. They are in the backup."),
        ("written", f"{outcome.written:,} rows: DynamoDB has acknowledged them. {overwritten:,} of them were replaced by a row of a later run, "
                    "as an hour's flights may lie in two runs or more."),
        ("rejected", f"{outcome.rejected:,} rows: the mapping says that dep_time is a number, but these flights were cancelled and the file says NA. "
                     "All the others went in. An arrival that is NA stayed text, since the mapping leaves arrivals as they are."),
    ]:  # fmt: skip
        paragraph(text, " " * 14, f"  {label:<12}")
    if outcome.rejects:
        say("\nOne of the rejects, as the unprocessed part has it:")
        paragraph(json.dumps(outcome.rejects[0], ensure_ascii=False), "  ")
    say()
    paragraph(
        "To get them in, empty the cells that say NA (an empty cell is no attribute), or take dep_time and dep_delay out of the mapping "
        "(then NA is text), and upload the file again under the same name. --keep shows the commands."
    )


def verdict(loads: list[Load], outcomes: list[Outcome], log: ChangeLog) -> list[str]:
    """Says what was checked and what did not add up, and returns the latter. The log is that of the first load."""
    heading("Checked against the files, read once more by Python")
    checks = [
        (load.key, faults(load, outcome), f"every count, the lines of every reject, the number of backup lines, and all {len(outcome.items):,} items, "
                                          "each the last accepted row of its keys")
        for load, outcome in zip(loads, outcomes, strict=True)
    ]  # fmt: skip
    checks.append((
        "change log", log_faults(loads[0], outcomes[0], log),
        f"all {log.seen():,} changes of {loads[0].key}, each seen once, and by them all {log.states:,} items, each as the table holds it",
    ))  # fmt: skip
    for name, wrong, right in checks:
        if not wrong:
            paragraph(f"{paint('right', 'green')}  {name}: {right}", "         ", "  ")
        for sentence in wrong:
            paragraph(f"{paint('WRONG', 'red')}  {name}: {sentence}", "         ", "  ")
    found = [sentence for _, wrong, _ in checks for sentence in wrong]
    if found:
        say(paint("\nThe numbers do not add up: this must not happen.", "red"))
    return found
