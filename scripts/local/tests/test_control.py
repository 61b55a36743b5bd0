"""The three scripts: a second stack, several clouds, clear refusals, nothing left behind."""

from __future__ import annotations

import contextlib
import io
import json
import os
import unittest
from pathlib import Path
from unittest import mock

from support import NAME, TESTS, client, cloud, control, eventually, invocations, script

TEMPLATE = ("--template", str(TESTS / "template.yaml"))


class Deploying(unittest.TestCase):
    def test_second_stack_has_its_own_names_and_parameters(self) -> None:
        file = f"{cloud()['probe_file']}-second"
        done = script("deploy", "--name", NAME, "--stack", "second", "--json", *TEMPLATE, "--parameters", f"ProbeFile={file}")
        self.assertEqual(0, done.returncode, done.stderr)
        outputs = json.loads(done.stdout)["outputs"]
        self.assertEqual("second-inbox", outputs["Inbox"])
        client("s3").put_object(Bucket=outputs["Inbox"], Key="only-here", Body=b"x")
        eventually(lambda: any("only-here" in json.dumps(call["event"]) for call in invocations(file)))
        self.assertFalse(any("only-here" in json.dumps(call["event"]) for call in invocations()))

    def test_misspelled_parameter_is_refused(self) -> None:
        done = script("deploy", "--name", NAME, "--stack", "third", *TEMPLATE, "--parameters", "ProbeFil=x")
        self.assertEqual(1, done.returncode)
        self.assertIn("no parameter 'ProbeFil'; it has: Architecture, Filter, Lanes, LateSeconds, ProbeFile, TickState", done.stderr)

    def test_failed_deployment_names_the_resource(self) -> None:
        broken = Path(cloud()["probe_file"]).with_name("broken.json")
        resources = {"Hook": {"Type": "AWS::Lambda::EventInvokeConfig", "Properties": {"FunctionName": "none", "Qualifier": "$LATEST"}}}
        broken.write_text(json.dumps({"Resources": resources}))
        done = script("deploy", "--name", NAME, "--stack", "broken", "--template", str(broken))
        self.assertEqual(1, done.returncode)
        self.assertIn("Hook: ", done.stderr)


class Lifecycle(unittest.TestCase):
    def test_clouds_are_apart_and_stop_leaves_nothing(self) -> None:
        other = f"{NAME}-other"
        self.addCleanup(script, "stop", "--name", other)
        file = Path(cloud()["probe_file"]).with_name("other.jsonl")
        done = script("start", "--name", other, "--json", *TEMPLATE, "--parameters", f"ProbeFile={file}")
        self.assertEqual(0, done.returncode, done.stderr)
        state = json.loads(done.stdout)
        self.assertNotEqual(cloud()["port"], state["port"])
        eventually(lambda: invocations(str(file)))
        functions = [int(path.name) for path in Path("/proc").glob("[0-9]*") if str(file) in environment_of(path)] if Path("/proc").exists() else []
        again = script("start", "--name", other, "--no-deploy", "--json")
        self.assertEqual(state["pid"], json.loads(again.stdout)["pid"], "a running cloud is used again")

        self.assertIn("stopped", script("stop", "--name", other).stderr)
        self.assertFalse(control.healthy(state["endpoint"]))
        self.assertFalse((control.ROOT / ".local" / other).exists())
        for pid in [state["pid"], *functions]:
            eventually(lambda pid=pid: not alive(pid))
        self.assertTrue(control.healthy(cloud()["endpoint"]), "the first cloud goes on")
        second = script("stop", "--name", other)
        self.assertEqual((0, True), (second.returncode, "was not running" in second.stderr))

    def test_deploy_without_a_cloud_says_what_to_do(self) -> None:
        done = script("deploy", "--name", "nobody-started-this")
        self.assertEqual(1, done.returncode)
        self.assertIn("scripts/local/start --name nobody-started-this", done.stderr)

    def test_missing_function_says_what_to_run(self) -> None:
        messages = io.StringIO()
        with mock.patch.object(control, "FUNCTIONS", ("none",)), mock.patch("sys.argv", ["x", "start"]), contextlib.redirect_stderr(messages):
            self.assertEqual(1, control.main())
        self.assertIn("target/lambda/none/bootstrap is missing: run scripts/build", messages.getvalue())


def environment_of(process: Path) -> str:
    """The environment of a process; empty where it has ended or is not ours."""
    try:
        return (process / "environ").read_text(errors="replace")
    except OSError:
        return ""


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False if Path("/proc").exists() else os.path.exists(f"/proc/{pid}")


if __name__ == "__main__":
    unittest.main()
