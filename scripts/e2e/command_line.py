"""Runs the release build of the command line against the local cloud."""

from __future__ import annotations

import os
import subprocess
import unittest
from pathlib import Path

from support import ROOT, cloud

# Where scripts/build leaves it, and where cargo does.
PLACES = (ROOT / "target/lambda/transload/bootstrap", ROOT / "target/release/transload")


def program() -> Path:
    """The release build of the command line."""
    for place in PLACES:
        if place.is_file():
            return place
    raise unittest.SkipTest(f"none of {', '.join(str(place.relative_to(ROOT)) for place in PLACES)} is there: run scripts/build")


def environment(folder: Path) -> dict[str, str]:
    """The credentials of the local cloud and nothing else that the tests were started with."""
    return {
        "PATH": os.defpath, "HOME": str(folder), "AWS_REGION": "us-east-1", "AWS_ENDPOINT_URL": cloud()["endpoint"],
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
    }  # fmt: skip


def transload(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command line in a folder."""
    command = [str(program()), *arguments]
    return subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, timeout=120, check=False)
