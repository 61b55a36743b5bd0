"""infra/drain.asl.json on backlogs that a stand-in of the function works off."""

from __future__ import annotations

import json
import tempfile
import unittest
import uuid
from functools import cache
from itertools import pairwise
from pathlib import Path

from support import WAIT_SCALE, client, cloud, ended, function, start, state_machine

SWEEP_SECONDS = 10


class Lanes:
    """Backlogs, the function that works them off, and the machine that drives it."""

    def __init__(
        self, *lanes: dict, sweep_seconds: int = SWEEP_SECONDS, runs_per_child: int = 1000, concurrency: int = 50,
        changes: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.folder = Path(tempfile.mkdtemp(dir=Path(cloud()["probe_file"]).parent))
        for number, lane in enumerate(lanes):
            (self.folder / f"{number}.json").write_text(json.dumps({"pending": 0, "seconds": 0, "answers": []} | lane))
        worker = function(f"lanes-{uuid.uuid4().hex[:8]}", "lane_probe", {"LANES": str(self.folder)})
        self.machine = state_machine(
            "drain.asl.json", changes, Partition="aws", ReprocessorFunctionArn=worker, Lanes=len(lanes), SweepSeconds=sweep_seconds,
            RunsPerChild=runs_per_child, DrainConcurrency=concurrency,
        )  # fmt: skip

    def drain(self, payload: dict | None = None) -> dict:
        """Runs the machine to its end."""
        return ended(start(self.machine, payload or {}))

    def invocations(self, lane: int) -> list[dict]:
        """What the function was asked for a lane and how it went, oldest first."""
        lines = [json.loads(line) for line in (self.folder / "events.jsonl").read_text().splitlines()]
        return [line for line in lines if line["event"]["lane"] == lane]

    def course(self, lane: int) -> list[str]:
        """How the runs of a lane ended, one after the other."""
        return [line["ended"] for line in self.invocations(lane)]

    def pending(self, lane: int) -> int:
        """What is left of a backlog."""
        return json.loads((self.folder / f"{lane}.json").read_text())["pending"]


def children(execution: dict) -> list[dict]:
    """The child executions of every round of the map."""
    runs = client("stepfunctions").list_map_runs(executionArn=execution["executionArn"])["mapRuns"]
    return [child for run in runs for child in client("stepfunctions").list_executions(mapRunArn=run["mapRunArn"])["executions"]]


@cache
def drained() -> tuple[Lanes, dict]:
    """Lanes of every kind, drained once for the tests that look at them."""
    lanes = Lanes(
        {"pending": 12_000},
        {"pending": 1},
        {"answers": ["busy", "busy"], "pending": 10},
        {"answers": ["Transient", "Transient"], "pending": 10},
        {},
    )
    return lanes, lanes.drain()


class Drain(unittest.TestCase):
    def test_every_lane_is_worked_off_and_the_report_adds_up(self) -> None:
        lanes, execution = drained()
        self.assertEqual("SUCCEEDED", execution["status"], execution.get("cause"))
        report = json.loads(execution["output"])
        expected = {"runs": 18, "taken": 12_021, "done": 12_021, "skipped": 0, "failed": 0, "set_aside": 0}
        self.assertEqual(expected, {name: value for name, value in report.items() if name != "lanes"})
        self.assertEqual(list(range(5)), [lane["lane"] for lane in report["lanes"]])
        self.assertEqual([12_000, 1, 10, 10, 0], [lane["done"] for lane in report["lanes"]])
        self.assertTrue(all(lane["drained"] for lane in report["lanes"]))
        self.assertEqual([0] * 5, [lanes.pending(lane) for lane in range(5)])

    def test_a_lane_ends_after_two_sweeps_in_a_row_that_find_nothing(self) -> None:
        lanes, _execution = drained()
        self.assertEqual(["limit", "limit", "empty", "empty", "empty"], lanes.course(0))
        self.assertEqual(["empty", "empty"], lanes.course(4))
        first, second = (line["time"] for line in lanes.invocations(4))
        self.assertGreater(second - first, SWEEP_SECONDS * WAIT_SCALE)

    def test_the_function_is_asked_for_a_lane_in_bundles_and_not_to_count(self) -> None:
        lanes, _execution = drained()
        expected = {"lane": 0, "limit": 5000, "output": "bundles", "count_left": False}
        self.assertEqual([expected] * 5, [line["event"] for line in lanes.invocations(0)])

    def test_a_busy_lane_is_waited_for(self) -> None:
        lanes, _execution = drained()
        self.assertEqual(["busy", "busy", "empty", "empty", "empty"], lanes.course(2))
        times = [line["time"] for line in lanes.invocations(2)]
        self.assertGreater(times[1] - times[0], 30 * WAIT_SCALE)

    def test_a_passing_error_is_tried_again(self) -> None:
        lanes, _execution = drained()
        self.assertEqual(["Transient", "Transient", "empty", "empty", "empty"], lanes.course(3))

    def test_one_broken_lane_fails_the_execution_by_name_and_the_others_are_drained(self) -> None:
        lanes = Lanes({"pending": 10}, {"answers": ["Invalid"], "pending": 10}, {"answers": ["nonsense"], "pending": 10}, {"pending": 6_000})
        execution = lanes.drain()
        self.assertEqual(("FAILED", "Drain.LaneFailed"), (execution["status"], execution["error"]))
        cause = json.loads(execution["cause"])
        self.assertEqual([1, 2], cause["failed_lanes"])
        self.assertEqual([(1, "Invalid"), (2, "States.QueryEvaluationError")], [(error["lane"], error["error"]) for error in cause["errors"]])
        self.assertIn("lane 1 was told to fail", cause["errors"][0]["cause"])
        self.assertIn("2 of 4 lanes ended with an error", cause["message"])
        self.assertEqual((6_010, [0, 10, 10, 0]), (cause["done"], [lanes.pending(lane) for lane in range(4)]))
        # An error that will not pass is not tried again.
        self.assertEqual(["Invalid"], lanes.course(1))

    def test_a_lane_that_is_broken_alone_is_named_too(self) -> None:
        execution = Lanes({"answers": ["Transient"] * 9, "pending": 1}).drain()
        cause = json.loads(execution["cause"])
        self.assertEqual(([0], "Transient"), (cause["failed_lanes"], cause["errors"][0]["error"]))

    def test_a_lane_whose_child_gives_nothing_back_is_named_and_the_others_are_drained(self) -> None:
        for lost, lanes in ((1, 3), (0, 1)):
            with self.subTest(lanes=lanes):
                said = "$merge([$lane, {'drained': true}])"
                backlogs = Lanes(*[{"pending": 5}] * lanes, changes={said: f"$lane.lane = {lost} ? $unknown : {said}"})
                execution = backlogs.drain()
                self.assertEqual("Drain.LaneFailed", execution.get("error"), execution)
                cause = json.loads(execution["cause"])
                self.assertEqual(([lost], "Drain.LaneLost"), (cause["failed_lanes"], cause["errors"][0]["error"]))
                self.assertEqual(5 * (lanes - 1), cause["done"], "what a lost child did is not known")
                self.assertEqual([0] * lanes, [backlogs.pending(lane) for lane in range(lanes)])

    def test_a_child_leaves_its_lane_to_a_fresh_one_before_its_history_is_full(self) -> None:
        lanes = Lanes({"pending": 7}, {"answers": ["Transient"] * 3, "pending": 2}, {"pending": 1}, runs_per_child=3)
        execution = lanes.drain({"limit": 1})
        self.assertEqual("SUCCEEDED", execution["status"], execution.get("cause"))
        report = json.loads(execution["output"])
        self.assertEqual([7, 2, 1], [lane["done"] for lane in report["lanes"]])
        # The seventh run is the first that finds the index empty: taken, and read to its end.
        self.assertEqual([9, 4, 3], [lane["runs"] for lane in report["lanes"]])
        # Nine runs of three each; a retry counts as an invocation, so the second lane was left after its first run; the third in one go.
        inputs = [json.loads(client("stepfunctions").describe_execution(executionArn=child["executionArn"])["input"]) for child in children(execution)]
        runs_at_start = {number: [item["lane"]["runs"] for item in inputs if item["lane"]["lane"] == number] for number in range(3)}
        self.assertEqual({0: [0, 3, 6], 1: [0, 1], 2: [0]}, {number: sorted(runs) for number, runs in runs_at_start.items()})

    def test_a_run_that_settles_nothing_is_not_repeated_at_once(self) -> None:
        lanes = Lanes({"answers": ["skipped", "lease_lost"]})
        report = json.loads(lanes.drain()["output"])
        self.assertEqual((3, 3, 0), (report["taken"], report["skipped"], report["done"]))
        self.assertEqual(["skipped", "lease_lost", "empty", "empty"], lanes.course(0))
        times = [line["time"] for line in lanes.invocations(0)]
        self.assertGreater(times[1] - times[0], SWEEP_SECONDS * WAIT_SCALE)
        self.assertGreater(times[2] - times[1], 30 * WAIT_SCALE)

    def test_a_run_that_settles_less_than_it_leaves_unfinished_is_not_repeated_at_once(self) -> None:
        lanes = Lanes({"answers": ["unfinished"], "pending": 5_001}, sweep_seconds=100)
        report = json.loads(lanes.drain()["output"])
        self.assertEqual((5_004, 5_002), (report["taken"], report["done"]))
        self.assertEqual(["unfinished", "limit", "empty", "empty", "empty"], lanes.course(0))
        times = [line["time"] for line in lanes.invocations(0)]
        waited = [later - earlier > 100 * WAIT_SCALE for earlier, later in pairwise(times)]
        # The second and the third run go well, and are followed by the next one at once.
        self.assertEqual([True, False, False, True], waited)

    def test_no_more_lanes_than_it_may_are_worked_on_at_the_same_time(self) -> None:
        lanes = Lanes(*[{"pending": 2}] * 3, concurrency=1)
        report = json.loads(lanes.drain()["output"])
        self.assertEqual([2, 2, 2], [lane["done"] for lane in report["lanes"]])
        spans = sorted((times[0], times[-1]) for times in ([line["time"] for line in lanes.invocations(lane)] for lane in range(3)))
        for (_begin, end), (begin, _end) in pairwise(spans):
            self.assertLess(end, begin)

    def test_two_at_once_do_no_harm(self) -> None:
        # Runs take much longer than what is between them, so the two meet.
        lanes = Lanes(*[{"pending": 300, "seconds": 0.2}] * 2)
        both = [start(lanes.machine, {"limit": 50}) for _ in range(2)]
        reports = []
        for execution in map(ended, both):
            self.assertEqual("SUCCEEDED", execution["status"], execution.get("cause"))
            reports.append(json.loads(execution["output"]))
        self.assertEqual(600, sum(report["done"] for report in reports))
        self.assertEqual([0, 0], [lanes.pending(lane) for lane in range(2)])
        self.assertIn("busy", lanes.course(0) + lanes.course(1))

    def test_the_input_chooses_limit_and_output(self) -> None:
        lanes = Lanes({"pending": 3})
        lanes.drain({"limit": 2, "output": "objects"})
        self.assertEqual({"lane": 0, "limit": 2, "output": "objects", "count_left": False}, lanes.invocations(0)[0]["event"])
        self.assertEqual(["limit", "empty", "empty", "empty"], lanes.course(0))


if __name__ == "__main__":
    unittest.main()
