"""Starts the demo's local cloud, plays the demo and stops the cloud; run by `scripts/demo`."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable

from botocore.exceptions import BotoCoreError, ClientError
from function_processes import processes_of
from local_cloud import control

from demo_run import changes, data, export, ingest, keep, report, reprocess
from demo_run.accounting import Load
from demo_run.expected import Rules, expect_file
from demo_run.killing import killed_at_work
from demo_run.session import session_of
from demo_run.show import heading, paint, paragraph, say

NAME = "demo"
ENDING = (signal.SIGTERM, signal.SIGHUP)
MAPPING_KEY = "mappings/flights.json"

OFFERS = Rules(keys=("account", "offer_id"))
FLIGHTS = Rules(
    keys=("origin", "time_hour"),
    numbers=frozenset(name for name, column in data.flights_mapping()["columns"].items() if column["type"] == "N"),
    accepts=lambda row: row["dep_time"] != "NA",
)


# What did not add up, and what explains a cloud with this endpoint that is left up.
Played = tuple[list[str], Callable[[str], None]]


def play(cloud: control.Cloud, rows: int) -> Played:
    """The whole demo on a running cloud."""
    heading("Two files")
    offers, flights = data.offers(rows), data.flights()
    loads_wanted = [(offers, OFFERS), (flights, FLIGHTS)]
    expected = [expect_file(path, rules) for path, rules in loads_wanted]
    for (path, rules), want in zip(loads_wanted, expected, strict=True):
        size = path.stat().st_size / 1e6
        say(f"  {path.relative_to(control.ROOT)}: {want.read:,} rows, {size:.0f} MB; table keys {' and '.join(rules.keys)}")

    heading("Deploying infra/template.yaml as two stacks, transload and flights, by `aws cloudformation`")
    stacks = [
        control.deploy(cloud, "transload", ["StreamWindowSeconds=1"], control.TEMPLATE),
        control.deploy(cloud, "flights", ["PartitionKey=origin", "SortKey=time_hour", f"RowMappingKey={MAPPING_KEY}"], control.TEMPLATE),
    ]
    session = session_of(cloud)
    changes.switch_off(session, stacks[1])
    paragraph("The first one logs the changes of its table. The change log of the second is switched off, to save time.", "  ", "  ")
    session.client("s3").put_object(Bucket=stacks[1]["LakeBucket"], Key=MAPPING_KEY, Body=data.FLIGHTS_MAPPING.read_bytes())

    loads = [Load(path, outputs, rules, want) for (path, rules), outputs, want in zip(loads_wanted, stacks, expected, strict=True)]
    heading("Uploading; each upload is an S3 event that invokes the function")
    with killed_at_work(lambda: processes_of(cloud.state()["pid"], stacks[0]["StreamWriterFunction"])) as killed:
        outcomes = [ingest.run(session, load) for load in loads]
        report.counts(loads, outcomes)
        heading(f"The change log of {stacks[0]['TableName']}")
        log = changes.read(session, loads[0], killed)
    report.change_log(loads[0], outcomes[0], log)
    for load, outcome in zip(loads, outcomes, strict=True):
        report.read_back(load, outcome)
    report.explain_flights(loads[1], outcomes[1])
    return report.verdict(loads, outcomes, log), lambda endpoint: keep.explain(endpoint, loads)


# What an option shows, and the settings of the local cloud for it.
SHOWN: dict[str | None, tuple[Callable[[control.Cloud, int], Played], dict[str, str]]] = {
    None: (play, {}),
    "reprocess": (reprocess.play, {"SFN_WAIT_SCALE": reprocess.WAIT_SCALE}),
    "export": (export.play, export.SETTINGS),
}


def parse() -> argparse.Namespace:
    """The arguments, which scripts/demo has checked."""
    parser = argparse.ArgumentParser(prog="scripts/demo")
    parser.add_argument("--rows", type=int, required=True)
    parser.add_argument("--began", type=int, required=True, help="when scripts/demo began, in seconds since 1970")
    parser.add_argument("--keep", action="store_true")
    chosen = parser.add_mutually_exclusive_group()
    chosen.add_argument("--reprocess", dest="shown", action="store_const", const="reprocess")
    chosen.add_argument("--export", dest="shown", action="store_const", const="export")
    return parser.parse_args()


def run(options: argparse.Namespace) -> int:
    """The exit status; the cloud is stopped on every way out, but for --keep after a whole demo."""
    cloud = control.Cloud(NAME)
    if cloud.running():
        raise control.Problem(
            "the local cloud of an earlier run is still up, kept by --keep or in use by another demo; end it with: scripts/local/stop --name demo"
        )
    kept = False
    show, settings = SHOWN[options.shown]
    os.environ.update(settings)
    try:
        cloud.launch()
        faults, explain = show(cloud, options.rows)
        if faults:
            save_log(cloud)
        say(f"\nThat took {time.time() - options.began:.0f} seconds in all.")
        if options.keep:
            explain(cloud.endpoint())
            kept = True
        return 1 if faults else 0
    except Exception:
        save_log(cloud)
        raise
    finally:
        if not kept:
            # A second Ctrl-C must not leave a server behind.
            for number in (signal.SIGINT, *ENDING):
                signal.signal(number, signal.SIG_IGN)
            cloud.stop()
            again = f"--{options.shown} --keep" if options.shown else "--keep"
            say(f"Stopped the local cloud and removed its state. To look around in it: scripts/demo {again}")


def save_log(cloud: control.Cloud) -> None:
    """Keeps the log of server and function, which would go with the cloud."""
    if cloud.log.exists():
        saved = data.FOLDER / "server.log"
        data.FOLDER.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(cloud.log, saved)
        say(f"The log of the local cloud and its functions is kept in {saved.relative_to(control.ROOT)}.")


def main() -> int:
    """A Problem becomes one readable message; signals become exceptions, so that the cloud is stopped on the way out."""
    for number in ENDING:
        signal.signal(number, lambda got, _: sys.exit(128 + got))
    try:
        return run(parse())
    except control.Problem as problem:
        say(paint(f"demo: {problem}", "red"))
        return 1
    except (BotoCoreError, ClientError) as error:
        say(paint(f"demo: the local cloud did not do what it was asked: {error}", "red"))
        return 1
    except KeyboardInterrupt:
        say("demo: interrupted")
        return 130


if __name__ == "__main__":
    sys.exit(main())
