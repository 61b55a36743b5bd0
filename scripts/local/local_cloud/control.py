"""Starts, fills and stops local clouds; behind `scripts/local/start`, `deploy` and `stop`.

Needs nothing but the standard library: it makes the virtual environment that the server and the AWS command line run in.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

LOCAL_DIR = Path(__file__).resolve().parent.parent
ROOT = LOCAL_DIR.parent.parent
REQUIREMENTS = LOCAL_DIR / "requirements.txt"
VENV = ROOT / ".venv" / "local-cloud"
TEMPLATE = ROOT / "infra" / "template.yaml"
FUNCTIONS = ("csv-ingester", "stream-writer", "gsi-reprocessor", "export-poller", "export-transformer", "table-scanner")

HOST = "127.0.0.1"
REGION = "us-east-1"
CODE_BUCKET = "local-cloud-code"
DEFAULT_NAME = "default"
DEFAULT_STACK = "transload"

# Settings of the local cloud that a caller's environment may change; nothing else of it reaches the server.
SETTINGS = (
    "LOCAL_CLOUD_MIN_EXPORT_WINDOW_SECONDS",
    "LOCAL_CLOUD_EXPORT_FILE_MB",
    "LOCAL_CLOUD_EXPORT_PARTITIONS",
    "LOCAL_CLOUD_IMPORT_SECONDS",
    "LAMBDA_ASYNC_RETRY_BASE_SECONDS",
    "LAMBDA_ASYNC_RETRY_MAX_SECONDS",
    "MINISTACK_DDB_EXPORT_COMPLETE_AFTER_SEC",
    "SFN_WAIT_SCALE",
    "LOG_LEVEL",
)


class Problem(Exception):
    """Something the user can mend; the message says how."""


def say(message: str) -> None:
    """Tells the user what is going on, on standard error so that `--json` stays clean."""
    print(f"local cloud: {message}", file=sys.stderr, flush=True)


def ensure_environment() -> None:
    """Makes `.venv/local-cloud` hold exactly what requirements.txt pins; several callers may ask at once."""
    wanted = REQUIREMENTS.read_text()
    installed = VENV / "requirements.installed"
    VENV.parent.mkdir(exist_ok=True)
    with open(VENV.parent / "local-cloud.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if installed.exists() and installed.read_text() == wanted:
            return
        say(f"installing ministack and the AWS command line into {VENV.relative_to(ROOT)} (about 20 seconds, once)")
        try:
            subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True, stdout=sys.stderr)
            pip = [str(VENV / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
            subprocess.run([*pip, "-r", str(REQUIREMENTS)], check=True, stdout=sys.stderr)
        except subprocess.CalledProcessError as error:
            raise Problem(f"could not make {VENV}: `{error.cmd[0]}` failed; Python 3.11 with venv and a reachable package index are needed") from error
        installed.write_text(wanted)


def clean_environment(endpoint: str, home: Path) -> dict[str, str]:
    """The whole environment of the server, its functions and the AWS command line.

    Built from nothing, so that neither credentials, profiles, endpoints nor proxies of the caller get in.
    """
    return {
        "PATH": f"{VENV / 'bin'}:/usr/bin:/bin",
        "HOME": str(home),
        "TMPDIR": str(home),
        "LC_ALL": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_REGION": REGION,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "*",
    }


class Cloud:
    """One named local cloud; its state is the folder `.local/<name>`."""

    def __init__(self, name: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", name):
            raise Problem(f"the name {name!r} is no name for a local cloud: letters, digits, - and _ only")
        self.name = name
        self.folder = ROOT / ".local" / name
        self.home = self.folder / "tmp"
        self.log = self.folder / "server.log"
        self.record = self.folder / "state.json"

    def state(self) -> dict | None:
        """What `launch` wrote down, or None where no such cloud was started."""
        try:
            return json.loads(self.record.read_text())
        except FileNotFoundError:
            return None

    def running(self) -> bool:
        """Whether the recorded process lives, is ours and answers."""
        state = self.state()
        return state is not None and is_server(state["pid"]) and healthy(state["endpoint"])

    def endpoint(self) -> str:
        """The address of this cloud; a Problem where it does not run."""
        if not self.running():
            raise Problem(f"no local cloud {self.name!r} is running: start one with scripts/local/start --name {self.name}")
        return self.state()["endpoint"]

    def launch(self) -> None:
        """Starts the server on a free port of 127.0.0.1 and waits until it answers."""
        self.stop()
        self.home.mkdir(parents=True)
        # The socket is bound here and inherited, so no other process can take the port in between.
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener, open(self.log, "wb") as log:
            listener.bind((HOST, 0))
            port = listener.getsockname()[1]
            endpoint = f"http://{HOST}:{port}"
            environment = clean_environment(endpoint, self.home) | server_settings(port, self.home)
            process = subprocess.Popen(
                [str(VENV / "bin" / "python"), "-m", "local_cloud.server", str(listener.fileno())],
                cwd=LOCAL_DIR,
                env=environment,
                pass_fds=[listener.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.record.write_text(json.dumps({"name": self.name, "pid": process.pid, "port": port, "endpoint": endpoint, "region": REGION, "log": str(self.log)}))
        deadline = time.monotonic() + 60
        while not healthy(endpoint):
            if process.poll() is not None or time.monotonic() > deadline:
                tail = self.log.read_text(errors="replace")[-2000:]
                self.stop()
                raise Problem(f"the server did not start; the end of its log:\n{tail}")
            time.sleep(0.05)

    def stop(self) -> bool:
        """Ends the server and every function that it started, and removes the state; True if one was running."""
        state = self.state()
        was_running = state is not None and is_server(state["pid"])
        if was_running:
            end_process_group(state["pid"])
        shutil.rmtree(self.folder, ignore_errors=True)
        return was_running

    def aws(self, *arguments: str) -> str:
        """Runs the real AWS command line against this cloud and returns its output."""
        command = [str(VENV / "bin" / "aws"), *arguments]
        environment = clean_environment(self.endpoint(), self.home) | {"AWS_PAGER": ""}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
        if done.returncode != 0:
            raise Problem(f"`aws {' '.join(arguments[:2])}` failed:\n{done.stdout}{done.stderr}".rstrip())
        return done.stdout


def server_settings(port: int, home: Path) -> dict[str, str]:
    """What ministack and the patches read, beside the clean environment."""
    chosen = {name: os.environ[name] for name in SETTINGS if name in os.environ}
    return {
        "GATEWAY_PORT": str(port),
        "BIND_HOST": HOST,
        "MINISTACK_HOST": HOST,
        "AUTH": "true",
        "STATE_DIR": str(home / "state"),
        "S3_DATA_DIR": str(home / "s3"),
        # These two would listen on ports of their own.
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        # AWS waits one minute and then two before it tries a failed asynchronous invocation again.
        "LAMBDA_ASYNC_RETRY_BASE_SECONDS": "0.5",
        "LAMBDA_ASYNC_RETRY_MAX_SECONDS": "2",
        **chosen,
    }


def healthy(endpoint: str) -> bool:
    """Whether a local cloud answers there."""
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(f"{endpoint}/_ministack/health", timeout=5) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def is_server(pid: int) -> bool:
    """Whether this process lives and is a server of ours: the number may have been given to another one since."""
    shown = Path(f"/proc/{pid}/cmdline")
    if Path("/proc/self").exists():
        return shown.exists() and b"local_cloud.server" in shown.read_bytes()
    return "local_cloud.server" in subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True).stdout


def end_process_group(pid: int) -> None:
    """Asks the server and its functions to end, and kills what is left once the server is gone or five seconds are over."""
    try:
        os.killpg(pid, signal.SIGTERM)
        deadline = time.monotonic() + 5
        while is_server(pid) and time.monotonic() < deadline:
            time.sleep(0.05)
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def require_functions(template: Path) -> None:
    """A Problem where the template is ours and a function of it was not built."""
    for function in FUNCTIONS if template == TEMPLATE else ():
        path = ROOT / "target" / "lambda" / function / "bootstrap"
        if not path.exists():
            raise Problem(f"{path.relative_to(ROOT)} is missing: run scripts/build")


def deploy(cloud: Cloud, stack: str, parameters: list[str], template: Path) -> dict[str, str]:
    """Packages and deploys a template as it stands, by the real AWS command line; returns the stack's outputs."""
    if not template.exists():
        raise Problem(f"{template} does not exist")
    require_functions(template)
    cloud.aws("s3api", "create-bucket", "--bucket", CODE_BUCKET)
    packaged = cloud.folder / f"packaged-{stack}.json"
    cloud.aws(
        "cloudformation", "package", "--template-file", str(template), "--s3-bucket", CODE_BUCKET,
        "--use-json", "--output-template-file", str(packaged),
    )  # fmt: skip
    declared = json.loads(packaged.read_text()).get("Parameters", {})
    overrides = parameter_overrides(parameters, declared)
    arguments = [
        "cloudformation", "deploy", "--template-file", str(packaged), "--s3-bucket", CODE_BUCKET, "--stack-name", stack,
        "--capabilities", "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "--no-fail-on-empty-changeset",
    ]  # fmt: skip
    if overrides:
        arguments += ["--parameter-overrides", *overrides]
    try:
        cloud.aws(*arguments)
    except Problem as problem:
        raise Problem(f"{problem}\n{failed_events(cloud, stack)}".rstrip()) from problem
    return stack_outputs(cloud, stack)


