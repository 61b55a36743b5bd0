"""Distributed Map: reader, batcher, selector and result writer."""

from __future__ import annotations

import json
import unittest
import uuid

from support import client, cloud, ended, start


class DistributedMap(unittest.TestCase):
    bucket: str

    @classmethod
    def setUpClass(cls) -> None:
        cls.bucket = f"maps-{uuid.uuid4().hex[:8]}"
        client("s3").create_bucket(Bucket=cls.bucket)
        lines = "\n".join(json.dumps({"file": f"data/{number}.json.gz"}) for number in range(5))
        client("s3").put_object(Bucket=cls.bucket, Key="manifest.jsonl", Body=lines.encode())

    def run_map(self, machine: dict, before: dict | None = None, more: dict | None = None, **state: object) -> dict:
        """Runs a state machine of one map, a state before it and more states, whose children pass their input on; returns the ended execution."""
        processor = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "Child", "States": {"Child": {"Type": "Pass", "End": True}}}
        states = {"Files": {"Type": "Map", "Label": "Files", "ItemProcessor": processor, "End": True, **state}} | ({"Before": before} if before else {}) | (more or {})
        definition = {"StartAt": "Before" if before else "Files", "States": states, **machine}
        arn = client("stepfunctions").create_state_machine(
            name=f"m-{uuid.uuid4().hex[:8]}", definition=json.dumps(definition), roleArn=cloud()["outputs"]["RoleArn"]
        )["stateMachineArn"]
        return ended(start(arn, {"bucket": self.bucket}))

    def reader(self) -> dict:
        return {
            "Resource": "arn:aws:states:::s3:getObject",
            "ReaderConfig": {"InputType": "JSONL"},
            "Parameters": {"Bucket.$": "$.bucket", "Key": "manifest.jsonl"},
        }

    def test_selected_items_in_batches(self) -> None:
        execution = self.run_map(
            {},
            ItemReader=self.reader(),
            ItemSelector={"name.$": "$$.Map.Item.Value.file", "number.$": "$$.Map.Item.Index"},
            ItemBatcher={"MaxItemsPerBatch": 2, "BatchInput": {"bucket.$": "$.bucket"}},
        )
        items = [{"name": f"data/{number}.json.gz", "number": number} for number in range(5)]
        expected = [{"BatchInput": {"bucket": self.bucket}, "Items": items[begin : begin + 2]} for begin in (0, 2, 4)]
        self.assertEqual(expected, json.loads(execution["output"]))

    def test_concurrency_may_be_an_expression(self) -> None:
        for said, expected in (("{% 1 + 1 %}", 2), (3, 3)):
            execution = self.run_map({"QueryLanguage": "JSONata"}, Items=[1, 2], MaxConcurrency=said)
            self.assertEqual("SUCCEEDED", execution["status"], execution.get("cause"))
            [run] = client("stepfunctions").list_map_runs(executionArn=execution["executionArn"])["mapRuns"]
            self.assertEqual(expected, client("stepfunctions").describe_map_run(mapRunArn=run["mapRunArn"])["maxConcurrency"])

    def test_tolerated_failures_may_be_an_expression(self) -> None:
        child = {"Type": "Choice", "Choices": [{"Condition": "{% $states.input = 2 %}", "Next": "Broken"}], "Default": "Done"}
        states = {"Child": child, "Broken": {"Type": "Fail", "Error": "Broken"}, "Done": {"Type": "Succeed"}}
        processor = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "Child", "States": states}
        for member, said, expected in (
            ("ToleratedFailurePercentage", "{% 25 + 25 %}", "SUCCEEDED"),
            ("ToleratedFailurePercentage", "{% 49 %}", "FAILED"),
            ("ToleratedFailureCount", "{% 1 %}", "SUCCEEDED"),
            ("ToleratedFailureCount", "{% 0 %}", "FAILED"),
        ):
            with self.subTest(said):
                execution = self.run_map({"QueryLanguage": "JSONata"}, Items=[1, 2], ItemProcessor=processor, Output={}, **{member: said})
                self.assertEqual(expected, execution["status"], execution.get("cause"))

    def test_a_list_that_is_not_there_can_be_caught(self) -> None:
        reader = {
            "Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "JSONL"},
            "Arguments": {"Bucket": "{% $states.input.bucket %}", "Key": "no-such-list"},
        }  # fmt: skip
        caught = {"ErrorEquals": ["States.ALL"], "Output": "{% $states.errorOutput.Error %}", "Next": "After"}
        execution = self.run_map(
            {"QueryLanguage": "JSONata"}, before={"Type": "Pass", "Next": "Files"}, more={"After": {"Type": "Pass", "End": True}}, ItemReader=reader, Catch=[caught]
        )
        self.assertEqual(("SUCCEEDED", '"States.ItemReaderFailed"'), (execution["status"], execution.get("output")), execution.get("cause"))

    def test_results_are_written_where_an_expression_says_and_stand_for_the_output(self) -> None:
        writer = {"Resource": "arn:aws:states:::s3:putObject", "Arguments": {"Bucket": "{% $states.input.bucket %}", "Prefix": "{% 'said/' & 'so' %}"}}
        execution = self.run_map({"QueryLanguage": "JSONata"}, Items=[1, 2], ResultWriter=writer)
        place = json.loads(execution["output"])["ResultWriterDetails"]
        self.assertEqual((self.bucket, True), (place["Bucket"], place["Key"].startswith("said/so/")), place)
        (rows,) = [self.read(file["Key"]) for file in self.read(place["Key"])["ResultFiles"]["SUCCEEDED"]]
        self.assertEqual(["1", "2"], sorted(row["Output"] for row in rows))

    def test_jsonata_reader_and_output(self) -> None:
        reader = self.reader()
        del reader["Parameters"]
        reader["Arguments"] = {"Bucket": "{% $states.input.bucket %}", "Key": "manifest.jsonl"}
        execution = self.run_map(
            {"QueryLanguage": "JSONata"},
            ItemReader=reader,
            ItemSelector="{% {'key': $states.context.Map.Item.Value.file} %}",
            Output="{% {'count': $count($states.result)} %}",
        )
        self.assertEqual({"count": 5}, json.loads(execution["output"]))

    def test_a_child_does_not_see_the_variables_of_its_parent(self) -> None:
        child = {"Type": "Pass", "Output": "{% $exists($told) ? 'seen' : $states.input %}", "End": True}
        processor = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "Child", "States": {"Child": child}}
        execution = self.run_map(
            {"QueryLanguage": "JSONata"}, before={"Type": "Pass", "Assign": {"told": "parent"}, "Next": "Files"},
            Items=[1, 2], ItemSelector="{% $told %}", ItemProcessor=processor, Output="{% $append($states.result, $told) %}",
        )  # fmt: skip
        self.assertEqual(["parent", "parent", "parent"], json.loads(execution["output"]), execution)

    def test_results_are_written(self) -> None:
        writer = {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket.$": "$.bucket", "Prefix": "results"}}
        execution = self.run_map({}, ItemReader=self.reader(), ResultWriter=writer, ResultPath="$.map")
        output = json.loads(execution["output"])
        self.assertEqual(self.bucket, output["bucket"])
        manifest = self.read(output["map"]["ResultWriterDetails"]["Key"])
        self.assertEqual(output["map"]["MapRunArn"], manifest["MapRunArn"])
        self.assertEqual([[], []], [manifest["ResultFiles"][status] for status in ("FAILED", "PENDING")])
        rows = self.read(manifest["ResultFiles"]["SUCCEEDED"][0]["Key"])
        self.assertEqual({f"data/{number}.json.gz" for number in range(5)}, {json.loads(row["Output"])["file"] for row in rows})

    def test_failed_children_are_written_before_the_run_fails(self) -> None:
        child = {"Type": "Fail", "Error": "Broken", "Cause": "always"}
        processor = {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}, "StartAt": "Child", "States": {"Child": child}}
        writer = {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket.$": "$.bucket", "Prefix": "broken"}}
        execution = self.run_map({}, ItemReader=self.reader(), ItemProcessor=processor, ResultWriter=writer)
        self.assertEqual(("FAILED", "States.ExceedToleratedFailureThreshold"), (execution["status"], execution["error"]))
        keys = [entry["Key"] for entry in client("s3").list_objects_v2(Bucket=self.bucket, Prefix="broken/")["Contents"]]
        (rows,) = [self.read(key) for key in keys if key.endswith("FAILED_0.json")]
        self.assertEqual([("Broken", "always")] * 5, [(row["Error"], row["Cause"]) for row in rows])

    def read(self, key: str) -> dict | list:
        return json.loads(client("s3").get_object(Bucket=self.bucket, Key=key)["Body"].read())


if __name__ == "__main__":
    unittest.main()
