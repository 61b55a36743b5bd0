"""ExportTableToPointInTime: writes what AWS writes.

FULL and INCREMENTAL exports in DYNAMODB_JSON, to any moment since point-in-time recovery was enabled, with manifests, checksums
and gzipped data files in AWS's layout. A full export holds the writes before its ExportTime; an incremental one the net change
of [ExportFromTime, ExportToTime), so adjacent windows neither overlap nor leave a gap. A missing bucket makes the export FAILED.

As on AWS every partition has its file, also one without items, and neither the files nor what they hold is in any order. Here
PARTITIONS says how many there are: the first one is always empty, and the hash of the partition key chooses among the others.

Unlike AWS a moment is exportable at once, not five minutes later, and a client token stands for its request for ever, not for
eight hours. ION is refused.
"""

from __future__ import annotations

import base64
import contextvars
import gzip
import hashlib
import io
import json
import os
import secrets
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timezone

from ministack.core.responses import error_response_json, json_response
from ministack.services import dynamodb, s3

from local_cloud import journal
from local_cloud.journal import Item, Journal, Key

MIN_WINDOW_SECONDS = float(os.environ.get("LOCAL_CLOUD_MIN_EXPORT_WINDOW_SECONDS", "900"))
MAX_WINDOW_SECONDS = 24 * 3600.0
FILE_BYTES = int(float(os.environ.get("LOCAL_CLOUD_EXPORT_FILE_MB", "16")) * 1_000_000)
# An on-demand table begins with four. One is empty, and the others hold the items.
PARTITIONS = max(2, int(os.environ.get("LOCAL_CLOUD_EXPORT_PARTITIONS", "4")))

MAX_LISTED = 25
RECOVERY_DAYS = 35

# Request members that make a repeated client token a conflict when they differ.
TOKEN_MEMBERS = ("TableArn", "ExportTime", "S3Bucket", "S3BucketOwner", "S3Prefix", "S3SseAlgorithm", "S3SseKmsKeyId", "ExportFormat", "ExportType", "IncrementalExportSpecification")


class Refused(Exception):
    """A request that AWS would refuse: its error code and message."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass
class Change:
    """What one window did to one key."""

    keys: Item
    old: Item | None
    new: Item | None
    micros: int

    def line(self, view: str) -> Item:
        """The line of an incremental export."""
        line: Item = {"Metadata": {"WriteTimestampMicros": {"N": str(self.micros)}}, "Keys": self.keys}
        if self.old is not None and view == "NEW_AND_OLD_IMAGES":
            line["OldImage"] = self.old
        if self.new is not None:
            line["NewImage"] = self.new
        return line


def state_at(live: dict[Key, Item], table: dict, kept: Journal, moment: int) -> dict[Key, Item]:
    """The items at a moment: the live ones with every write at or after it taken back. Changes `live`."""
    later = [write for write in kept.writes() if write.micros >= moment]
    for write in reversed(later):
        key = journal.item_key(table, write.keys)
        if write.before is None:
            live.pop(key, None)
        else:
            live[key] = write.before
    return live


def changes_between(live: dict[Key, Item], table: dict, kept: Journal, begin: int, end: int) -> Iterator[Change]:
    """The net changes of [begin, end) in the order of each key's first write; a key that came and went has none."""
    changes: dict[Key, Change] = {}
    settled: set[Key] = set()
    for write in kept.writes():
        key = journal.item_key(table, write.keys)
        if begin <= write.micros < end:
            change = changes.setdefault(key, Change(write.keys, write.before, live.get(key), write.micros))
            change.micros = write.micros
        elif write.micros >= end and key in changes and key not in settled:
            # The first write after the window still knows how the window left the item.
            changes[key].new = write.before
            settled.add(key)
    return (change for change in changes.values() if change.old is not None or change.new is not None)


class DataFile:
    """A data file that is being written; it is compressed on the way, as several are open at a time."""

    def __init__(self) -> None:
        self.items = 0
        self.bytes = 0
        self._body = io.BytesIO()
        self._gzip = gzip.GzipFile(filename="", mode="wb", compresslevel=1, fileobj=self._body, mtime=0)

    def add(self, line: Item) -> None:
        """Adds a line."""
        self.items += 1
        self.bytes += self._gzip.write(compact(line).encode() + b"\n")

    def body(self) -> bytes:
        """Everything, compressed; 20 bytes for no line. Ends the file."""
        self._gzip.close()
        return self._body.getvalue()


