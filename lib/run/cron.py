"""Times of cron expressions by the clock of a time zone, as Debian's cron takes them where that clock is set.

A daily 02:30 comes once in the night in which 02:30 is twice, and at 03:00 in the one in which it is not; what runs
every hour or oftener comes as time passes.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from lib.base.errors import ConfigError


def check(expression: str, where: str) -> None:
    """Raise ConfigError, saying where it stands, for what is no cron expression of five fields."""
    fault = "" if len(expression.split()) == 5 else f"it has {len(expression.split())} fields"
    try:
        CronSim(expression, datetime.now(UTC))
    except CronSimError as error:
        fault = fault or str(error)[:1].lower() + str(error)[1:]
    if fault:
        raise ConfigError(
            f"{where}: {expression!r} is no cron expression: {fault}. Expected minute, hour, day of month, month and"
            " day of week, such as '30 2 * * *' (daily at 02:30) or '0 4 * * 0' (Sundays at 04:00)."
        )


def times_after(expression: str, zone: str, moment: datetime) -> Iterator[datetime]:
    """Yield the times after a moment, each in UTC; none where there is no such day."""
    for time in CronSim(expression, moment.astimezone(ZoneInfo(zone))):
        # Asked within the hour that is there a second time, cronsim begins with the first.
        if (found := time.astimezone(UTC)) > moment:
            yield found


def next_time(expression: str, zone: str, moment: datetime) -> datetime | None:
    """Return the first time after a moment, in UTC."""
    return next(islice(times_after(expression, zone, moment), 1), None)