def parameter_overrides(given: list[str], declared: dict) -> list[str]:
    """The overrides to pass on; `aws cloudformation deploy` ignores a misspelled one, so that is refused here."""
    overrides = {}
    if "Architecture" in declared:
        overrides["Architecture"] = "x86_64"
    for pair in given:
        key, separator, value = pair.partition("=")
        if not separator:
            raise Problem(f"the parameter {pair!r} has no value: write {pair}=VALUE")
        if key not in declared:
            raise Problem(f"the template has no parameter {key!r}; it has: {', '.join(sorted(declared))}")
        overrides[key] = value
    return [f"{key}={value}" for key, value in overrides.items()]


def failed_events(cloud: Cloud, stack: str) -> str:
    """Why a stack failed, one line for each resource."""
    try:
        events = json.loads(cloud.aws("cloudformation", "describe-stack-events", "--stack-name", stack))["StackEvents"]
    except Problem:
        return ""
    failed = [event for event in events if event["ResourceStatus"].endswith("FAILED")]
    return "\n".join(f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}" for event in failed)


def stack_outputs(cloud: Cloud, stack: str) -> dict[str, str]:
    """The outputs of a deployed stack by name."""
    described = json.loads(cloud.aws("cloudformation", "describe-stacks", "--stack-name", stack))
    return {output["OutputKey"]: output["OutputValue"] for output in described["Stacks"][0].get("Outputs", [])}