@dataclass
class Export:
    """One export: what DescribeExport shows, and what is needed to write it."""

    description: dict
    table: dict
    kept: Journal
    live: dict[Key, Item]
    files: list[dict] = field(default_factory=list)
    item_count: int = 0
    billed_bytes: int = 0

    @property
    def incremental(self) -> bool:
        """Whether this is a window of changes rather than a state."""
        return self.description["ExportType"] == "INCREMENTAL_EXPORT"

    def lines(self) -> Iterable[tuple[str, Item]]:
        """The lines of the data files, each with its partition key."""
        if not self.incremental:
            moment = micros(self.description["ExportTime"])
            return ((key[0], {"Item": item}) for key, item in state_at(self.live, self.table, self.kept, moment).items())
        window = self.description["IncrementalExportSpecification"]
        begin, end = micros(window["ExportFromTime"]), micros(window["ExportToTime"])
        changes = changes_between(self.live, self.table, self.kept, begin, end)
        return ((journal.item_key(self.table, change.keys)[0], change.line(window["ExportViewType"])) for change in changes)

    def write(self) -> None:
        """Writes everything to the bucket and ends the export, COMPLETED or FAILED."""
        try:
            self.write_objects()
        except Refused as refusal:
            self.description.update(ExportStatus="FAILED", FailureCode=refusal.code, FailureMessage=str(refusal), EndTime=time.time())
        except Exception as error:  # The export fails, the server goes on.
            dynamodb.logger.exception("export")
            self.description.update(ExportStatus="FAILED", FailureCode="UNKNOWN", FailureMessage=str(error), EndTime=time.time())

    def write_objects(self) -> None:
        """Writes data files, then manifests, and completes the export."""
        prefix = self.description["S3Prefix"].rstrip("/") + "/" if self.description.get("S3Prefix") else ""
        export_id = self.description["ExportArn"].rpartition("/")[2]
        base = f"{prefix}AWSDynamoDB/{export_id}/"
        data = f"{prefix}AWSDynamoDB/data/" if self.incremental else f"{base}data/"
        self.put(f"{base}_started", b"")
        self.write_data(data)
        # By their random names, so in no order.
        self.files.sort(key=lambda file: file["dataFileS3Key"])
        manifest = "".join(compact(file) + "\n" for file in self.files).encode()
        self.put_with_checksum(f"{base}manifest-files", manifest)
        end = time.time()
        self.put_with_checksum(f"{base}manifest-summary", compact(self.summary(f"{base}manifest-files.json", end)).encode())
        time.sleep(max(0.0, self.description["StartTime"] + dynamodb._EXPORT_COMPLETE_AFTER_SEC - time.time()))
        self.description.update(
            ExportStatus="COMPLETED", ExportManifest=f"{base}manifest-summary.json", ItemCount=self.item_count,
            BilledSizeBytes=self.billed_bytes, EndTime=time.time(),
        )  # fmt: skip

    def write_data(self, folder: str) -> None:
        """Writes each partition's lines into a file, and into more of them where it holds more than FILE_BYTES."""
        open_files = [DataFile() for _ in range(PARTITIONS)]
        begun: set[int] = set()
        for key, line in self.lines():
            number = partition_of(key)
            file = open_files[number]
            file.add(line)
            if file.bytes >= FILE_BYTES:
                self.write_file(folder, file)
                open_files[number] = DataFile()
                begun.add(number)
        for number, file in enumerate(open_files):
            if file.items or number not in begun:
                self.write_file(folder, file)

    def write_file(self, folder: str, file: DataFile) -> None:
        """Writes one data file and notes it for the manifest."""
        body = file.body()
        key = folder + base64.b32encode(secrets.token_bytes(16)).decode().lower().rstrip("=") + ".json.gz"
        self.put(key, body)
        md5 = hashlib.md5(body).digest()
        self.files.append(
            {
                "itemCount": file.items,
                "md5Checksum": base64.b64encode(md5).decode(),
                # An upload in one part: the MD5 of the part's MD5.
                "etag": f"{hashlib.md5(md5).hexdigest()}-1",
                "dataFileS3Key": key,
            }
        )
        self.item_count += file.items
        self.billed_bytes += file.bytes

    def summary(self, files_key: str, end: float) -> Item:
        """manifest-summary.json"""
        shown = self.description
        summary = {
            "version": "2023-08-01" if self.incremental else "2020-06-30",
            "exportArn": shown["ExportArn"],
            "startTime": iso(shown["StartTime"]),
            "endTime": iso(end),
            "tableArn": shown["TableArn"],
            "tableId": shown["TableId"],
        }
        if self.incremental:
            window = shown["IncrementalExportSpecification"]
            summary |= {"exportFromTime": iso(window["ExportFromTime"]), "exportToTime": iso(window["ExportToTime"])}
        else:
            summary["exportTime"] = iso(shown["ExportTime"])
        summary |= {
            "s3Bucket": shown["S3Bucket"],
            "s3Prefix": shown.get("S3Prefix"),
            "s3SseAlgorithm": shown["S3SseAlgorithm"],
            "s3SseKmsKeyId": shown.get("S3SseKmsKeyId"),
            "manifestFilesS3Key": files_key,
            "billedSizeBytes": self.billed_bytes,
            "itemCount": self.item_count,
            "outputFormat": "DYNAMODB_JSON",
        }
        if self.incremental:
            summary |= {"outputView": window["ExportViewType"], "exportType": "INCREMENTAL_EXPORT"}
        return summary

    def put_with_checksum(self, stem: str, body: bytes) -> None:
        """Writes a manifest and, beside it, its MD5 in base64."""
        self.put(f"{stem}.json", body)
        self.put(f"{stem}.md5", base64.b64encode(hashlib.md5(body).digest()))

    def put(self, key: str, body: bytes) -> None:
        """Writes one object."""
        status, _headers, answer = s3._put_object(self.description["S3Bucket"], key, body, {"content-type": "application/octet-stream"})
        if status == 404:
            raise Refused("S3NoSuchBucket", "The specified bucket does not exist")
        if status != 200:
            raise RuntimeError(f"could not write {key}: {answer[:200]!r}")


