"""Event source mappings of DynamoDB streams: what a failing batch goes through on AWS.

In place of ministack's poller, which retries a whole batch for ever: BatchSize, MaximumBatchingWindowInSeconds, the 6 MB payload,
ParallelizationFactor (lanes by key), ReportBatchItemFailures, BisectBatchOnFunctionError, MaximumRetryAttempts,
MaximumRecordAgeInSeconds and on-failure destinations in SQS, SNS and S3. Retries come after parts of a second.
"""

from __future__ import annotations

import contextvars
import json
import secrets
import threading
import time
import uuid
import zlib
from dataclasses import dataclass

from ministack.core.arn import parse_arn
from ministack.services import dynamodb, lambda_svc, s3, sns, sqs

PAYLOAD_BYTES = 6_000_000
IDLE_SECONDS = 0.02
FIRST_RETRY_SECONDS = 0.2
LONGEST_RETRY_SECONDS = 5.0
SHARD = "shardId-00000000000000000000-00000000"

Record = dict


@dataclass(frozen=True)
class Mapping:
    """One event source mapping; `record` is ministack's, and changes when the user updates the mapping."""

    record: dict
    account: str
    region: str

    @property
    def id(self) -> str:
        """Its UUID."""
        return self.record["UUID"]

    @property
    def stream(self) -> str:
        """The ARN of the stream it reads."""
        return self.record["EventSourceArn"]

    @property
    def table(self) -> str:
        """The name of the table behind the stream."""
        return self.stream.split(":")[5].split("/")[1]

    def number(self, name: str, default: float) -> float:
        """A numeric setting; absent and None are the default."""
        value = self.record.get(name)
        return default if value is None else float(value)

    @property
    def batch_size(self) -> int:
        """Records in one invocation, at most."""
        return int(self.number("BatchSize", 100))

    @property
    def lanes(self) -> int:
        """Invocations at a time."""
        return int(self.number("ParallelizationFactor", 1))

    def active(self) -> bool:
        """Whether it still exists and is enabled."""
        known = lambda_svc._esms.get_scoped(self.account, self.region, self.id)
        return known is self.record and bool(self.record.get("Enabled", True))


_reading: set[str] = set()
_reading_lock = threading.Lock()


def poll_streams() -> bool:
    """Gives every active mapping a thread of its own; ministack's poll loop calls this again and again."""
    for account, region, record in lambda_svc._iter_all_esms():
        mapping = Mapping(record, account, region)
        if ":dynamodb:" not in record.get("EventSourceArn", "") or not mapping.active():
            continue
        with _reading_lock:
            if mapping.id in _reading:
                continue
            _reading.add(mapping.id)
        threading.Thread(target=contextvars.copy_context().run, args=(read_stream, mapping), daemon=True).start()
    return False


def read_stream(mapping: Mapping) -> None:
    """Delivers what comes, in the account and region of the mapping, for as long as it is active."""
    lambda_svc._request_account_id.set(mapping.account)
    lambda_svc._request_region.set(mapping.region)
    try:
        while mapping.active():
            if not deliver_next(mapping):
                time.sleep(IDLE_SECONDS)
    except Exception:  # One mapping stops until the next poll, the others go on.
        lambda_svc.logger.exception("event source mapping %s", mapping.id)
    finally:
        with _reading_lock:
            _reading.discard(mapping.id)


def deliver_next(mapping: Mapping) -> bool:
    """Delivers the next records and moves the position behind them; False where there are none."""
    function, _config = lambda_svc._get_func_record_for_qualifier(mapping.record["FunctionName"], mapping.record.get("Qualifier"))
    table = dynamodb._tables.get(mapping.table)
    if function is None or not table or table.get("LatestStreamArn") != mapping.stream:
        return False
    position = start_position(mapping)
    if position >= dynamodb.stream_end_position(mapping.table):
        return False
    wait_for_batch(mapping, position)
    taken, kept = take(mapping, position)
    deliver_in_lanes(mapping, function, kept)
    if mapping.active():
        lambda_svc._dynamodb_stream_positions[mapping.id] = position + taken
    return True


