"""The SQL of docs/SEMANTICS.md over a change log, in DuckDB; and lines and logs to try it on. Needs no local cloud."""

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Iterable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import duckdb

from scripts.change_log import SEMANTICS, blocks, choose, connect  # noqa: F401  (the tests take them from here)

# Two streams of one table; the later one begins its sequence numbers anew.
LABELS = ("2026-01-14T00:00:00.000", "2026-02-01T00:00:00.000")

# The one or two key attributes by name: (name, type, value) each.
Key = tuple[tuple[str, str, str], ...]
# An item, or the keys of one, as DynamoDB JSON.
Item = dict[str, Any]
# A line of the log before it is text.
Line = dict[str, Any]


def state(connection: duckdb.DuckDBPyConnection) -> dict[Key, str]:
    """What the table holds by its log: the items' JSON by their keys."""
    rows = connection.execute(
        "select key1_name, key1_type, key1_value, key2_name, key2_type, key2_value, item from table_state"
    ).fetchall()
    held = {key_of_columns(row[:6]): row[6] for row in rows}
    if len(held) != len(rows):
        raise AssertionError("table_state has a key twice")
    return held


def key_of_columns(columns: tuple[Any, ...]) -> Key:
    """A key as the views have it."""
    return tuple(part for part in (columns[:3], columns[3:6]) if part[0] is not None)


def key_of(keys: Item) -> Key:
    """A key as a line has it."""
    return tuple((name, *next(iter(value.items()))) for name, value in sorted(keys.items()))


def text(value: Any) -> str:
    """JSON as AWS writes it: no blanks, no escapes that are not needed."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def record(sequence: int, seconds: int, keys: Item, image: Item | None, *, label: str = LABELS[0], event_id: str | None = None) -> Line:
    """A record of the stream. Without an image it is a removal, by time to live if its number is odd."""
    line: Line = {
        "eventID": event_id or f"{label[5:7]}{sequence:030}",
        "eventName": "REMOVE" if image is None else "MODIFY",
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": "us-east-1",
        "dynamodb": {"ApproximateCreationDateTime": float(seconds), "Keys": keys},
        "eventSourceARN": f"arn:aws:dynamodb:us-east-1:111122223333:table/offers/stream/{label}",
    }
    if image is not None:
        line["dynamodb"]["NewImage"] = image
    line["dynamodb"] |= {"SequenceNumber": str(sequence), "SizeBytes": 26, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    if image is None and sequence % 2:
        line["userIdentity"] = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    return line


def row(event_id: str, time: int, keys: Item, image: Item, source: str = "export") -> Line:
    """A row of a snapshot."""
    change = {"ApproximateCreationDateTime": time, "Keys": keys, "NewImage": image}
    return {"eventID": event_id, "eventName": "INSERT", "source": source, "snapshotTime": time, "dynamodb": change}


def repair(event_id: str, window: tuple[int, int], seconds: int, keys: Item, image: Item | None) -> Line:
    """The line of a repair for a key that was last written at this second of its window."""
    change = {"ApproximateCreationDateTime": seconds, "Keys": keys} | ({} if image is None else {"NewImage": image})
    name = "REMOVE" if image is None else "MODIFY"
    return {"eventID": event_id, "eventName": name, "source": "export", "snapshotTime": window[1], "windowStart": window[0], "dynamodb": change}


def completion(time: int, start: int | None = None, source: str = "export", name: str = "") -> Line:
    """The end of a snapshot, or of a repair whose window begins at `start`."""
    line = {"eventID": f"complete-{name or f'{source}-{start}-{time}'}", "eventName": "COMPLETE", "source": source, "snapshotTime": time}
    return line if start is None else line | {"windowStart": start}


def hour_folder(line: Line) -> str:
    """Where a line belongs, below the folder of its table's log."""
    seconds = line["snapshotTime"] if "source" in line else line["dynamodb"]["ApproximateCreationDateTime"]
    time = datetime.fromtimestamp(seconds, timezone.utc)
    source = "complete" if line["eventName"] == "COMPLETE" else line.get("source", "stream")
    return f"source={source}/dt={time:%Y-%m-%d}/hour={time:%H}"


