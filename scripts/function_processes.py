"""Which processes of a function a local cloud runs, for whoever means to stop or kill one."""

from __future__ import annotations

from pathlib import Path


def processes_of(server: int, function: str) -> list[int]:
    """The processes of a function, by its deployed name, that the local cloud with this process number has started."""
    found = []
    variable = f"AWS_LAMBDA_FUNCTION_NAME={function}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == server and variable in (folder / "environ").read_bytes().split(b"\0"):
                found.append(int(folder.name))
        except OSError:
            continue  # It has ended since.
    return found