def start_position(mapping: Mapping) -> int:
    """Where to read on; never before the stream's horizon."""
    horizon = dynamodb.stream_start_position(mapping.table)
    positions = lambda_svc._dynamodb_stream_positions
    if mapping.id not in positions:
        latest = mapping.record.get("StartingPosition") != "TRIM_HORIZON"
        positions[mapping.id] = dynamodb.stream_end_position(mapping.table) if latest else horizon
    return max(positions[mapping.id], horizon)


def wait_for_batch(mapping: Mapping, position: int) -> None:
    """Waits until a batch is full or the batching window is over."""
    deadline = time.monotonic() + mapping.number("MaximumBatchingWindowInSeconds", 0)
    wanted = mapping.batch_size * mapping.lanes
    while mapping.active() and time.monotonic() < deadline and dynamodb.stream_end_position(mapping.table) - position < wanted:
        time.sleep(0.05)


def take(mapping: Mapping, position: int) -> tuple[int, list[Record]]:
    """How many records were read, and those that the filter lets through, as many as one payload holds."""
    taken, kept, size = 0, [], 0
    for record in dynamodb.stream_records_since(mapping.table, position, mapping.batch_size * mapping.lanes):
        if lambda_svc._apply_filter_criteria([record], mapping.record):
            size += len(json.dumps(record))
            if kept and size > PAYLOAD_BYTES:
                break
            kept.append(record)
        taken += 1
    return taken, kept


def deliver_in_lanes(mapping: Mapping, function: dict, records: list[Record]) -> None:
    """Delivers records at the same time in as many lanes as the mapping has; those of one key stay in one lane, in order."""
    lanes: list[list[Record]] = [[] for _ in range(mapping.lanes)]
    for record in records:
        keys = json.dumps(record["dynamodb"]["Keys"], sort_keys=True)
        lanes[zlib.crc32(keys.encode()) % mapping.lanes].append(record)

    def deliver_lane(lane: list[Record]) -> None:
        for begin in range(0, len(lane), mapping.batch_size):
            Delivery(mapping, function).run(lane[begin : begin + mapping.batch_size])

    threads = [threading.Thread(target=contextvars.copy_context().run, args=(deliver_lane, lane), daemon=True) for lane in lanes if lane]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@dataclass(frozen=True)
class Attempt:
    """Records to invoke the function with, and how often that was tried already."""

    records: list[Record]
    failures: int = 0