def write_log(log: Path, lines: Iterable[Line], choice: random.Random) -> None:
    """Writes objects of a few lines each, some of them gzipped; some lines stand in two objects. A completion has its own."""
    folders: dict[str, list[str]] = {}
    for line in lines:
        if line["eventName"] == "COMPLETE":
            name = line["eventID"].removeprefix("complete-")
            (log / hour_folder(line)).mkdir(parents=True, exist_ok=True)
            (log / hour_folder(line) / f"{line['source']}-{name}.jsonl").write_text(text(line) + "\n")
            continue
        folders.setdefault(hour_folder(line), []).extend([text(line)] * choice.choice((1, 1, 1, 2)))
    for folder, texts in folders.items():
        (log / folder).mkdir(parents=True)
        choice.shuffle(texts)
        for begin in range(0, len(texts), 40):
            body = "".join(f"{line}\n" for line in texts[begin : begin + 40]).encode()
            if choice.random() < 0.5:
                (log / folder / f"{begin:040}.jsonl.gz").write_bytes(gzip.compress(body, 1))
            else:
                (log / folder / f"{begin:040}.jsonl").write_bytes(body)


def naive_state(lines: list[Line]) -> dict[Key, str]:
    """What the table holds by the rule of docs/SEMANTICS.md, read word by word."""
    complete = [line for line in lines if line["eventName"] == "COMPLETE"]
    snapshots = [(line["snapshotTime"], line["source"] == "export") for line in complete if "windowStart" not in line]
    base = max(snapshots, default=None)
    windows = {(line["windowStart"], line["snapshotTime"]) for line in complete if "windowStart" in line}
    windows = {window for window in windows if base is None or window[0] >= base[0]}
    held: dict[Key, tuple[tuple[Any, ...], str | None]] = {}
    for line in lines:
        if line["eventName"] == "COMPLETE":
            continue
        rank, removed = naive_rank(line, base, windows)
        if rank is None:
            continue
        change = line["dynamodb"]
        item = None if removed or line["eventName"] == "REMOVE" else text(change["NewImage"])
        key = key_of(change["Keys"])
        held[key] = max(held.get(key, (rank, item)), (rank, item), key=lambda known: known[0])
    return {key: item for key, (_, item) in held.items() if item is not None}


def naive_rank(line: Line, base: tuple[int, bool] | None, windows: set[tuple[int, int]]) -> tuple[tuple[Any, ...] | None, bool]:
    """The place of a change among those of its key, if it has one; and whether a repair makes a removal of it."""
    time = int(line["dynamodb"]["ApproximateCreationDateTime"])
    window = (line["windowStart"], line["snapshotTime"]) if "windowStart" in line else None
    if "source" in line and window is None:
        return ((-1,) if base == (line["snapshotTime"], line["source"] == "export") else None), False
    if window is not None and window not in windows:
        return None, False
    if base is not None and time < base[0] - 60:
        return None, False
    own_end = 0 if window is None else window[1] - 60
    replacing = [end - 60 for start, end in windows if start + 60 <= time < end - 60 and end - 60 > own_end]
    if replacing:
        return (max(replacing), 0), True
    if window is not None:
        return (own_end, 1), False
    before = max([end - 60 for _, end in windows if end - 60 <= time], default=0)
    label = line["eventSourceARN"].split("/stream/")[1]
    return (before, 2, label, int(line["dynamodb"]["SequenceNumber"])), False


# Keys and values that are easily bent: 38 digits, binary, quotes, backslashes, what JSON escapes, and the order of members.
ODD_KEYS: list[Item] = [
    {"SK": {"S": "a"}, "PK": {"N": "1"}},
    {"PK": {"N": "1"}, "SK": {"S": "b"}},
    {"SK": {"S": "a"}, "PK": {"S": "1"}},
    {"PK": {"N": "12345678901234567890123456789012345678"}, "SK": {"S": "é ✈ 𝄞"}},
    {"PK": {"N": "12345678901234567890123456789012345679"}, "SK": {"S": "é ✈ 𝄞"}},
    {"SK": {"B": "AAEC/w=="}, "PK": {"N": "-1E-130"}},
    {"PK": {"S": "say \"so\" 'so' \\ \\\" {\"S\":\"x\"}, $.a[0]"}, "SK": {"S": "\u0000\n\t\u007f"}},
    {"\"quoted\\ näme": {"S": ""}},
    {"id": {"S": "null"}},
]


