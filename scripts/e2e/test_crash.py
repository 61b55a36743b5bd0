"""A function that is killed, or stands still, in the middle of a file: the sweep ends the job as if nothing had happened."""

from __future__ import annotations

import os
import signal
import time
import unittest
from pathlib import Path
from typing import Any

from support import (
    SETTLE_SECONDS,
    EndToEnd,
    client,
    cloud,
    configured,
    counts,
    ended,
    eventually,
    expected,
    function_processes,
    inbox,
    invocations_ended,
    items,
    job,
    messages_about,
    offers,
    parts,
    sweep,
    upload,
)

ROWS = 20_000
# A batch of 25 on each of 32 lanes.
ROWS_UNDER_WAY = 800
# epoll_wait of x86_64; epoll_pwait of x86_64 and of arm64.
EPOLL_WAIT = ("232", "281", "22")


def fire_the_schedule() -> None:
    """Makes a second schedule like the deployed one. A rate schedule fires at once, and waiting minutes for the deployed one shows no more."""
    scheduler = client("scheduler")
    (listed,) = [schedule for schedule in scheduler.list_schedules()["Schedules"] if schedule["Name"].startswith(f"{cloud()['stack']}-Sweep-")]
    deployed = scheduler.get_schedule(Name=listed["Name"])
    copied = {name: deployed[name] for name in ("ScheduleExpression", "FlexibleTimeWindow", "Target")}
    scheduler.create_schedule(Name=f"again-{time.monotonic_ns()}", **copied)


def wait_until_free(key: str) -> None:
    """Waits until the lease has ended and nothing that the dead worker sent can still land."""
    free_at = inbox(key)["lease"]["end"] / 1000 + SETTLE_SECONDS
    time.sleep(max(0.0, free_at - time.time()))


class Interrupted(EndToEnd):
    def setUp(self) -> None:
        super().setUp()
        # The schedule fires once when it is deployed; its sweep must not be taken for the worker.
        eventually(invocations_ended, "the first sweep has ended")
        idle = function_processes()
        # A function with another configuration gets a process of its own.
        self.enterContext(configured(BLOCK_ROWS="1000"))
        self.body = offers(self.account, ROWS, note="older" + "x" * 100)
        self.version = upload(self.key, self.body)
        eventually(lambda: job(self.key, self.version).get("rows_read", 0) >= 3_000, "three blocks have settled")
        (self.worker,) = set(function_processes()) - set(idle)

    def stand_still(self) -> None:
        """Stops the worker while it waits for answers, when it has nothing left to decide."""

        def waits() -> bool:
            os.kill(self.worker, signal.SIGSTOP)
            time.sleep(0.01)
            call, *arguments = Path(f"/proc/{self.worker}/syscall").read_text().split()
            # With a time-out of 0 it only looks, and has work to do.
            if call in EPOLL_WAIT and arguments[3] != "0x0":
                return True
            os.kill(self.worker, signal.SIGCONT)
            return False

        eventually(waits, "the worker waits for an answer")

    def left_behind(self) -> dict[str, Any]:
        """The job's row as the worker left it."""
        time.sleep(0.2)  # What it had sent is answered.
        row = job(self.key, self.version)
        self.assertEqual("IN_PROGRESS", row["processing_status"])
        self.assertLess(row["rows_read"], ROWS, "the worker must be interrupted before its end")
        self.assertEqual(row["rows_read"], 1_000 * row["checkpoint"]["block"])
        return row

    # Red when a new owner begins at row 1 but keeps the counts, or ignores lease or settle time, or a checkpoint is off by one.
    def test_promise_3_a_killed_function_ends_in_the_same_state(self) -> None:
        os.kill(self.worker, signal.SIGKILL)
        left = self.left_behind()
        # S3's event is tried again at once and meets the lease of the dead worker, and so does a sweep.
        self.assertEqual([], sweep().outcomes())
        self.assertEqual(left["rows_read"], job(self.key, self.version)["rows_read"])
        wait_until_free(self.key)
        fire_the_schedule()
        row = ended(self.key, self.version)

        self.assertEqual((1, left["start_time"]), (row["retry_count"], row["start_time"]))
        self.assert_ended_as(expected(self.body, block_rows=1_000), self.key, row)
        undisturbed = f"undisturbed/{self.key}"
        whole = ended(undisturbed, upload(undisturbed, self.body))
        self.assertEqual((counts(whole), whole["checkpoint"]), (counts(row), row["checkpoint"]))
        for folder in ("json-copy", "unprocessed"):
            self.assertEqual(parts(folder, undisturbed), parts(folder, self.key))
        # The invocation that died was tried again by itself, so nobody has to be told.
        self.assertEqual([], messages_about(self.key))

    # Red when the send window does not end with the lease; and, depending on where the worker stood still, when a write to the
    # lake is begun without looking at the lease first.
    def test_promise_3_a_worker_that_stood_still_writes_nothing_over_a_newer_upload(self) -> None:
        self.addCleanup(self.end_worker)
        self.stand_still()
        self.left_behind()
        # Longer than what the worker has done, so that the parts that it would write next are parts of the newer upload.
        newer = offers(self.account, 8_000, note="newer")
        version = upload(self.key, newer)
        wait_until_free(self.key)
        # Other tests may have left keys for the sweep too, so its answer is not looked at.
        sweep()
        row = ended(self.key, version)
        wanted = expected(newer, block_rows=1_000)
        self.assertEqual(("COMPLETED", wanted.counts), (row["processing_status"], counts(row)))
        before = self.state()
        ended_before = invocations_ended()
        os.kill(self.worker, signal.SIGCONT)
        eventually(lambda: invocations_ended() > ended_before, "the worker has woken up and left")
        time.sleep(0.5)
        after = self.state()
        # A batch that waits for a connection when the worker is stopped is sent when it wakes up. DynamoDB refuses it, since its
        # signature is older than the settle time by then; the local cloud looks at no date, so as many rows as can be under
        # way may land here. A worker that does not know that its time is over writes thousands.
        held = {item["offer_id"]: item for item in before["items"]}
        landed = [item for item in after["items"] if item != held.get(item["offer_id"])]
        self.assertLessEqual(len(landed), ROWS_UNDER_WAY)
        # The recorder has one PUT or DELETE under way at a time; for that one the same holds (S3 refuses it after 15 minutes).
        with self.subTest("parts are as the owner of the newer upload left them, but for the one that was under way"):
            changed = [name for name in before["parts"].keys() | after["parts"].keys() if before["parts"].get(name) != after["parts"].get(name)]
            self.assertLessEqual(len(changed), 1, f"{sorted(changed)} changed")
        with self.subTest("the inbox row is as the owner of the newer upload left it"):
            self.assertEqual(before["inbox"], after["inbox"])
        self.assertEqual(wanted.items, [held[item["offer_id"]] for item in wanted.items])
        self.assertEqual(row, job(self.key, version))
        with self.subTest("nobody will ever go on with the older upload, so its row must not say that it is under way"):
            self.assertEqual("SUPERSEDED", job(self.key, self.version)["processing_status"])

    def state(self) -> dict[str, Any]:
        return {"items": items(self.account), "parts": self.all_parts(), "inbox": inbox(self.key)}

    def all_parts(self) -> dict[str, Any]:
        """The content of each part, by its folder and name."""
        return {f"{folder}/{name}": content for folder in ("json-copy", "unprocessed") for name, content in parts(folder, self.key).items()}

    def end_worker(self) -> None:
        if self.worker in function_processes():
            os.kill(self.worker, signal.SIGKILL)


if __name__ == "__main__":
    unittest.main()
