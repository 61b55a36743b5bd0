"""Kills a function while it works, as the loss of its machine would."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

# Enough to show the point: the batch of each killed process is delivered again, in halves.
KILLS = 5
# The machine counts processor time in hundredths of a second.
LOOK_SECONDS = 0.03
PAUSE_SECONDS = 1.5
# About as long as a batch takes on the local cloud: some are killed before they have stored anything, some after.
LATEST_SECONDS = 0.25


@contextlib.contextmanager
def killed_at_work(processes: Callable[[], list[int]]) -> Iterator[list[int]]:
    """Kills up to KILLS of these processes with SIGKILL while the body runs, and yields the list of them, which grows.

    A function that waits for its next batch uses no processor. One that has used some since the last look has begun a batch, and
    is killed within LATEST_SECONDS.
    """
    over, killed, choice = threading.Event(), [], random.Random(13)

    def kill() -> None:
        before = times(processes())
        while len(killed) < KILLS and not over.wait(LOOK_SECONDS):
            now = times(processes())
            working = [process for process, time in now.items() if time > before.get(process, time)]
            if working:
                over.wait(choice.uniform(0, LATEST_SECONDS))
            for process in working:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                    killed.append(process)
            if working:
                over.wait(PAUSE_SECONDS)
                now = times(processes())
            before = now

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def times(processes: list[int]) -> dict[int, int]:
    """The processor time that each of these processes has used, in ticks of the machine."""
    found = {}
    for process in processes:
        with contextlib.suppress(OSError):
            # proc_pid_stat(5): utime and stime are the 14th and 15th field; the second one may have blanks and ends in a bracket.
            fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            found[process] = int(fields[11]) + int(fields[12])
    return found