def report(cloud: Cloud, stack: str | None, outputs: dict[str, str], as_json: bool) -> None:
    """Prints where the cloud is and what a stack on it is called."""
    state = cloud.state()
    if as_json:
        print(json.dumps(state | ({"stack": stack, "outputs": outputs} if stack else {})))
        return
    rows = [("endpoint", state["endpoint"]), ("region", state["region"]), ("log", os.path.relpath(state["log"]))]
    if stack:
        rows += [("stack", stack), *outputs.items()]
    width = max(len(key) for key, _ in rows)
    for key, value in rows:
        print(f"{key:<{width}}  {value}")
    print(f"\nexport AWS_ENDPOINT_URL={state['endpoint']} AWS_REGION={REGION} AWS_DEFAULT_REGION={REGION} AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test")


def run_start(options: argparse.Namespace) -> None:
    """`scripts/local/start`"""
    if not options.no_deploy:
        require_functions(options.template.resolve())
    ensure_environment()
    cloud = Cloud(options.name)
    if cloud.running():
        say(f"{cloud.name!r} is running already")
    else:
        cloud.launch()
    if options.no_deploy:
        report(cloud, None, {}, options.json)
    else:
        run_deploy(options)


def run_deploy(options: argparse.Namespace) -> None:
    """`scripts/local/deploy`"""
    ensure_environment()
    cloud = Cloud(options.name)
    cloud.endpoint()
    outputs = deploy(cloud, options.stack, options.parameters, options.template.resolve())
    report(cloud, options.stack, outputs, options.json)


def run_stop(options: argparse.Namespace) -> None:
    """`scripts/local/stop`"""
    stopped = Cloud(options.name).stop()
    say(f"stopped {options.name!r}" if stopped else f"{options.name!r} was not running")


EXAMPLES = {
    "start": "Example: scripts/local/start\n         scripts/local/start --name try --parameters SortKey= PartitionKey=id --json",
    "deploy": "Example: scripts/local/deploy --stack flights --parameters PartitionKey=origin SortKey=time_hour",
    "stop": "Example: scripts/local/stop --name try",
}


def parser() -> argparse.ArgumentParser:
    """The arguments of the three commands."""
    top = argparse.ArgumentParser(prog="local_cloud.control")
    commands = top.add_subparsers(dest="command", required=True)
    texts = {
        "start": (run_start, "Starts a local cloud on a free port of 127.0.0.1 and deploys infra/template.yaml, unmodified, on it."),
        "deploy": (run_deploy, "Deploys infra/template.yaml once more on a running local cloud, or updates a stack of it."),
        "stop": (run_stop, "Stops a local cloud with its functions and removes its state; does nothing where none runs."),
    }
    for command, (run, text) in texts.items():
        sub = commands.add_parser(
            command, prog=f"scripts/local/{command}", description=text, epilog=EXAMPLES[command],
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        sub.set_defaults(run=run)
        sub.add_argument("--name", default=DEFAULT_NAME, help="which local cloud (default: %(default)s); several may run at once")
        if command == "stop":
            continue
        sub.add_argument("--stack", default=DEFAULT_STACK, help="name of the CloudFormation stack (default: %(default)s)")
        sub.add_argument("--parameters", nargs="+", default=[], metavar="KEY=VALUE", help="template parameters; Architecture is x86_64 unless given")
        sub.add_argument("--template", type=Path, default=TEMPLATE, help="another template than infra/template.yaml")
        sub.add_argument("--json", action="store_true", help="print one JSON object")
        if command == "start":
            sub.add_argument("--no-deploy", action="store_true", help="only start it")
    return top


def main() -> int:
    """Runs one command; a Problem becomes one readable message."""
    options = parser().parse_args()
    try:
        options.run(options)
    except Problem as problem:
        say(str(problem))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
