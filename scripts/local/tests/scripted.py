"""A function that answers as a script says, and the machine that calls it."""

from __future__ import annotations

import json
import tempfile
import uuid
from pathlib import Path

from support import client, cloud, ended, function, start, state_machine


class Scripted:
    """A machine of infra/ whose functions are all one stand-in with a script (`script_probe`)."""

    def __init__(self, definition: str, arns: list[str], script: dict[str, list[dict]], changes: dict[str, str] | None = None, **substitutions: object) -> None:
        self.folder = Path(tempfile.mkdtemp(dir=Path(cloud()["probe_file"]).parent))
        (self.folder / "script.json").write_text(json.dumps(script))
        arn = function(f"script-{uuid.uuid4().hex[:8]}", "script_probe", {"SCRIPT": str(self.folder)})
        self.machine = state_machine(definition, changes, Partition="aws", **dict.fromkeys(arns, arn), **substitutions)

    def run(self, payload: dict) -> dict:
        """Runs the machine to its end."""
        return ended(start(self.machine, payload))

    def calls(self) -> list[dict]:
        """What was asked and answered, oldest first."""
        log = self.folder / "events.jsonl"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def events(self, action: str) -> list[dict]:
        """What the function was asked with an action, without the action."""
        events = [call["event"] for call in self.calls() if call["event"]["action"] == action]
        return [{name: value for name, value in event.items() if name != "action"} for event in events]

    def course(self) -> list[str]:
        """The actions in their order; those of one kind that follow each other are one."""
        course: list[str] = []
        for call in self.calls():
            if course[-1:] != [call["event"]["action"]]:
                course.append(call["event"]["action"])
        return course


def map_runs(execution: dict) -> list[dict]:
    """The runs of the execution's Distributed Maps, described."""
    runs = client("stepfunctions").list_map_runs(executionArn=execution["executionArn"])["mapRuns"]
    return [client("stepfunctions").describe_map_run(mapRunArn=run["mapRunArn"]) for run in runs]


def children(execution: dict) -> list[dict]:
    """The child executions, described."""
    steps = client("stepfunctions")
    runs = steps.list_map_runs(executionArn=execution["executionArn"])["mapRuns"]
    found = [child for run in runs for child in steps.list_executions(mapRunArn=run["mapRunArn"])["executions"]]
    return [steps.describe_execution(executionArn=child["executionArn"]) for child in found]
