"""A started local cloud for the tests, and the clients that drive it."""

from __future__ import annotations

import atexit
import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

import boto3
from botocore.client import BaseClient
from botocore.config import Config

TESTS = Path(__file__).resolve().parent
LOCAL = TESTS.parent
NAME = f"selftest-{os.getpid()}"
T = TypeVar("T")

# Waits of state machines are this much shorter.
WAIT_SCALE = 0.01

# What a developer's shell may hold, and must not get into the local cloud.
LEAKS = {
    "AWS_ACCESS_KEY_ID": "AKIALEAKED",
    "AWS_SECRET_ACCESS_KEY": "leaked-secret",
    "AWS_SESSION_TOKEN": "leaked-token",
    "AWS_PROFILE": "leaked-profile",
    "AWS_ENDPOINT_URL": "https://leaked.invalid",
    "AWS_ENDPOINT_URL_DYNAMODB": "https://leaked.invalid",
    "HTTPS_PROXY": "http://leaked.invalid:3128",
    "http_proxy": "http://leaked.invalid:3128",
}

sys.path.insert(0, str(LOCAL))

from local_cloud import control  # noqa: E402, F401  (the tests take it from here)


def script(name: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Runs one of the scripts under test."""
    return subprocess.run([str(LOCAL / name), *arguments], capture_output=True, text=True, env=os.environ | environment)


@cache
def cloud() -> dict:
    """One local cloud with the test stack for all tests of this process; stopped at its end."""
    atexit.register(script, "stop", "--name", NAME)
    folder = tempfile.mkdtemp()
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    probe_file = Path(folder) / "events.jsonl"
    done = script(
        "start", "--name", NAME, "--stack", "selftest", "--json", "--template", str(TESTS / "template.yaml"),
        "--parameters", f"ProbeFile={probe_file}",
        LOCAL_CLOUD_MIN_EXPORT_WINDOW_SECONDS="1", LOCAL_CLOUD_EXPORT_FILE_MB="0.001",
        LAMBDA_ASYNC_RETRY_BASE_SECONDS="0.2",
        MINISTACK_DDB_EXPORT_COMPLETE_AFTER_SEC="0.2", LOCAL_CLOUD_IMPORT_SECONDS="0.3",
        SFN_WAIT_SCALE=str(WAIT_SCALE), **LEAKS,
    )  # fmt: skip
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout) | {"probe_file": str(probe_file)}


def redeploy(*parameters: str) -> None:
    """Updates the test stack; `aws cloudformation deploy` keeps the parameters that are not given."""
    done = script("deploy", "--name", NAME, "--stack", "selftest", "--template", str(TESTS / "template.yaml"), "--parameters", *parameters)
    if done.returncode != 0:
        raise RuntimeError(done.stderr)


@cache
def client(service: str) -> BaseClient:
    """A client of the local cloud that tries once."""
    config = Config(retries={"max_attempts": 1, "mode": "standard"}, s3={"addressing_style": "path"}, inject_host_prefix=False)
    return boto3.client(
        service, endpoint_url=cloud()["endpoint"], region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test", config=config
    )


def function(name: str, code: str, variables: dict[str, str]) -> str:
    """Creates a function from the bootstrap in a folder of the tests; returns its ARN."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        files.write(TESTS / code / "bootstrap", "bootstrap")
    return client("lambda").create_function(
        FunctionName=name, Runtime="provided.al2023", Handler="bootstrap", Role=cloud()["outputs"]["RoleArn"], Timeout=30,
        Code={"ZipFile": archive.getvalue()}, Environment={"Variables": variables},
    )["FunctionArn"]  # fmt: skip


def probe_function(name: str, **variables: str) -> str:
    """Creates a function from the probe; returns the file in which it writes down its events."""
    file = f"{cloud()['probe_file']}-{name}"
    function(name, "probe", {"PROBE_FILE": file, **variables})
    return file


def state_machine(definition: str, changes: dict[str, str] | None = None, **substitutions: object) -> str:
    """Creates a state machine from a file of infra/, its substitutions made as CloudFormation makes them; returns its ARN.

    `changes` replaces pieces of the text, for what would take hours otherwise.
    """
    text = (control.ROOT / "infra" / definition).read_text()
    for piece, other in (changes or {}).items():
        if piece not in text:
            raise ValueError(f"{definition} does not say {piece!r}")
        text = text.replace(piece, other)
    for name, value in substitutions.items():
        text = text.replace(f"${{{name}}}", str(value))
    return client("stepfunctions").create_state_machine(
        name=f"m-{uuid.uuid4().hex[:8]}", definition=text, roleArn=cloud()["outputs"]["RoleArn"]
    )["stateMachineArn"]


def start(machine: str, payload: dict) -> str:
    """Starts an execution; returns its ARN."""
    return client("stepfunctions").start_execution(stateMachineArn=machine, input=json.dumps(payload))["executionArn"]


def ended(execution: str) -> dict:
    """Waits for the end of an execution and describes it."""

    def look() -> dict | None:
        described = client("stepfunctions").describe_execution(executionArn=execution)
        return described if described["status"] != "RUNNING" else None

    return eventually(look)


def table(**settings: object) -> dict:
    """Creates a table with the string key `id` and returns its description."""
    name = f"t-{uuid.uuid4().hex[:8]}"
    attributes = settings.pop("attributes", ["id"])
    return client("dynamodb").create_table(
        TableName=name, BillingMode="PAY_PER_REQUEST", KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": attribute, "AttributeType": "S"} for attribute in attributes], **settings,
    )["TableDescription"]  # fmt: skip


def invocations(file: str | None = None) -> list[dict]:
    """What the probe function wrote down: its events and environments, oldest first."""
    path = Path(file or cloud()["probe_file"])
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def eventually(look: Callable[[], T], seconds: float = 30) -> T:
    """Asks until the answer is truthy; fails with the last answer."""
    deadline = time.monotonic() + seconds
    while True:
        answer = look()
        if answer:
            return answer
        if time.monotonic() > deadline:
            raise AssertionError(f"still {answer!r} after {seconds} seconds")
        time.sleep(0.05)
