"""What reprocessing came to, as table, lake, ledger and log tell it, and everything that is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from demo_run.ids import Ids

# The table that the demo makes, and where the results of its items lie in the lake.
TABLE = "transload-ids"
RESULTS = f"reprocessed/table={TABLE}/"
# What one run takes at most.
CAP = 5_000


@dataclass(frozen=True)
class Line:
    """A line of a bundle."""

    bundle: str
    run: int
    id: str
    output: Any


@dataclass(frozen=True)
class Reprocessed:
    """What is there when nothing is pending any more."""

    items: dict[str, dict[str, Any]]
    """The table by id."""
    objects: dict[str, Any]
    """What the objects of single items hold, by the id in their name."""
    lines: list[Line]
    """The lines of all bundles."""
    strangers: list[str]
    """Objects of the lake that are neither, and those with items that were set aside."""
    runs: list[dict[str, Any]]
    """What the function's log says of each run that came to its end, oldest first."""
    drain: dict[str, Any]
    """The report of the drain."""
    lane: dict[str, Any]
    """The ledger's row of the lane."""
    killed: int

    def last_words(self) -> dict[str, Any]:
        """What a reader of the bundles sees of each id: the line with the highest run."""
        return {line.id: line.output for line in sorted(self.lines, key=lambda line: line.run)}

    def in_both(self) -> int:
        """Ids with an object of their own that are in a bundle, too: their first run was killed before it could mark them."""
        return len(self.objects.keys() & {line.id for line in self.lines})

    def repeated_lines(self) -> int:
        """Lines beyond the first of their id, from runs that were killed between bundle and mark."""
        return len(self.lines) - len({line.id for line in self.lines})


def faults(ids: Ids, found: Reprocessed) -> list[str]:
    """Everything that is not as it should be; each entry is a sentence."""
    wrong = _wrong_results(ids, found)
    wrong += _differences("items of the table", found.items, ids.rows, ids.item)
    if found.strangers:
        wrong.append(f"{len(found.strangers):,} objects of the lake are no results, or say of an item why it was set aside, such as {found.strangers[0]}")
    wrong += _wrong_runs(ids, found)
    if not found.drain.get("lanes") or not all(lane["drained"] for lane in found.drain["lanes"]):
        wrong.append(f"the drain did not drain every lane: {found.drain}")
    for name in ("failed", "set_aside"):
        if found.drain.get(name, 0) or found.lane.get(f"total_{name}", 0):
            wrong.append(f"items that {name.replace('_', ' ')}: {found.drain.get(name, 0):,} by the drain, expected none")
    # Marks of a run that was killed are in no count, so that the ledger may know of fewer, never of more.
    done = found.lane.get("total_done", 0)
    if done > len(ids.rows) or (found.killed == 0 and done != len(ids.rows)):
        wrong.append(f"the ledger counts {done:,} items done, expected {len(ids.rows):,}" + (" or fewer" if found.killed else ""))
    return wrong


def _wrong_runs(ids: Ids, found: Reprocessed) -> list[str]:
    taken = [run["items_taken"] for run in found.runs]
    wrong = [] if max(taken, default=0) <= CAP else [f"a run took {max(taken):,} items, expected {CAP:,} at most"]
    # That of the schedule, which nobody disturbs.
    first = found.runs[0] if found.runs else {}
    is_, should = (first.get("items_taken"), first.get("items_done"), first.get("items_left")), (CAP, CAP, len(ids.rows) - CAP)
    if is_ != should:
        wrong.append(f"items taken, done and left by the schedule's run: {is_}, expected {should}")
    return wrong


def _wrong_results(ids: Ids, found: Reprocessed) -> list[str]:
    wrong = []
    bundled = found.last_words()
    for what, results in (("objects of single items", found.objects), ("last words of the bundles", bundled)):
        wrong += _differences(what, results, (one for one in ids.rows if one in results), ids.result)
    without = [one for one in ids.rows if one not in found.objects and one not in bundled]
    if without:
        wrong.append(f"{len(without):,} ids have no result, such as {without[0]}")
    return wrong


def _differences(what: str, are: dict[str, Any], wanted: Iterable[str], should_be: Any) -> list[str]:
    """What is missing, too much, or another; `should_be` tells what is right for an id."""
    wanted = set(wanted)
    found = []
    for kind, those in (
        ("are missing", wanted - are.keys()),
        ("are of no id of the workbook", are.keys() - wanted),
        ("are not what they should be", {one for one in wanted & are.keys() if are[one] != should_be(one)}),
    ):
        if those:
            found.append(f"{what}: {len(those):,} {kind}, such as {min(those)}")
    return found
