"""What a template makes of a state machine and a schedule, and what an update of it changes."""

from __future__ import annotations

import json
import time
import unittest

from support import client, cloud, ended, eventually, invocations, redeploy, start


def calls(member: str) -> list[dict]:
    """The events with such a member that have reached the probe."""
    return [call["event"] for call in invocations() if member in call["event"]]


class StackUpdate(unittest.TestCase):
    def failed_lanes(self) -> list[int]:
        # The probe's answer says nothing of lanes, so each of them ends with an error, and is named.
        return json.loads(ended(start(cloud()["outputs"]["Machine"], {}))["cause"])["failed_lanes"]

    def test_machine_and_schedule_follow_the_template(self) -> None:
        (name,) = [kept["Name"] for kept in client("scheduler").list_schedules()["Schedules"] if kept["Name"].startswith("selftest-Tick-")]
        kept = client("scheduler").get_schedule(Name=name)
        self.assertEqual(("rate(1 minute)", "DISABLED"), (kept["ScheduleExpression"], kept["State"]))
        self.assertEqual({"MaximumEventAgeInSeconds": 60, "MaximumRetryAttempts": 2}, kept["Target"]["RetryPolicy"])

        # The packaged file is the definition, with its substitutions made.
        self.assertEqual([0, 1], self.failed_lanes())
        expected = [{"lane": lane, "limit": 5000, "output": "bundles", "count_left": False} for lane in range(2)]
        self.assertEqual(expected, sorted(calls("count_left"), key=str))
        self.assertEqual([], calls("tick"), "a disabled schedule rests")

        redeploy("Lanes=3", "TickState=ENABLED")
        self.assertEqual([0, 1, 2], self.failed_lanes())
        eventually(lambda: calls("tick"))
        time.sleep(1.5)
        self.assertEqual([{"tick": True}], calls("tick"), "the next one comes after a minute")


if __name__ == "__main__":
    unittest.main()
