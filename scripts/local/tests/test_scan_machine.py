"""infra/scan.asl.json with a function that answers as the test says."""

from __future__ import annotations

import json
import unittest

from scripted import Scripted, children, map_runs

JOB = "scan/offers/first"
ORDER = {"scan": "first", "segments": 3}
COMPLETED = {"status": "COMPLETED", "items": 9, "segments": 3, "failed_segments": [], "snapshot": False, "message": ""}
BEGUN = {"state": "begun", "job": JOB, "segments": [0, 1, 2]}
ELSEWHERE = {"state": "elsewhere", "job": JOB, "execution": "arn:aws:states:us-east-1:000000000000:execution:transload-scan:first", "message": "it goes on"}
AGAIN = {"status": "CONTINUE", "rows_read": 1}


class Scan(Scripted):
    """The machine, and a function to which everything succeeds unless the script says otherwise."""

    def __init__(self, changes: dict[str, str] | None = None, script: dict[str, list[dict]] | None = None, **substitutions: object) -> None:
        good = {
            "begin": [BEGUN],
            "scan": [{"status": "COMPLETED", "rows_read": 3}],
            "finish": [COMPLETED],
        }
        super().__init__("scan.asl.json", ["ScannerFunctionArn"], good | (script or {}), changes, **{"Concurrency": 100, "CallsPerSegment": 2000} | substitutions)


class ScanMachine(unittest.TestCase):
    def succeeded(self, execution: dict) -> dict:
        self.assertEqual("SUCCEEDED", execution["status"], execution.get("cause"))
        return json.loads(execution["output"])

    def failed(self, execution: dict, error: str) -> dict:
        self.assertEqual(("FAILED", error), (execution["status"], execution.get("error")), execution.get("cause") or execution.get("output"))
        return json.loads(execution["cause"])

    def test_every_segment_is_read_until_it_is_through(self) -> None:
        scan = Scan(script={"scan:1": [AGAIN, {"error": "Transient"}, AGAIN, {"status": "COMPLETED"}]})
        execution = scan.run(ORDER | {"read_units": 500})
        self.assertEqual({"job": JOB, "scan": "first"} | COMPLETED, self.succeeded(execution))
        self.assertEqual(["begin", "scan", "finish"], scan.course())
        by = {"execution": execution["executionArn"]}
        self.assertEqual([ORDER | {"read_units": 500} | by], scan.events("begin"))
        events = scan.events("scan")
        self.assertEqual([1, 4, 1], [events.count({"job": JOB, "segment": segment} | by) for segment in range(3)])
        self.assertEqual(6, len(events))
        self.assertEqual([{"job": JOB} | by], scan.events("finish"))
        (run,) = map_runs(execution)
        self.assertEqual((100, 100), (run["maxConcurrency"], run["toleratedFailurePercentage"]))

    def test_one_segment_is_a_list_too(self) -> None:
        scan = Scan(script={"begin": [BEGUN | {"segments": [0]}]})
        execution = scan.run(ORDER)
        self.succeeded(execution)
        self.assertEqual([{"job": JOB, "segment": 0, "execution": execution["executionArn"]}], scan.events("scan"))

    def test_a_scan_that_another_execution_works_on_is_left_to_it(self) -> None:
        scan = Scan(script={"begin": [ELSEWHERE]})
        execution = scan.run(ORDER)
        self.assertEqual({"scan": "first"} | ELSEWHERE, self.succeeded(execution))
        self.assertEqual(["begin"], scan.course())
        self.assertEqual([], map_runs(execution))

    def test_a_scan_without_a_name_is_called_after_its_start_and_a_failure_says_so(self) -> None:
        scan = Scan(script={"finish": [{"error": "Internal"}]})
        execution = scan.run({"segments": 3})
        name = execution["startDate"].strftime("%Y%m%dT%H%M%SZ")
        self.assertEqual([{"segments": 3, "scan": name, "execution": execution["executionArn"]}], scan.events("begin"))
        self.assertEqual({"segments": 3, "scan": name}, self.failed(execution, "Scan.Interrupted")["input"])

    def test_a_segment_that_fails_stops_no_other_and_is_named(self) -> None:
        finish = COMPLETED | {"status": "FAILED", "failed_segments": [1], "message": "1 of 3 segments is missing"}
        scan = Scan(script={"scan:1": [{"error": "Invalid"}], "finish": [finish]})
        execution = scan.run(ORDER)
        cause = self.failed(execution, "Scan.Incomplete")
        self.assertEqual(([1], ORDER, JOB), (cause["failed_segments"], cause["input"], cause["job"]))
        self.assertIn("1 of 3 segments is missing", cause["message"])
        self.assertNotIn("States.", cause["message"], "one failure is tolerated")
        # Invalid is not tried again.
        self.assertEqual(3, len(scan.events("scan")))
        self.assertEqual(["FAILED", "SUCCEEDED", "SUCCEEDED"], sorted(child["status"] for child in children(execution)))

    def test_a_child_ends_before_its_history_is_full(self) -> None:
        scan = Scan(script={"begin": [BEGUN | {"segments": [4]}], "scan": [AGAIN], "finish": [COMPLETED | {"status": "FAILED"}]}, CallsPerSegment=3)
        execution = scan.run(ORDER)
        self.failed(execution, "Scan.Incomplete")
        self.assertEqual(3, len(scan.events("scan")))
        (child,) = children(execution)
        self.assertEqual("Scan.SegmentNotThrough", child["error"])
        self.assertIn("Segment 4 was not through after 3 calls of the function, the last of which answered CONTINUE", child["cause"])

    def test_an_order_that_is_refused_is_not_repeated(self) -> None:
        for answer, said in (({"error": "Invalid", "message": "0 segments"}, "0 segments"), ({}, "States.QueryEvaluationError")):
            with self.subTest(said):
                scan = Scan(script={"begin": [answer]})
                cause = self.failed(scan.run(ORDER), "Scan.NotBegun")
                self.assertIn(said, cause["message"])
                self.assertEqual((ORDER, 1), (cause["input"], len(scan.events("begin"))))

    def test_an_end_that_cannot_be_told_is_said(self) -> None:
        for answer in ({}, {"error": "Transient"}):
            with self.subTest(answer):
                scan = Scan({'"MaxAttempts": 8': '"MaxAttempts": 2'}, {"finish": [answer]})
                cause = self.failed(scan.run(ORDER), "Scan.Interrupted")
                self.assertIn(answer.get("error", "States.QueryEvaluationError"), cause["message"])

    def test_started_again_with_the_same_name_it_asks_for_the_same(self) -> None:
        scan = Scan(script={"scan:2": [{"error": "Internal"}, {"status": "COMPLETED"}], "finish": [COMPLETED | {"status": "FAILED"}, COMPLETED]})
        again = self.failed(scan.run(ORDER), "Scan.Incomplete")["input"]
        self.succeeded(scan.run(again))
        first, second = scan.events("begin")
        self.assertNotEqual(first.pop("execution"), second.pop("execution"))
        self.assertEqual([ORDER, ORDER], [first, second])


if __name__ == "__main__":
    unittest.main()
