"""EventBridge Scheduler: when a schedule fires, and what becomes of an event that its function does not take.

A `rate()` schedule without a start date fires at once, as on AWS, and the clock is looked at every second. Functions are invoked
asynchronously, with the retries and the failure destination that they have for that; an event for a function that does not exist
goes to the schedule's dead-letter queue. Nothing else fails here, so a schedule's retry policy has nothing to do. Of the context
attributes, an input may have the time for which it was scheduled.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime

from ministack.services import eventbridge, lambda_svc, scheduler, sqs


# EventBridge Scheduler User Guide, "Adding context attributes".
SCHEDULED_TIME = "<aws.scheduler.scheduled-time>"


def mark_new_rates_due() -> None:
    """Gives each rate schedule that has not fired yet a last time in the distant past, and forgets those that are gone."""
    for key in scheduler._schedule_last_fired.keys() - scheduler._schedules._data.keys():
        del scheduler._schedule_last_fired[key]
    for key, schedule in list(scheduler._schedules._data.items()):
        if schedule.get("ScheduleExpression", "").startswith("rate(") and not schedule.get("StartDate"):
            scheduler._schedule_last_fired.setdefault(key, 0.0)


def invoke_asynchronously(arn: str, payload: str) -> None:
    """Invokes a function as the services do that do not wait for its answer; `ministack` would invoke it once."""
    function, config, _name = lambda_svc._get_func_record_for_ref(arn)
    if function and config:
        lambda_svc.invoke_async_with_retry(lambda_svc._execution_record_for_config(function, config), json.loads(payload))


def is_missing(arn: str) -> bool:
    """Whether this is a function that does not exist."""
    return ":lambda:" in arn and not lambda_svc._get_func_record_for_ref(arn)[0]


def give_up(target: dict) -> bool:
    """Sends the event of a schedule whose function is missing to its dead-letter queue; False where there is no such need."""
    queue = (target.get("DeadLetterConfig") or {}).get("Arn")
    if not queue or not is_missing(target["Arn"]):
        return False
    attributes = {
        "ERROR_CODE": "ResourceNotFoundException",
        "ERROR_MESSAGE": f"Function not found: {target['Arn']}",
        "TARGET_ARN": target["Arn"],
    }
    message = {name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()}
    sqs._act_send_message({"MessageBody": target.get("Input") or "{}", "MessageAttributes": message}, sqs._queue_by_arn(queue)["url"])
    return True


def with_scheduled_time(target: dict, schedule: dict, fired: float) -> dict:
    """The target with the time for which it was scheduled in its input: a whole minute for `cron()`, else the second at which it fires."""
    if SCHEDULED_TIME not in (target.get("Input") or ""):
        return target
    seconds = int(fired)
    if schedule.get("ScheduleExpression", "").startswith("cron("):
        seconds -= seconds % 60
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return target | {"Input": target["Input"].replace(SCHEDULED_TIME, text)}


def apply() -> None:
    """Installs all of it."""
    original_tick = scheduler._tick_schedules
    original_invoke = eventbridge._invoke_target

    def tick_schedules() -> None:
        mark_new_rates_due()
        original_tick()

    def invoke_target(target: dict, event: dict, rule: dict, view: object = None) -> None:
        if "ScheduleExpression" in rule and event.get("Source") == "aws.scheduler":
            target = with_scheduled_time(target, rule, event["Time"])
        if not give_up(target):
            original_invoke(target, event, rule, view)

    scheduler._tick_schedules = tick_schedules
    scheduler._SCHEDULE_TICK_INTERVAL = 1
    eventbridge._invoke_target = invoke_target
    eventbridge._dispatch_to_lambda = invoke_asynchronously
