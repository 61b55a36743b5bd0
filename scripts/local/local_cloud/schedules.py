"""EventBridge Scheduler: a `rate()` schedule without a start date fires at once, as on AWS, and the clock is looked at every second."""

from __future__ import annotations

from ministack.services import scheduler


def mark_new_rates_due() -> None:
    """Gives each rate schedule that has not fired yet a last time in the distant past."""
    for key, schedule in list(scheduler._schedules._data.items()):
        if schedule.get("ScheduleExpression", "").startswith("rate(") and not schedule.get("StartDate"):
            scheduler._schedule_last_fired.setdefault(key, 0.0)


def apply() -> None:
    """Installs both."""
    original = scheduler._tick_schedules

    def tick_schedules() -> None:
        mark_new_rates_due()
        original()

    scheduler._tick_schedules = tick_schedules
    scheduler._SCHEDULE_TICK_INTERVAL = 1