def odd_item(choice: random.Random, number: int) -> Item:
    """An item unlike any of another number."""
    nested: Item = {"S": ""}
    for _ in range(31):
        nested = choice.choice([{"M": {"m": nested}}, {"L": [nested]}])
    values: Item = {
        "digits": {"N": "9.9999999999999999999999999999999999999E+125"},
        "binary": {"B": "////"},
        "set": {"SS": ["", "a\"\\b", "ü"]},
        "numbers": {"NS": ["-0.1", "12345678901234567890123456789012345678"]},
        "empty": {"S": ""},
        "flag": {"BOOL": False},
        "nothing": {"NULL": True},
        "list": {"L": [{"M": {}}, {"L": []}, {"S": "null"}]},
        "nested": nested,
        "näme \"\\": {"S": "\u2028 ✈ \n"},
    }
    return {"number": {"N": str(number)}} | {name: values[name] for name in choice.sample(sorted(values), choice.choice((0, 1, 3)))}


def any_log(choice: random.Random) -> list[Line]:
    """A log of nothing in particular: snapshots, repairs and records at the same few times and next to them."""
    zero = 1_768_384_800 + choice.choice((0, 1800, 3500))
    base, start, end = zero + 400, zero + choice.choice((400, 600)), zero + 1500
    windows = [(start, end), (start + choice.choice((-60, 100, 300)), end + choice.choice((-300, 0, 61))), (zero + 399, end), (end, end + 900)]
    snapshots = [(base, "export"), (base, "scan"), (base + choice.choice((-100, 200)), "export"), (zero, "scan")]
    times = [base, *(time for window in windows for time in window)]
    keys = choice.sample(ODD_KEYS, 4)
    lines: list[Line] = []
    for nth in range(choice.choice((5, 40, 120))):
        key = choice.choice(keys)
        key = dict(choice.sample(sorted(key.items()), len(key)))
        kind = choice.random()
        item = odd_item(choice, nth) if choice.random() < 0.7 else None
        if kind < 0.2:
            time, source = choice.choice(snapshots)
            # A key stands in a snapshot once, and twice only if both are the same row.
            rows = {(line["source"], line["snapshotTime"], key_of(line["dynamodb"]["Keys"])) for line in lines if "source" in line}
            if (source, time, key_of(key)) not in rows:
                lines.append(row(f"row-{nth}", time, key, item or {}, source))
        elif kind < 0.4:
            window = choice.choice(windows)
            lines.append(repair(f"repair-{nth}", window, choice.randrange(*window), key, item))
        else:
            seconds = choice.choice(times) + choice.choice((-61, -60, -59, -1, 0, 1, 59, 60, 61, 200))
            number = choice.choice((nth, 10**21 + nth, 10**39 + nth))
            lines.append(record(number, seconds, key, item, label=choice.choice(LABELS)))
    # Of the lines of one repair for one key, the last one stays.
    lines = list({(line.get("windowStart"), line["snapshotTime"], key_of(line["dynamodb"]["Keys"])) if "windowStart" in line else line["eventID"]: line for line in lines}.values())
    lines += [completion(time, source=source) for time, source in snapshots if choice.random() < 0.3]
    lines += [completion(end, start) for start, end in windows if choice.random() < 0.5]
    return lines