class Delivery:
    """Brings one batch to its end: handled, or sent to the on-failure destination piece by piece."""

    def __init__(self, mapping: Mapping, function: dict) -> None:
        self.mapping = mapping
        self.function = function

    def run(self, records: list[Record]) -> None:
        """Works until nothing is left or the mapping is disabled or deleted."""
        waiting = [Attempt(records)]
        while waiting and self.mapping.active():
            attempt = waiting.pop(0)
            result = lambda_svc._execute_function(self.function, {"Records": attempt.records})
            handled = self.handled(attempt.records, result)
            if handled == len(attempt.records):
                self.mapping.record["LastProcessingResult"] = "OK"
                continue
            self.mapping.record["LastProcessingResult"] = "PROBLEM: Function call failed"
            # What the function handled is behind the checkpoint; the rest is a batch of its own.
            failed = Attempt(attempt.records[handled:], 1 if handled else attempt.failures + 1)
            waiting[:0] = self.after_failure(failed, result, progressed=handled > 0)

    def handled(self, records: list[Record], result: dict) -> int:
        """How many records from the front the function handled."""
        if result.get("error"):
            return 0
        if "ReportBatchItemFailures" not in (self.mapping.record.get("FunctionResponseTypes") or []):
            return len(records)
        reported = reported_failures(result.get("body"))
        numbers = [record["dynamodb"]["SequenceNumber"] for record in records]
        if not reported:
            return len(records)
        # An identifier that is not of this batch makes all of it fail.
        return min((numbers.index(number) for number in reported), default=0) if reported <= set(numbers) else 0

    def after_failure(self, failed: Attempt, result: dict, progressed: bool) -> list[Attempt]:
        """The attempts that follow a failed one: none where the records go to the on-failure destination."""
        oldest = min(record["dynamodb"]["ApproximateCreationDateTime"] for record in failed.records)
        longest_age = self.mapping.number("MaximumRecordAgeInSeconds", -1)
        if 0 < longest_age < time.time() - oldest:
            self.give_up(failed, result, "MaxRecordAgeExceeded")
            return []
        if self.mapping.record.get("BisectBatchOnFunctionError") and len(failed.records) > 1 and not progressed:
            # Splitting is no retry: both halves begin anew.
            half = len(failed.records) // 2
            return [Attempt(failed.records[:half]), Attempt(failed.records[half:])]
        retries = self.mapping.number("MaximumRetryAttempts", -1)
        if 0 <= retries < failed.failures:
            self.give_up(failed, result, "RetryAttemptsExhausted")
            return []
        time.sleep(min(FIRST_RETRY_SECONDS * 2 ** (failed.failures - 1), LONGEST_RETRY_SECONDS))
        return [failed]

    def give_up(self, failed: Attempt, result: dict, condition: str) -> None:
        """Tells the on-failure destination which records were not handled. Only S3 gets the records themselves."""
        destination = ((self.mapping.record.get("DestinationConfig") or {}).get("OnFailure") or {}).get("Destination")
        if not destination:
            return
        notice = self.notice(failed, result, condition)
        service = parse_arn(destination).service
        if service == "sqs":
            sqs._act_send_message({"MessageBody": json.dumps(notice)}, sqs._queue_by_arn(destination)["url"])
            lambda_svc.esm_wake.set()
        elif service == "sns":
            sns._fanout(destination, str(uuid.uuid4()), json.dumps(notice), "", "", {})
        elif service == "s3":
            body = json.dumps(notice | {"payload": json.dumps({"Records": failed.records}, separators=(",", ":"))}).encode()
            status, _headers, answer = s3._put_object(destination.rpartition(":")[2], self.object_key(), body, {"content-type": "application/json"})
            if status != 200:
                raise RuntimeError(f"could not write to {destination}: {answer[:200]!r}")

    def notice(self, failed: Attempt, result: dict, condition: str) -> dict:
        """The invocation record that AWS sends."""
        config = self.function.get("config") or self.function
        first, last = failed.records[0]["dynamodb"], failed.records[-1]["dynamodb"]
        return {
            "requestContext": {
                "requestId": str(uuid.uuid4()),
                "functionArn": config["FunctionArn"],
                "condition": condition,
                "approximateInvokeCount": failed.failures,
            },
            "responseContext": {
                "statusCode": 200,
                "executedVersion": "$LATEST",
                "functionError": result.get("function_error") or "Unhandled",
            },
            "version": "1.0",
            "timestamp": timestamp(time.time()),
            "DDBStreamBatchInfo": {
                "shardId": SHARD,
                "startSequenceNumber": first["SequenceNumber"],
                "endSequenceNumber": last["SequenceNumber"],
                "approximateArrivalOfFirstRecord": timestamp(first["ApproximateCreationDateTime"]),
                "approximateArrivalOfLastRecord": timestamp(last["ApproximateCreationDateTime"]),
                "batchSize": len(failed.records),
                "streamArn": self.mapping.stream,
            },
        }

    def object_key(self) -> str:
        """Where AWS puts such a record: by mapping, shard and time, with a random end."""
        now = time.gmtime()
        return f"aws/lambda/{self.mapping.id}/{SHARD}/{time.strftime('%Y/%m/%d/%Y-%m-%dT%H.%M.%S', now)}-{secrets.token_hex(8)}"


def reported_failures(body: object) -> set[str]:
    """The identifiers in a partial batch response; a body of another shape reports none."""
    if isinstance(body, (str, bytes)) and body:
        body = json.loads(body)
    failures = body.get("batchItemFailures") if isinstance(body, dict) else None
    return {failure.get("itemIdentifier") or "" for failure in failures or []}


def timestamp(seconds: float) -> str:
    """Epoch seconds as text with a Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(float(seconds)))


def apply() -> None:
    """Takes the place of ministack's poller."""
    lambda_svc._poll_dynamodb_streams = poll_streams
