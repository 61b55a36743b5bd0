"""What `scripts/invoke` and `scripts/sam-local` share: which function, on which local cloud, with which environment."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts" / "local"))

from local_cloud import control  # noqa: E402

SAM_REQUIREMENT = "aws-sam-cli==1.170.0"
SAM_VENV = ROOT / ".venv" / "sam"


@dataclass(frozen=True)
class Target:
    """One deployed function to be run on one event."""

    function: str
    event: bytes
    endpoint: str
    stack: str
    timeout: int
    variables: dict[str, str]

    @property
    def deployed_name(self) -> str:
        """The template names every function after its stack and its crate."""
        return f"{self.stack}-{self.function}"


def parser(program: str, description: str, example: str) -> argparse.ArgumentParser:
    """The arguments that both scripts take."""
    made = argparse.ArgumentParser(
        prog=f"scripts/{program}", description=description, epilog=f"Example: {example}", formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("function", metavar="FUNCTION", help="a function of target/lambda, such as csv-ingester")
    made.add_argument("event", metavar="EVENT", type=Path, help="a file with the event, such as events/sweep.json")
    made.add_argument("--name", default=control.DEFAULT_NAME, help="which local cloud the function works on (default: %(default)s)")
    made.add_argument("--endpoint", help="address of a local cloud, in place of --name")
    made.add_argument("--stack", default=control.DEFAULT_STACK, help="stack that the function's tables and buckets belong to (default: %(default)s)")
    return made


def target(options: argparse.Namespace) -> Target:
    """Reads the event and asks the local cloud how the function is deployed."""
    bootstrap(options.function)
    try:
        event = options.event.read_bytes()
    except OSError as error:
        raise control.Problem(f"cannot read the event {options.event}: {error.strerror}; samples are in events/") from error
    control.ensure_environment()
    endpoint = (options.endpoint or control.Cloud(options.name).endpoint()).rstrip("/")
    deployed = aws(endpoint, "lambda", "get-function-configuration", "--function-name", f"{options.stack}-{options.function}")
    return Target(options.function, event, endpoint, options.stack, deployed["Timeout"], deployed["Environment"]["Variables"])


def bootstrap(function: str) -> Path:
    """The built binary of a function."""
    path = ROOT / "target" / "lambda" / function / "bootstrap"
    if not path.exists():
        raise control.Problem(f"{path.relative_to(ROOT)} is missing: run scripts/build")
    return path


def aws(endpoint: str, *arguments: str) -> dict:
    """What the AWS command line answers at this endpoint, with made-up credentials."""
    done = subprocess.run(
        [str(control.VENV / "bin" / "aws"), *arguments, "--output", "json"],
        env=control.clean_environment(endpoint, ROOT / ".local"), capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode != 0:
        raise control.Problem(f"`aws {' '.join(arguments[:2])}` failed at {endpoint}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def ensure_sam() -> Path:
    """Makes `.venv/sam`, which carries SAM and the emulator, and returns its folder."""
    installed = SAM_VENV / "requirement.installed"
    if not (installed.exists() and installed.read_text() == SAM_REQUIREMENT):
        print(f"installing {SAM_REQUIREMENT} into .venv/sam (half a minute, once)", file=sys.stderr)
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(SAM_VENV)], check=True, stdout=sys.stderr)
            subprocess.run([str(SAM_VENV / "bin" / "pip"), "install", "--quiet", SAM_REQUIREMENT], check=True, stdout=sys.stderr)
        except subprocess.CalledProcessError as error:
            raise control.Problem("could not make .venv/sam; Python 3.11 with venv and a reachable package index are needed") from error
        installed.write_text(SAM_REQUIREMENT)
    return SAM_VENV


def print_answer(answer: str) -> int:
    """Prints what the function answered and returns 1 where that is an error, else 0."""
    try:
        value = json.loads(answer)
    except json.JSONDecodeError:
        print(answer or "the function ended without an answer", file=sys.stderr)
        return 1
    print(json.dumps(value, indent=2, ensure_ascii=False))
    # The runtime reports an error as an object with these two members, as the Invoke API does.
    return 1 if isinstance(value, dict) and {"errorType", "errorMessage"} <= value.keys() else 0


def main(run: Callable[[], int]) -> None:
    """Runs a script; a Problem becomes one readable message."""
    # An exception, so that what the script started is stopped on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        status = run()
    except control.Problem as problem:
        print(f"{os.path.basename(sys.argv[0])}: {problem}", file=sys.stderr)
        status = 2
    sys.exit(status)
