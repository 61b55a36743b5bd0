"""Schedules, and what becomes of events that their functions do not take."""

from __future__ import annotations

import json
import subprocess
import time
import unittest
import uuid
from datetime import UTC, datetime

from support import client, cloud, control, ended, eventually, invocations, probe_function


def schedule(function: str, payload: dict, **target: object) -> str:
    """Creates a schedule that invokes a function once an hour, and at once; returns its name."""
    name = f"s-{uuid.uuid4().hex[:8]}"
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{function}"
    client("scheduler").create_schedule(
        Name=name, ScheduleExpression="rate(1 hour)", FlexibleTimeWindow={"Mode": "OFF"},
        Target={"Arn": arn, "RoleArn": cloud()["outputs"]["RoleArn"], "Input": json.dumps(payload), **target},
    )  # fmt: skip
    return name


def queue(name: str) -> str:
    """Creates a queue; returns its ARN."""
    url = client("sqs").create_queue(QueueName=name)["QueueUrl"]
    return client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]


def message(name: str) -> dict:
    """Waits for a message in a queue."""
    url = client("sqs").get_queue_url(QueueName=name)["QueueUrl"]
    return eventually(lambda: client("sqs").receive_message(QueueUrl=url, MessageAttributeNames=["All"]).get("Messages"))[0]


class Schedules(unittest.TestCase):
    def test_a_failing_function_is_tried_again_and_then_told_to_its_destination(self) -> None:
        name = f"f-{uuid.uuid4().hex[:8]}"
        file = probe_function(name)
        client("lambda").put_function_event_invoke_config(FunctionName=name, MaximumRetryAttempts=1, DestinationConfig={"OnFailure": {"Destination": queue(name)}})
        schedule(name, {"poison": True})
        envelope = json.loads(message(name)["Body"])
        self.assertEqual({"poison": True}, envelope["requestPayload"])
        self.assertEqual(2, len(invocations(file)))

    def test_the_event_for_a_missing_function_is_in_the_dead_letter_queue(self) -> None:
        name = f"q-{uuid.uuid4().hex[:8]}"
        schedule("no-such-function", {"tick": 7}, DeadLetterConfig={"Arn": queue(name)})
        found = message(name)
        self.assertEqual({"tick": 7}, json.loads(found["Body"]))
        self.assertEqual("ResourceNotFoundException", found["MessageAttributes"]["ERROR_CODE"]["StringValue"])

    def test_a_state_machine_is_started_with_the_time_for_which_it_was_scheduled(self) -> None:
        definition = {"QueryLanguage": "JSONata", "StartAt": "Pass", "States": {"Pass": {"Type": "Pass", "End": True}}}
        role, name = cloud()["outputs"]["RoleArn"], f"s-{uuid.uuid4().hex[:8]}"
        machine = client("stepfunctions").create_state_machine(name=name, definition=json.dumps(definition), roleArn=role)["stateMachineArn"]
        before = datetime.now(UTC).replace(microsecond=0)
        client("scheduler").create_schedule(
            Name=name, ScheduleExpression="rate(1 hour)", FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": machine, "RoleArn": role, "Input": '{"type": "full", "window": "<aws.scheduler.scheduled-time>"}'},
        )  # fmt: skip
        (started,) = eventually(lambda: client("stepfunctions").list_executions(stateMachineArn=machine)["executions"])
        given = json.loads(ended(started["executionArn"])["output"])
        self.assertEqual("full", given["type"])
        self.assertRegex(given["window"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        self.assertTrue(before <= datetime.fromisoformat(given["window"]) <= datetime.now(UTC), given)

    def test_the_time_of_a_cron_schedule_is_a_whole_minute(self) -> None:
        code = (
            "from local_cloud.schedules import with_scheduled_time as at;"
            "print(at({'Input': '<aws.scheduler.scheduled-time>'}, {'ScheduleExpression': 'cron(0 4 ? * SAT *)'}, 1800000041.7)['Input'])"
        )
        done = subprocess.run([control.VENV / "bin" / "python", "-c", code], cwd=control.LOCAL_DIR, capture_output=True, text=True)
        self.assertEqual("2027-01-15T08:00:00Z", done.stdout.strip(), done.stderr)

    def test_a_schedule_that_is_made_anew_fires_at_once(self) -> None:
        name = f"f-{uuid.uuid4().hex[:8]}"
        file = probe_function(name)
        made = schedule(name, {"n": 1})
        eventually(lambda: len(invocations(file)) == 1)
        target = client("scheduler").get_schedule(Name=made)["Target"]
        client("scheduler").delete_schedule(Name=made)
        time.sleep(1.5)
        client("scheduler").create_schedule(Name=made, ScheduleExpression="rate(1 hour)", FlexibleTimeWindow={"Mode": "OFF"}, Target=target)
        eventually(lambda: len(invocations(file)) == 2)


if __name__ == "__main__":
    unittest.main()
