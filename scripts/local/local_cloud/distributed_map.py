"""Distributed Map: ItemReader and limits in JSONata, ItemSelector before ItemBatcher, ResultWriter, children without outer variables.

ministack runs the items; this prepares them and writes the results. The children of a failed run are written too, before the
failure goes on. A tolerated failure percentage counts batches, not the items in them.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

from ministack.services import s3, stepfunctions

DEFAULT_BATCH_BYTES = 262_144

# Numbers that may be expressions in JSONata.
LIMITS = ("MaxConcurrency", "ToleratedFailurePercentage", "ToleratedFailureCount")

# Members that are dealt with here, and must not be applied again by ministack's own runner.
HANDLED = ("ItemReader", "ItemBatcher", "ResultWriter", "ItemSelector", "Parameters", "ResultPath", "ResultSelector", "OutputPath", "Items")


@dataclass(frozen=True)
class MapState:
    """A Map state in one execution: its definition, its input and the context object."""

    definition: dict
    raw_input: object
    effective: object
    context: dict

    @property
    def jsonata(self) -> bool:
        """Whether its query language is JSONata rather than JSONPath."""
        return stepfunctions._state_query_language(self.definition, self.context) == "JSONata"

    def evaluate(self, template: object, context: dict | None = None) -> object:
        """A template with its expressions filled in."""
        context = context or self.context
        if self.jsonata:
            return stepfunctions._apply_jsonata_template(template, self.raw_input, context)
        return stepfunctions._resolve_params_obj(template, self.effective, context)

    def arguments(self, part: dict) -> dict:
        """`Arguments` (JSONata) or `Parameters` (JSONPath) of a reader or writer, filled in."""
        return self.evaluate(part.get("Arguments") or part.get("Parameters") or {})

    def items(self) -> list:
        """What to map over, selected and batched."""
        items = self.read()
        selector = self.definition.get("ItemSelector") or self.definition.get("Parameters")
        if selector:
            items = [self.evaluate(selector, {**self.context, "Map": {"Item": {"Index": i, "Value": item}}}) for i, item in enumerate(items)]
        batcher = self.definition.get("ItemBatcher")
        return list(self.batches(items, batcher)) if batcher else items

    def read(self) -> list:
        """The items of the reader or of the input."""
        reader = self.definition.get("ItemReader")
        if reader:
            bare = {name: value for name, value in reader.items() if name != "Arguments"}
            items = stepfunctions._read_map_items(bare | {"Parameters": self.arguments(reader)}, {}, self.context)
        elif self.jsonata and "Items" in self.definition:
            items = stepfunctions._jsonata_state_field(self.definition, "Items", "array", self.raw_input, self.context)
        else:
            items = stepfunctions._resolve_path_or_ctx(self.definition.get("ItemsPath", "$"), self.effective, self.context)
        return items if isinstance(items, list) else [items]

    def batches(self, items: list, batcher: dict) -> Iterator[dict]:
        """The items in groups of at most MaxItemsPerBatch items and MaxInputBytesPerBatch bytes."""
        most_items = int(batcher.get("MaxItemsPerBatch") or len(items) or 1)
        most_bytes = int(batcher.get("MaxInputBytesPerBatch") or DEFAULT_BATCH_BYTES)
        common = {"BatchInput": self.evaluate(batcher["BatchInput"])} if batcher.get("BatchInput") else {}
        batch: list = []
        size = 0
        for item in items:
            length = len(json.dumps(item)) + 1
            if batch and (len(batch) >= most_items or size + length > most_bytes):
                yield {**common, "Items": batch}
                batch, size = [], 0
            batch.append(item)
            size += length
        if batch:
            yield {**common, "Items": batch}

    def finish(self, result: object) -> tuple:
        """The state's output and the name of the next state."""
        following = stepfunctions._next_or_end(self.definition)
        if self.jsonata:
            output = stepfunctions._apply_jsonata_output(self.definition, self.raw_input, self.context, result=result, default=result)
            stepfunctions._apply_state_assign(self.definition, self.raw_input, self.context, result=result)
            return output, following
        selected = stepfunctions._apply_result_selector(self.definition, result)
        merged = stepfunctions._apply_result_path(self.definition, self.raw_input, selected)
        return stepfunctions._apply_output_path(self.definition, merged, self.context), following

    def write_results(self, run: str) -> dict:
        """Writes what became of each child as ResultWriter does, and returns what stands in for the results."""
        place = self.arguments(self.definition["ResultWriter"])
        prefix = place.get("Prefix", "").strip("/")
        folder = f"{prefix}/{run.rpartition(':')[2]}" if prefix else run.rpartition(":")[2]
        children = [child for child in stepfunctions._executions.values() if child.get("mapRunArn") == run]
        files: dict[str, list] = {}
        for status in ("FAILED", "PENDING", "SUCCEEDED"):
            rows = [result_row(child) for child in children if child["status"] == status]
            files[status] = [put_json(place["Bucket"], f"{folder}/{status}_0.json", rows)] if rows else []
        manifest = put_json(place["Bucket"], f"{folder}/manifest.json", {"DestinationBucket": place["Bucket"], "MapRunArn": run, "ResultFiles": files})
        return {"MapRunArn": run, "ResultWriterDetails": {"Bucket": place["Bucket"], "Key": manifest["Key"]}}


def result_row(child: dict) -> dict:
    """One child execution in a result file."""
    row = {
        "ExecutionArn": child["executionArn"],
        "Input": child["input"],
        "InputDetails": {"Included": True},
        "Name": child["name"],
        "Output": child.get("output"),
        "OutputDetails": {"Included": True},
        "StartDate": child["startDate"],
        "StateMachineArn": child["stateMachineArn"],
        "Status": child["status"],
        "StopDate": child["stopDate"],
    }
    if child["status"] == "FAILED":
        row |= {"Error": child.get("error"), "Cause": child.get("cause")}
    return row


def put_json(bucket: str, key: str, value: object) -> dict:
    """Writes one JSON object; returns its key and size."""
    body = json.dumps(value).encode()
    status, _headers, answer = s3._put_object(bucket, key, body, {"content-type": "application/json"})
    if status != 200:
        raise stepfunctions._ExecutionError("States.ResultWriterFailed", answer.decode(errors="replace"))
    return {"Key": key, "Size": len(body)}


def apply() -> None:
    """Puts the preparation and the writing around ministack's runner."""
    original = stepfunctions._run_distributed_map

    def run_distributed_map(definition: dict, raw_input: object, effective: object, iterator: dict, execution: dict, context: dict) -> tuple:
        state = MapState(definition, raw_input, effective, context)
        items = state.items()
        # A label of our own finds the run again among those that go on at the same time.
        label = f"{definition.get('Label', 'Map')}-{uuid.uuid4().hex[:8]}"
        bare = {name: value for name, value in definition.items() if name not in HANDLED} | {"ItemsPath": "$", "Label": label}
        if state.jsonata:
            bare |= {name: stepfunctions._jsonata_state_field(definition, name, "number", raw_input, context) for name in LIMITS if name in definition}
        failure, result = None, None
        try:
            # A child of a distributed map begins without the variables of its parent.
            result, _next = original(bare, items, items, iterator, execution, context | {"variables": {}})
        except stepfunctions._ExecutionError as error:
            failure = error
        if definition.get("ResultWriter"):
            run = next(arn for arn in stepfunctions._map_runs if f"/{label}:" in arn)
            result = state.write_results(run)
        if failure:
            raise failure
        return state.finish(result)

    stepfunctions._run_distributed_map = run_distributed_map
