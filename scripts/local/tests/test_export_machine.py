"""infra/export.asl.json with functions that answer as the test says."""

from __future__ import annotations

import json
import unittest
import uuid
from functools import cache
from itertools import pairwise

from scripted import Scripted, children, map_runs
from support import WAIT_SCALE, client

JOB = "export/offers/full-20260103T040000Z"
WINDOW = "full-20260103T040000Z"
FULL = {"type": "full", "window": "2026-01-03T04:00:00Z"}
RUNNING = {"state": "running", "job": JOB, "window": WINDOW, "message": "it has begun"}
ELSEWHERE = {"state": "elsewhere", "execution": "arn:aws:states:us-east-1:000000000000:execution:transload-export:first", "message": "it goes on"}
COMPLETED = {"status": "COMPLETED", "items": 6, "files": 3, "failed_files": [], "more": False, "message": ""}


@cache
def bucket() -> str:
    """A bucket with the list of three data files."""
    name = f"exports-{uuid.uuid4().hex[:8]}"
    client("s3").create_bucket(Bucket=name)
    client("s3").put_object(Bucket=name, Key="exports/manifest-files.json", Body="".join(json.dumps(file(stem)) + "\n" for stem in "abc").encode())
    return name


def file(stem: str) -> dict:
    """A line of the list, as DynamoDB writes it."""
    return {"itemCount": 2, "md5Checksum": "bQMSpEILNgoQmarvDFonGQ==", "etag": "x-1", "dataFileS3Key": f"exports/AWSDynamoDB/1/data/{stem}.json.gz"}


class Export(Scripted):
    """The machine, and functions to which everything succeeds unless the script says otherwise."""

    def __init__(self, changes: dict[str, str] | None = None, script: dict[str, list[dict]] | None = None, **substitutions: object) -> None:
        plan = {"state": "planned", "bucket": bucket(), "key": "exports/manifest-files.json", "files": 3, "items": 6, "infer": False}
        good = {
            "begin": [RUNNING],
            "poll": [{"status": "IN_PROGRESS", "message": ""}, {"status": "COMPLETED", "message": ""}],
            "plan": [plan],
            "infer": [{"status": "COMPLETED"}],
            "merge_schema": [{"conflicts": 1, "schema_key": "schemas/table=offers/full.json"}],
            "transform": [{"status": "COMPLETED", "rows_read": 2, "rows_written": 2}],
            "finish": [COMPLETED],
        }
        given = {"PollSeconds": 30, "Concurrency": 50, "ToleratedFailurePercentage": 100} | {
            "CallsPerExecution": 2000, "WindowsPerExecution": 100, "CallsPerFile": 100
        }  # fmt: skip
        super().__init__("export.asl.json", ["PollerFunctionArn", "TransformerFunctionArn"], good | (script or {}), changes, **given | substitutions)
        self.plan = plan