class LossyTable:
    """A table, and a log of it that is as whole as docs/SEMANTICS.md asks for: what is lost lies inside of two repairs."""

    def __init__(self, choice: random.Random) -> None:
        self.choice = choice
        self.keys = choice.sample(ODD_KEYS, 5)
        # Of each key: the seconds of its writes and what it held from then on.
        self.writes: list[list[tuple[int, Item | None]]] = [[] for _ in self.keys]
        self.records: list[Line] = []
        self.lines: list[Line] = []
        self.zero = 1_768_384_800 + choice.randrange(3600)
        self.end = self.zero
        self.write(choice.choice((20, 80, 160)))

    def write(self, count: int) -> None:
        latest = [0] * len(self.keys)
        for number in range(count):
            self.end += self.choice.choice((0, 1, 20, 59, 60, 100))
            key = self.choice.randrange(len(self.keys))
            item = odd_item(self.choice, number) if self.choice.random() < 0.55 else None
            if item is None and self.held(key, self.end + 1) is None:
                continue
            self.writes[key].append((self.end, item))
            # The time of a record is a little off; those of one key do not go backwards.
            latest[key] = max(latest[key], self.end + self.choice.choice((-29, 0, 1, 29)))
            self.records.append(record(10**20 + number, latest[key], self.keys[key], item))
        self.end += 2000

    def held(self, key: int, before: int) -> Item | None:
        """What the key held just before a second."""
        return next((item for second, item in reversed(self.writes[key]) if second < before), None)

    def edge(self) -> int:
        """A time at which something is likely to go wrong."""
        if not self.records:
            return self.zero
        write = self.choice.choice(self.records)["dynamodb"]["ApproximateCreationDateTime"]
        return int(write) + self.choice.choice((-61, -60, -59, -30, -1, 0, 1, 59, 60, 61))

    def export(self, window: tuple[int, int]) -> None:
        """An incremental export, complete. It has nothing of what was there neither at its start nor at its end."""
        for key, keys in enumerate(self.keys):
            inside = [second for second, _ in self.writes[key] if window[0] <= second < window[1]]
            item = self.held(key, window[1])
            if inside and (item is not None or self.held(key, window[0]) is not None):
                self.lines.append(repair(f"repair-{len(self.lines)}", window, inside[-1], keys, item))
        self.lines.append(completion(window[1], window[0]))

    def snapshot(self) -> int:
        """A full export or a scan, complete; returns the second from which on repairs may begin."""
        time, source = self.edge(), self.choice.choice(("export", "scan"))
        until = time
        for key, keys in enumerate(self.keys):
            read = time if source == "export" else time + self.choice.randrange(300)
            until = max(until, read)
            if (item := self.held(key, read)) is not None:
                self.lines.append(row(f"row-{len(self.lines)}", time, keys, item, source))
        self.lines.append(completion(time, source=source))
        # Whatever the log had from more than a minute before need not be there.
        self.records = [line for line in self.records if line["dynamodb"]["ApproximateCreationDateTime"] >= time - 60 or self.choice.random() < 0.5]
        return until

    def lose(self, since: int) -> None:
        """Records are lost, and two exports make them good."""
        first = max(self.edge(), since)
        second = max(self.edge(), first + 120)
        end = second + self.choice.choice((180, 900, 2000))
        windows = [(first, end + self.choice.choice((0, 0, 100))), (second, end + self.choice.choice((0, 0, 100)))]
        begin, until = second + 60, min(end for _, end in windows) - 60
        lost = lambda line: begin <= line["dynamodb"]["ApproximateCreationDateTime"] < until and self.choice.random() < 0.6
        self.records = [line for line in self.records if not lost(line)]
        for window in windows:
            self.export(window)

    def log(self) -> list[Line]:
        """All lines of the log."""
        since = self.zero - 1000
        for _ in range(self.choice.choice((0, 1, 1, 2))):
            since = max(since, self.snapshot())
        for _ in range(self.choice.choice((0, 1, 2))):
            self.lose(since)
        if self.choice.random() < 0.5:
            # One that nobody needed, wherever it begins.
            first = self.edge()
            self.export((first, first + self.choice.choice((60, 180, 900))))
        return [*self.lines, *self.records]

    def items(self) -> dict[Key, str]:
        """What the table holds in the end."""
        held = ((key_of(keys), self.held(key, self.end)) for key, keys in enumerate(self.keys))
        return {key: text(item) for key, item in held if item is not None}