def partition_of(key: str) -> int:
    """The partition that holds a partition key: never the first."""
    return 1 + int.from_bytes(hashlib.md5(str(key).encode()).digest()[:4], "big") % (PARTITIONS - 1)


def compact(value: object) -> str:
    """JSON without spaces and with its characters as they are."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def micros(seconds: float) -> int:
    """Epoch seconds, as the API carries them, in microseconds."""
    return round(float(seconds) * 1_000_000)


def iso(seconds: float) -> str:
    """Epoch seconds in the form of the manifests: milliseconds and a Z."""
    moment = datetime.fromtimestamp(float(seconds), timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def check_moment(name: str, seconds: float, kept: Journal, now: float) -> None:
    """Refuses a moment that recovery does not cover. Times are whole seconds on the wire, so the second it began in counts."""
    if float(seconds) < kept.started // 1_000_000 or float(seconds) > now:
        raise Refused("InvalidExportTimeException", f"{name} is outside of the point in time recovery window")


def check_window(window: dict, kept: Journal, now: float) -> dict:
    """The window of an incremental export with its view type filled in; refuses one that AWS would refuse."""
    if "ExportFromTime" not in window or "ExportToTime" not in window:
        raise Refused("ValidationException", "IncrementalExportSpecification needs ExportFromTime and ExportToTime")
    begin, end = float(window["ExportFromTime"]), float(window["ExportToTime"])
    if end - begin < MIN_WINDOW_SECONDS:
        raise Refused("ValidationException", f"The export window is shorter than {MIN_WINDOW_SECONDS:g} seconds")
    if end - begin > MAX_WINDOW_SECONDS:
        raise Refused("ValidationException", "The export window is longer than 24 hours")
    check_moment("ExportFromTime", begin, kept, now)
    check_moment("ExportToTime", end, kept, now)
    return {**window, "ExportViewType": window.get("ExportViewType", "NEW_AND_OLD_IMAGES")}


_requests_by_token: dict[tuple[str, str], tuple[dict, str]] = {}


def repeated(request: dict) -> dict | None:
    """The export that an earlier request with the same token began; a different request with it is a conflict."""
    token = request.get("ClientToken")
    known = _requests_by_token.get((dynamodb.get_account_id(), token)) if token else None
    if known is None:
        return None
    asked, arn = known
    if asked != token_members(request):
        raise Refused("ExportConflictException", "An export with this client token and other parameters exists")
    return dynamodb._exports[arn]


def token_members(request: dict) -> dict:
    """What must be equal for a token to be a repetition."""
    return {name: request.get(name) for name in TOKEN_MEMBERS}


def begin(request: dict) -> Export:
    """Checks a request and describes its export; nothing is written yet."""
    if not request.get("S3Bucket"):
        raise Refused("ValidationException", "S3Bucket must not be null")
    name = dynamodb._table_name_from_arn(request.get("TableArn") or "")
    table = dynamodb._tables.get(name) if name else None
    if table is None:
        raise Refused("TableNotFoundException", f"Table not found: {request.get('TableArn')}")
    kept = journal.of(table)
    if kept is None:
        raise Refused("PointInTimeRecoveryUnavailableException", f"Point in time recovery is not enabled for table '{name}'")
    if request.get("ExportFormat", "DYNAMODB_JSON") != "DYNAMODB_JSON":
        raise Refused("ValidationException", "The local cloud exports DYNAMODB_JSON only")
    now = time.time()
    copied = ("S3Bucket", "S3BucketOwner", "S3Prefix", "S3SseAlgorithm", "S3SseKmsKeyId", "ClientToken")
    description = {
        "ExportArn": f"{table['TableArn']}/export/{int(now * 1000):014d}-{secrets.token_hex(4)}",
        "ExportStatus": "IN_PROGRESS",
        "StartTime": now,
        "TableArn": table["TableArn"],
        "TableId": table["TableId"],
        "S3SseAlgorithm": "AES256",
        # The SDKs make one up where their caller gives none.
        "ClientToken": secrets.token_hex(16),
        "ExportFormat": "DYNAMODB_JSON",
        "ExportType": request.get("ExportType") or "FULL_EXPORT",
    } | {member: request[member] for member in copied if request.get(member)}
    if description["ExportType"] == "INCREMENTAL_EXPORT":
        description["IncrementalExportSpecification"] = check_window(request.get("IncrementalExportSpecification") or {}, kept, now)
    else:
        description["ExportTime"] = request.get("ExportTime") or now
        check_moment("ExportTime", description["ExportTime"], kept, now)
    live = {(partition, sort): item for partition, items in table["items"].items() for sort, item in items.items()}
    return Export(description, table, kept, live)


def export_table_to_point_in_time(request: dict) -> tuple:
    """The API operation: begins an export, or finds the one that the same token began."""
    try:
        known = repeated(request)
        if known is not None:
            return json_response({"ExportDescription": known})
        export = begin(request)
    except Refused as refusal:
        return error_response_json(refusal.code, str(refusal), 400)
    arn = export.description["ExportArn"]
    dynamodb._exports[arn] = export.description
    if request.get("ClientToken"):
        _requests_by_token[dynamodb.get_account_id(), request["ClientToken"]] = (token_members(request), arn)
    answer = json_response({"ExportDescription": export.description})
    threading.Thread(target=contextvars.copy_context().run, args=(export.write,), daemon=True).start()
    return answer


def describe_export(request: dict) -> tuple:
    """The API operation: the state of one export."""
    description = dynamodb._exports.get(request.get("ExportArn"))
    if description is None:
        return error_response_json("ExportNotFoundException", f"Export not found: {request.get('ExportArn')}", 400)
    return json_response({"ExportDescription": description})


def list_exports(request: dict) -> tuple:
    """The API operation: the table's exports, or everybody's, 25 to a page."""
    limit = request.get("MaxResults", MAX_LISTED)
    if not 1 <= limit <= MAX_LISTED:
        return error_response_json("ValidationException", f"MaxResults is {limit}: expected 1 to {MAX_LISTED}", 400)
    wanted = request.get("TableArn")
    exports = [shown for shown in list(dynamodb._exports.values()) if wanted in (None, shown["TableArn"])]
    begin = int(request.get("NextToken") or 0)
    page = exports[begin : begin + limit]
    answer = {"ExportSummaries": [{name: shown[name] for name in ("ExportArn", "ExportStatus", "ExportType")} for shown in page]}
    if begin + limit < len(exports):
        answer["NextToken"] = str(begin + limit)
    return json_response(answer)


def apply() -> None:
    """Replaces the operations; needs journal.apply()."""
    original_describe = dynamodb._describe_continuous_backups

    def describe_continuous_backups(request: dict) -> tuple:
        """The API operation: says how long the period is, and of a missing table what AWS says."""
        if dynamodb._normalize_table_name(request.get("TableName")) not in dynamodb._tables:
            return error_response_json("TableNotFoundException", f"Table not found: {request.get('TableName')}", 400)
        status, headers, body = original_describe(request)
        answer = json.loads(body)
        recovery = answer["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
        if recovery["PointInTimeRecoveryStatus"] == "ENABLED":
            recovery["RecoveryPeriodInDays"] = RECOVERY_DAYS
        return status, headers, compact(answer).encode()

    dynamodb._export_table_to_point_in_time = export_table_to_point_in_time
    dynamodb._describe_export = describe_export
    dynamodb._list_exports = list_exports
    dynamodb._describe_continuous_backups = describe_continuous_backups