class ExportMachine(unittest.TestCase):
    def succeeded(self, execution: dict) -> dict:
        self.assertEqual("SUCCEEDED", execution["status"], execution.get("cause"))
        return json.loads(execution["output"])

    def failed(self, execution: dict, error: str) -> dict:
        self.assertEqual(("FAILED", error), (execution["status"], execution.get("error")), execution.get("cause") or execution.get("output"))
        return json.loads(execution["cause"])

    def test_an_export_is_followed_and_each_of_its_files_transformed(self) -> None:
        export = Export()
        execution = export.run(FULL)
        expected = {"state": "completed", "job": JOB, "window": WINDOW, "windows": 1} | COMPLETED
        self.assertEqual(expected, self.succeeded(execution))
        self.assertEqual(["begin", "poll", "plan", "transform", "finish"], export.course())
        self.assertEqual([FULL], export.events("begin"))
        self.assertEqual([{"job": JOB}] * 2, export.events("poll"))
        self.assertEqual([{"job": JOB, "execution": execution["executionArn"]}], export.events("plan"))
        first, second = (call["time"] for call in export.calls() if call["event"]["action"] == "poll")
        self.assertGreater(second - first, 30 * WAIT_SCALE)
        expected_events = [{"job": JOB, "file": file(stem)} for stem in "abc"]
        self.assertEqual(expected_events, sorted(export.events("transform"), key=lambda event: event["file"]["dataFileS3Key"]))
        (run,) = map_runs(execution)
        self.assertEqual((50, 100, 3), (run["maxConcurrency"], run["toleratedFailurePercentage"], run["itemCounts"]["succeeded"]))

    def test_what_became_of_the_children_is_in_the_lake_and_in_no_state(self) -> None:
        execution = Export().run(FULL)
        self.succeeded(execution)
        keys = [entry["Key"] for entry in client("s3").list_objects_v2(Bucket=bucket(), Prefix=f"exports/results/{JOB}/")["Contents"]]
        self.assertTrue(any(key.endswith("/manifest.json") for key in keys), keys)
        # A hundred thousand outputs have to fit into a few files.
        self.assertEqual(["{}"] * 3, [child["output"] for child in children(execution)])

    def test_without_a_window_a_full_export_is_of_the_start_and_a_failure_says_so(self) -> None:
        export = Export(script={"poll": [{"error": "Internal"}]})
        execution = export.run({"type": "full", "format": "changes"})
        window = execution["startDate"].strftime("%Y-%m-%dT%H:%M:%SZ")
        self.assertEqual([{"type": "full", "format": "changes", "window": window}], export.events("begin"))
        self.assertEqual({"type": "full", "format": "changes", "window": window}, self.failed(execution, "Export.Interrupted")["input"])

    def test_nothing_and_paused_end_with_a_report(self) -> None:
        for state in ("nothing", "paused"):
            with self.subTest(state):
                export = Export(script={"begin": [{"state": state, "job": "", "window": "", "message": "the reason"}]})
                self.assertEqual({"state": state, "message": "the reason", "windows": 0}, self.succeeded(export.run({"type": "incremental"})))
                self.assertEqual(["begin"], export.course())
                self.assertEqual([{"type": "incremental"}], export.events("begin"))

    def test_a_window_that_is_completed_is_told_again(self) -> None:
        export = Export(script={"begin": [RUNNING | {"state": "completed"}]})
        report = self.succeeded(export.run(FULL))
        self.assertEqual((6, 1, WINDOW), (report["items"], report["windows"], report["window"]))
        self.assertEqual(["begin", "finish"], export.course())

    def test_an_export_that_dynamodb_failed_is_said_with_the_reason(self) -> None:
        export = Export(script={"poll": [{"status": "FAILED", "message": "S3NoSuchBucket: the bucket is gone"}]})
        cause = self.failed(export.run(FULL), "Export.Failed")
        self.assertIn(f"did not export window {WINDOW}: S3NoSuchBucket: the bucket is gone", cause["message"])
        self.assertEqual((JOB, FULL), (cause["job"], cause["input"]))
        self.assertEqual(["begin", "poll"], export.course())

    def test_an_export_that_outlasts_the_history_is_to_be_started_again(self) -> None:
        waiting = [{"status": "IN_PROGRESS"}]
        export = Export({"$looks < 500": "$looks < 2"}, {"poll": waiting}, CallsPerExecution=6, PollSeconds=10)
        cause = self.failed(export.run(FULL), "Export.StillRunning")
        self.assertIn("Start this state machine again with the same input", cause["message"])
        self.assertEqual(5, len(export.events("poll")))
        # The third look and those after it come after five minutes.
        times = [call["time"] for call in export.calls()][1:]
        self.assertEqual([False, True, True, True], [later - earlier > 300 * WAIT_SCALE for earlier, later in pairwise(times)])

    def test_retries_count_as_calls(self) -> None:
        export = Export(script={"begin": [{"error": "Transient"}, {"error": "Transient"}, RUNNING], "poll": [{"status": "IN_PROGRESS"}]}, CallsPerExecution=5)
        self.failed(export.run(FULL), "Export.StillRunning")
        self.assertEqual((3, 2), (len(export.events("begin")), len(export.events("poll"))))

    def test_an_order_that_is_refused_is_not_repeated(self) -> None:
        export = Export(script={"begin": [{"error": "Invalid", "message": "recovery is off"}]})
        cause = self.failed(export.run({"type": "incremental"}), "Export.NotBegun")
        self.assertIn("recovery is off", cause["message"])
        self.assertEqual(1, len(export.events("begin")))

    def test_a_file_is_called_until_it_is_through(self) -> None:
        again = {"status": "CONTINUE"}
        export = Export(script={"transform:b": [again, again, {"error": "Transient"}, {"status": "COMPLETED"}]})
        self.succeeded(export.run(FULL))
        keys = [event["file"]["dataFileS3Key"][-9] for event in export.events("transform")]
        self.assertEqual({"a": 1, "b": 4, "c": 1}, {key: keys.count(key) for key in "abc"})

    def test_a_file_that_never_gets_through_ends_its_child_alone(self) -> None:
        export = Export(script={"transform:b": [{"status": "CONTINUE"}], "finish": [COMPLETED | {"status": "FAILED", "failed_files": ["b.json.gz"]}]}, CallsPerFile=3)
        execution = export.run(FULL)
        self.failed(execution, "Export.Incomplete")
        self.assertEqual(5, len(export.events("transform")))
        (broken,) = [child for child in children(execution) if child["status"] == "FAILED"]
        self.assertEqual("Export.FileNotThrough", broken["error"])
        self.assertIn("b.json.gz was not through after 3 calls of the function, the last of which answered CONTINUE", broken["cause"])

    def test_a_file_that_fails_stops_no_other_and_is_named(self) -> None:
        finish = COMPLETED | {"status": "FAILED", "failed_files": ["a.json.gz"], "message": "1 of 3 files is missing"}
        export = Export(script={"transform:a": [{"error": "Invalid", "message": "line 7 is no item"}], "finish": [finish]})
        execution = export.run(FULL)
        cause = self.failed(execution, "Export.Incomplete")
        self.assertEqual((["a.json.gz"], FULL, JOB), (cause["failed_files"], cause["input"], cause["job"]))
        self.assertIn("1 of 3 files is missing", cause["message"])
        self.assertNotIn("States.", cause["message"], "one failure is tolerated")
        # Invalid is not tried again.
        self.assertEqual(3, len(export.events("transform")))
        self.assertEqual(["FAILED", "SUCCEEDED", "SUCCEEDED"], sorted(child["status"] for child in children(execution)))

    def test_more_failures_than_are_tolerated_are_counted_too(self) -> None:
        finish = COMPLETED | {"status": "FAILED", "failed_files": ["a.json.gz"]}
        export = Export(script={"transform:a": [{"error": "Invalid"}], "finish": [finish]}, ToleratedFailurePercentage=20)
        cause = self.failed(export.run(FULL), "Export.Incomplete")
        self.assertIn("(States.ExceedToleratedFailureThreshold", cause["message"])
        self.assertEqual("finish", export.course()[-1])

    def test_a_list_that_cannot_be_read_is_said(self) -> None:
        plan = Export().plan | {"key": "nowhere"}
        export = Export(script={"plan": [plan], "finish": [COMPLETED | {"status": "FAILED"}]})
        cause = self.failed(export.run(FULL), "Export.Incomplete")
        self.assertIn("(States.ItemReaderFailed", cause["message"])
        self.assertEqual(["begin", "poll", "plan", "finish"], export.course())

    def test_an_export_without_files_is_finished(self) -> None:
        # A Distributed Map over an empty object is nothing to rely on.
        export = Export(script={"plan": [Export().plan | {"files": 0, "items": 0, "infer": True}]})
        execution = export.run(FULL)
        self.succeeded(execution)
        self.assertEqual([], map_runs(execution))
        self.assertEqual(["begin", "poll", "plan", "finish"], export.course())

    def test_files_that_another_execution_works_on_are_left_to_it(self) -> None:
        for event in (FULL, {"type": "incremental"}):
            with self.subTest(event):
                export = Export(script={"plan": [ELSEWHERE]})
                execution = export.run(event)
                self.assertEqual({"job": JOB, "window": WINDOW, "windows": 0} | ELSEWHERE, self.succeeded(execution))
                self.assertEqual(["begin", "poll", "plan"], export.course())
                self.assertEqual([], map_runs(execution))

    def test_a_later_window_that_is_left_to_another_execution_is_not_told_with_what_an_earlier_one_held(self) -> None:
        begins = [RUNNING | {"job": f"job-{number}", "window": f"window-{number}"} for number in range(2)]
        export = Export(script={"begin": begins, "plan": [Export().plan, ELSEWHERE], "finish": [COMPLETED | {"more": True}]})
        report = self.succeeded(export.run({"type": "incremental"}))
        self.assertEqual({"job": "job-1", "window": "window-1", "windows": 1} | ELSEWHERE, report)

    def test_a_window_that_another_execution_completed_meanwhile_is_told(self) -> None:
        export = Export(script={"plan": [{"state": "completed"}]})
        execution = export.run(FULL)
        self.assertEqual({"state": "completed", "job": JOB, "window": WINDOW, "windows": 1} | COMPLETED, self.succeeded(execution))
        self.assertEqual(["begin", "poll", "plan", "finish"], export.course())
        self.assertEqual([], map_runs(execution))

    def test_types_are_learnt_from_every_file_before_any_is_written(self) -> None:
        plan = Export().plan | {"infer": True}
        export = Export(script={"plan": [plan], "infer:c": [{"status": "CONTINUE"}, {"status": "COMPLETED"}]})
        execution = export.run(FULL)
        report = self.succeeded(execution)
        self.assertEqual((1, "schemas/table=offers/full.json"), (report["conflicts"], report["schema_key"]))
        self.assertEqual(["begin", "poll", "plan", "infer", "merge_schema", "transform", "finish"], export.course())
        self.assertEqual((4, 3), (len(export.events("infer")), len(export.events("transform"))))
        self.assertEqual([{"job": JOB}], export.events("merge_schema"))
        self.assertEqual(2, len(map_runs(execution)))

    def test_a_schema_that_cannot_be_made_ends_without_a_file_written(self) -> None:
        plan = Export().plan | {"infer": True}
        merge = {"error": "Invalid", "message": "file a.json.gz has no schema"}
        export = Export(script={"plan": [plan], "infer:a": [{"error": "Invalid"}], "merge_schema": [merge], "finish": [COMPLETED | {"status": "FAILED"}]})
        cause = self.failed(export.run(FULL), "Export.Incomplete")
        self.assertIn("file a.json.gz has no schema", cause["message"])
        self.assertEqual(["begin", "poll", "plan", "infer", "merge_schema", "finish"], export.course())

    def test_incremental_windows_are_taken_until_there_are_no_more(self) -> None:
        begins = [RUNNING | {"job": f"job-{number}", "window": f"window-{number}"} for number in range(3)]
        finishes = [COMPLETED | {"more": True}] * 2 + [COMPLETED]
        export = Export(script={"begin": begins, "poll": [{"status": "COMPLETED"}], "finish": finishes})
        execution = export.run({"type": "incremental", "restart_chain": True})
        report = self.succeeded(execution)
        self.assertEqual((3, "window-2", False), (report["windows"], report["window"], report["more"]))
        self.assertEqual([{"job": f"job-{number}", "execution": execution["executionArn"]} for number in range(3)], export.events("finish"))
        # The chain begins anew once.
        self.assertEqual([{"type": "incremental", "restart_chain": True}] + [{"type": "incremental"}] * 2, export.events("begin"))
        self.assertEqual(9, len(export.events("transform")))

    def test_a_window_that_is_not_due_yet_ends_the_catching_up(self) -> None:
        nothing = {"state": "nothing", "job": "", "window": "", "message": "not due"}
        export = Export(script={"begin": [RUNNING, nothing], "finish": [COMPLETED | {"more": True}, COMPLETED]})
        report = self.succeeded(export.run({"type": "incremental"}))
        self.assertEqual(("nothing", 1, WINDOW, "not due"), tuple(report[name] for name in ("state", "windows", "window", "message")))

    def test_an_execution_takes_only_so_many_windows_and_says_that_there_are_more(self) -> None:
        for limit, expected in (({"WindowsPerExecution": 2}, 2), ({"CallsPerExecution": 8}, 1)):
            with self.subTest(limit):
                export = Export(script={"poll": [{"status": "COMPLETED"}], "finish": [COMPLETED | {"more": True}]}, **limit)
                report = self.succeeded(export.run({"type": "incremental"}))
                self.assertEqual((expected, True), (report["windows"], report["more"]))

    def test_a_full_export_is_one_window(self) -> None:
        export = Export(script={"finish": [COMPLETED | {"more": True}]})
        self.assertEqual(1, self.succeeded(export.run(FULL))["windows"])

    def test_a_function_that_answers_nonsense_or_fails_for_good_is_said(self) -> None:
        for action, answer in (("poll", {}), ("plan", {}), ("plan", {"error": "Internal"}), ("finish", {}), ("finish", {"error": "Transient"})):
            with self.subTest(action=action, answer=answer):
                export = Export({'"MaxAttempts": 8': '"MaxAttempts": 2'}, {action: [answer]})
                cause = self.failed(export.run(FULL), "Export.Interrupted")
                self.assertIn(answer.get("error", "States.QueryEvaluationError"), cause["message"])
                self.assertEqual((JOB, FULL), (cause["job"], cause["input"]))
        with self.subTest("begin"):
            self.failed(Export(script={"begin": [{}]}).run(FULL), "Export.NotBegun")

    def test_two_executions_of_a_window_ask_for_the_same(self) -> None:
        # The schedule's event came twice.
        export = Export(script={"poll": [{"status": "COMPLETED"}]})
        for _ in range(2):
            self.succeeded(export.run(FULL))
        self.assertEqual([FULL] * 2, export.events("begin"))


if __name__ == "__main__":
    unittest.main()
