"""ImportTable: a token that is looked at first, a table that is not ready while it runs, and ZSTD.

ministack reads CSV and DYNAMODB_JSON and counts as AWS does. Here a repeated request finds its import although the table exists by
now; the table is CREATING until the import ends, and cannot be changed before; a second stream is refused, and a view type that is none; source objects may be
compressed with ZSTD. ION is still refused.
"""

from __future__ import annotations

import json
import os
import threading

import zstandard
from ministack.core.responses import error_response_json, json_response
from ministack.services import dynamodb

# What two requests with the same token must agree on.
COMPARED = ("S3BucketSource", "InputFormat", "InputFormatOptions", "InputCompressionType", "TableCreationParameters")

STREAM_VIEWS = ("KEYS_ONLY", "NEW_IMAGE", "OLD_IMAGE", "NEW_AND_OLD_IMAGES")

# Of the import that this thread runs.
_running = threading.local()


def repeated(request: dict) -> tuple | None:
    """The answer to a request whose token was used before; None for a new one."""
    token = request.get("ClientToken")
    known = next((description(kept) for kept in dynamodb._imports.values() if token and kept.get("ClientToken") == token), None)
    if known is None:
        return None
    asked = {"InputCompressionType": "NONE"} | request
    if any(asked.get(name) != known.get(name) for name in COMPARED):
        return error_response_json("ImportConflictException", "An import with the same client token and other parameters was begun before", 400)
    return json_response({"ImportTableDescription": known})


def description(kept: dict) -> dict:
    """An import as it is shown: ministack is told that a ZSTD source is not compressed."""
    shown = {name: value for name, value in kept.items() if not name.startswith("_")}
    return shown | {"InputCompressionType": "ZSTD"} if "_zstd" in kept else shown


def decompressed(key: str, raw: bytes) -> bytes:
    """The content of a ZSTD object; it may hold several frames one after the other, and each must be whole."""
    content = []
    while raw:
        frame = zstandard.ZstdDecompressor().decompressobj()
        try:
            content.append(frame.decompress(raw))
        except zstandard.ZstdError as error:
            raise dynamodb._ImportFailed("InputFormatError", f"{key} is not valid ZSTD data: {error}") from None
        if not frame.eof:
            raise dynamodb._ImportFailed("InputFormatError", f"{key} ends within a ZSTD frame")
        raw = frame.unused_data
    return b"".join(content)


def set_status(kept: dict, status: str) -> None:
    """The status of an import's table; a failed import may have taken it away."""
    table = dynamodb._tables.get(kept["TableCreationParameters"]["TableName"])
    if table and table["TableId"] == kept["TableId"]:
        table["TableStatus"] = status


def refusal(request: dict) -> tuple | None:
    """Why a change of a table cannot be made now; None where it can."""
    name = dynamodb._normalize_table_name(request.get("TableName"))
    table = dynamodb._tables.get(name)
    if table and table["TableStatus"] != "ACTIVE":
        if "PointInTimeRecoverySpecification" in request:
            return error_response_json("ContinuousBackupsUnavailableException", f"Backups are being enabled for the table: {name}. Please retry later", 400)
        return error_response_json("ResourceInUseException", f"Attempt to change a resource which is still in use: Table is being created: {name}", 400)
    wanted, present = (holder.get("StreamSpecification") or {} for holder in (request, table or {}))
    if wanted.get("StreamEnabled") and present.get("StreamEnabled"):
        return error_response_json("ValidationException", f"Table already has an enabled stream: TableName: {name}", 400)
    if wanted.get("StreamViewType", "KEYS_ONLY") not in STREAM_VIEWS:
        return error_response_json("ValidationException", f"Value '{wanted['StreamViewType']}' at 'streamSpecification.streamViewType' is no view type", 400)
    return None


def apply() -> None:
    """Installs all of it."""
    dynamodb._IMPORT_COMPLETE_AFTER_SEC = float(os.environ.get("LOCAL_CLOUD_IMPORT_SECONDS", "1"))
    original_import = dynamodb._import_table
    original_run = dynamodb._run_import
    original_objects = dynamodb._import_source_objects
    original_finish = dynamodb._finish_import
    original_update = dynamodb._update_table
    original_backups = dynamodb._update_continuous_backups

    def import_table(request: dict) -> tuple:
        answer = repeated(request)
        if answer is None:
            answer = original_import(request)
            if answer[0] == 200:
                set_status(json.loads(answer[2])["ImportTableDescription"], "CREATING")
        return answer

    def run_import(arn: str, table: str) -> None:
        kept = dynamodb._imports[arn]
        if kept["InputCompressionType"] == "ZSTD":
            kept |= {"InputCompressionType": "NONE", "_zstd": True}
        _running.zstd = "_zstd" in kept
        original_run(arn, table)

    def source_objects(source: dict, compression: str) -> tuple[str, list[tuple[str, bytes]]]:
        bucket, objects = original_objects(source, compression)
        return bucket, [(key, decompressed(key, raw)) for key, raw in objects] if _running.zstd else objects

    def finish_import(kept: dict, status: str, *failure: str) -> None:
        set_status(kept, "ACTIVE")
        original_finish(kept, status, *failure)

    def update_table(request: dict) -> tuple:
        return refusal(request) or original_update(request)

    def update_continuous_backups(request: dict) -> tuple:
        return refusal(request) or original_backups(request)

    dynamodb._import_table = import_table
    dynamodb._import_description = description
    dynamodb._run_import = run_import
    dynamodb._import_source_objects = source_objects
    dynamodb._finish_import = finish_import
    dynamodb._update_table = update_table
    dynamodb._update_continuous_backups = update_continuous_backups
