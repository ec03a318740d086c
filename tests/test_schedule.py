"""The schedule by an injected clock: times of cron expressions, what was missed, no overlap, and a clean stop."""

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest

from lib.base.errors import ConfigError, LakeError
from lib.base.files import PROJECT, file_lock
from lib.run import cron, schedule
from lib.run.flows import all_flows
from lib.run.schedule import Entry, State, Stopped
from lib.settings import load_settings
from tests.test_flows import settings_with

BERLIN = ZoneInfo("Europe/Berlin")
MINUTES = timedelta(minutes=5)
NIGHTLY = Entry("nightly", "30 2 * * *", "Europe/Berlin")


def berlin(*when: int, fold: int = 0) -> datetime:
    return datetime(*when, fold=fold, tzinfo=BERLIN)


class Clock:
    """A clock that goes on as it is slept by, until its end, when the schedule is stopped."""

    def __init__(self, now: datetime, end: datetime):
        self.time, self.end = now.astimezone(UTC), end.astimezone(UTC)
        self.sleeps: list[float] = []

    def now(self) -> datetime:
        return self.time

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 60
        self.sleeps.append(seconds)
        self.pass_by(timedelta(seconds=seconds))

    def pass_by(self, duration: timedelta) -> None:
        self.time += duration
        if self.time >= self.end:
            raise Stopped


@pytest.fixture
def keep(tmp_path):
    """Return a function that keeps a schedule for a time, and returns what ran when by the clock of Berlin."""
    state = State(tmp_path / "schedule.json")

    def keep(*entries: Entry, since: datetime, until: datetime, takes=MINUTES, busy=lambda _: False):
        clock, ran = Clock(since, until), []

        def run(flow: str) -> int:
            ran.append((flow, clock.now().astimezone(BERLIN).strftime("%m-%d %H:%M%z")))
            clock.pass_by(takes)
            return 0

        with pytest.raises(Stopped):
            schedule.keep(entries, state, run, clock, said.append, lambda: busy(clock.now().astimezone(BERLIN)))
        return ran

    said: list[str] = []
    keep.said, keep.state = said, state
    return keep


def times(expression: str, since: datetime, count: int) -> list[str]:
    found = islice(cron.times_after(expression, "Europe/Berlin", since), count)
    return [t.astimezone(BERLIN).strftime("%m-%d %H:%M%z") for t in found]


def test_a_flow_runs_at_its_times_and_not_at_the_start(keep):
    ran = keep(NIGHTLY, since=berlin(2026, 6, 1, 12), until=berlin(2026, 6, 4))
    assert ran == [("nightly", "06-02 02:30+0200"), ("nightly", "06-03 02:30+0200")]
    assert keep.said[0] == "nightly: next Tue 2026-06-02 02:30 CEST"
    assert keep.said[-1] == "nightly ended with exit code 0 after 300 s; next Thu 2026-06-04 02:30 CEST"


def test_what_was_missed_is_run_once(keep):
    keep(NIGHTLY, since=berlin(2026, 6, 1, 12), until=berlin(2026, 6, 1, 13))
    ran = keep(NIGHTLY, since=berlin(2026, 6, 9, 12), until=berlin(2026, 6, 10, 12))
    assert ran == [("nightly", "06-09 12:00+0200"), ("nightly", "06-10 02:30+0200")]
    assert "nightly: due since Tue 2026-06-02 02:30 CEST" in keep.said
    assert "nightly starts (due Tue 2026-06-02 02:30 CEST)" in keep.said


def test_several_that_were_missed_run_in_the_order_in_which_they_were_due(keep):
    later = Entry("later", "0 4 * * *", "Europe/Berlin")
    keep(later, NIGHTLY, since=berlin(2026, 6, 1, 12), until=berlin(2026, 6, 1, 13))
    ran = keep(later, NIGHTLY, since=berlin(2026, 6, 9, 12), until=berlin(2026, 6, 9, 13))
    assert ran == [("nightly", "06-09 12:00+0200"), ("later", "06-09 12:05+0200")]


def test_runs_never_overlap_and_what_comes_due_during_a_run_is_run_once_after_it(keep):
    often = Entry("often", "*/10 * * * *", "Europe/Berlin")
    ran = keep(
        often, NIGHTLY, since=berlin(2026, 6, 1, 2, 25), until=berlin(2026, 6, 1, 4), takes=timedelta(minutes=35)
    )
    assert ran == [
        ("often", "06-01 02:30+0200"),
        ("nightly", "06-01 03:05+0200"),
        ("often", "06-01 03:40+0200"),
    ]


def test_a_run_of_somebody_else_is_waited_for(keep):
    ran = keep(
        NIGHTLY, since=berlin(2026, 6, 1, 2), until=berlin(2026, 6, 1, 4),
        busy=lambda now: now < berlin(2026, 6, 1, 3, 15),
    )  # fmt: skip
    assert ran == [("nightly", "06-01 03:15+0200")]
    assert keep.said.count("nightly is due and waits: another run is at work") == 1


def test_a_run_that_was_stopped_with_the_schedule_is_run_again(keep):
    keep(NIGHTLY, since=berlin(2026, 6, 1, 2), until=berlin(2026, 6, 1, 2, 32))
    assert keep.said[-1] == "nightly was stopped, and is run when the schedule is back"
    ran = keep(NIGHTLY, since=berlin(2026, 6, 1, 9), until=berlin(2026, 6, 1, 10))
    assert ran == [("nightly", "06-01 09:00+0200")]
    assert keep(NIGHTLY, since=berlin(2026, 6, 1, 11), until=berlin(2026, 6, 1, 12)) == []
    note = json.loads(keep.state.path.read_text())["nightly"]
    assert (note["due"], note["exit_code"]) == ("2026-06-01T00:30:00+00:00", 0)


def test_new_times_of_a_flow_make_nothing_due_that_is_past(keep):
    keep(NIGHTLY, since=berlin(2026, 6, 1, 12), until=berlin(2026, 6, 1, 13))
    hourly = Entry("nightly", "0 * * * *", "Europe/Berlin")
    assert keep(hourly, since=berlin(2026, 6, 9, 12, 30), until=berlin(2026, 6, 9, 12, 59)) == []


def test_a_daily_time_that_is_twice_in_a_night_runs_once_and_one_that_is_not_at_three(keep):
    back = keep(NIGHTLY, since=berlin(2026, 10, 24, 12), until=berlin(2026, 10, 26, 12))
    assert [when for _, when in back] == ["10-25 02:30+0200", "10-26 02:30+0100"]
    forward = keep(NIGHTLY, since=berlin(2027, 3, 27, 12), until=berlin(2027, 3, 29, 12))[-2:]
    assert [when for _, when in forward] == ["03-28 03:00+0200", "03-29 02:30+0200"]


def test_a_schedule_that_comes_back_between_the_two_half_past_twos_does_not_run_it_again(keep):
    keep(NIGHTLY, since=berlin(2026, 10, 25, 1), until=berlin(2026, 10, 25, 2, 45))
    again = keep(NIGHTLY, since=berlin(2026, 10, 25, 2, 10, fold=1), until=berlin(2026, 10, 25, 12))
    assert again == []
    for minute in (0, 29, 31, 59):
        assert times("30 2 * * *", berlin(2026, 10, 25, 2, minute, fold=1), 1) == ["10-26 02:30+0100"]


def test_what_runs_every_half_hour_goes_on_as_time_passes():
    found = times("*/30 * * * *", berlin(2026, 10, 25, 1, 30), 5)
    assert found == ["10-25 02:00+0200", "10-25 02:30+0200", "10-25 02:00+0100", "10-25 02:30+0100", "10-25 03:00+0100"]
    assert times("*/30 * * * *", berlin(2027, 3, 28, 1), 2) == ["03-28 01:30+0100", "03-28 03:00+0200"]


@pytest.mark.parametrize("expression", ["30 2 * * *", "0 * * * *", "*/20 * * * *", "15 2,3 * * *", "0 3 * * 0"])
@pytest.mark.parametrize("night", [(2026, 10, 25), (2027, 3, 28)])
def test_whenever_it_is_asked_the_next_time_is_the_same(expression, night):
    start = berlin(*night).astimezone(UTC) - timedelta(hours=2)
    known = list(islice(cron.times_after(expression, "Europe/Berlin", start), 40))
    assert known == sorted(set(known))
    for minutes in range(0, 8 * 60, 7):
        moment = start + timedelta(minutes=minutes)
        expected = next(time for time in known if time > moment)
        assert cron.next_time(expression, "Europe/Berlin", moment) == expected, moment


def test_sunday_is_0_and_7_and_sun():
    for day in ("0", "7", "SUN"):
        assert times(f"0 4 * * {day}", berlin(2026, 11, 26), 2) == ["11-29 04:00+0100", "12-06 04:00+0100"]


def test_times_are_those_of_the_flows_own_zone_and_the_shops_where_it_has_none(tmp_path):
    flows = "{here: {cron: 0 2 * * *}, there: {cron: 0 2 * * *, time_zone: Asia/Kolkata}}"
    settings = settings_with(tmp_path, flows)
    here, there = schedule.entries(settings)
    now = datetime(2026, 6, 1, tzinfo=UTC)
    assert here.next_after(now) == datetime(2026, 6, 2, 0, 0, tzinfo=UTC)
    assert there.next_after(now) == datetime(2026, 6, 1, 20, 30, tzinfo=UTC)
    rows = schedule.listed(settings, [there], now, 2)
    assert rows == [["there", "0 2 * * *", "Asia/Kolkata", "Tue 2026-06-02 02:00 IST, Wed 2026-06-03 02:00 IST", ""]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "mine: {cron: 0 25 * * *}",
            r"flows.mine.cron: '0 25 \* \* \*' is no cron expression: bad hour. Expected minute",
        ),
        ("mine: {cron: 0 2 * *}", "it has 4 fields"),
        ("mine: {cron: 0 0 2 * * *}", "it has 6 fields"),
        ("mine: {cron: daily}", "it has 1 fields"),
        ("mine: {cron: 0 2 30 2 *}", "no cron expression: bad day-of-month"),
    ],
)
def test_a_mistake_in_a_cron_expression_is_said_with_its_key(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message):
        all_flows(settings_with(tmp_path, text))


def test_a_schedule_of_nothing_is_refused(tmp_path):
    settings = settings_with(tmp_path, "{mine: {}, other: {cron: 0 2 * * *}}")
    assert [entry.flow for entry in schedule.entries(settings)] == ["other"]
    with pytest.raises(ConfigError, match=r"The flow mine has no cron expression: set flows.mine.cron"):
        schedule.entries(settings, ["mine"])
    with pytest.raises(ConfigError, match="No flow has a cron expression"):
        schedule.entries(settings_with(tmp_path, "mine: {}"))


def test_a_run_at_work_and_another_schedule_are_noticed(tmp_path):
    settings = load_settings(data_dir=tmp_path)
    assert not schedule.is_busy(settings)
    with file_lock(tmp_path / ".run.lock", 0, ""):
        assert schedule.is_busy(settings)
    with (
        schedule.alone(settings, "schedule"),
        pytest.raises(LakeError, match="Another schedule is at work"),
        schedule.alone(settings, "schedule"),
    ):
        pass


def test_the_list_and_a_clean_stop_of_the_command(shop_at):
    shop = shop_at("schedule")
    listed = shop.run("schedule", "--list")
    assert listed.returncode == 0 and "weekly_full_pipeline\t0 4 * * 0\tEurope/Berlin\tSun " in listed.stdout
    assert not shop.data.exists()
    process = shop.start("schedule", "--flow", "daily_quality_check")
    assert "daily_quality_check: next " in process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "") and output.rstrip().endswith("stopped")


def test_a_run_is_ended_with_its_schedule(tmp_path):
    """However the schedule ends: asked to, or killed."""
    script = tmp_path / "run_pipeline.py"
    script.write_text(
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path(sys.argv[1]).write_text('ended'), sys.exit(1)))\n"
        "print('up', flush=True)\ntime.sleep(60)"
    )
    code = (
        "import pathlib, sys\nfrom lib.run import schedule\nfrom lib.settings import load_settings\n"
        f"schedule.PROJECT = pathlib.Path({str(tmp_path)!r})\n"
        "try:\n with schedule.alone(load_settings(data_dir=sys.argv[1]), 'schedule'):\n"
        "  schedule.run_process([sys.argv[2]])\n"
        "except schedule.Stopped: sys.exit(7)"
    )
    for number, expected in ((signal.SIGTERM, 7), (signal.SIGKILL, -9)):
        mark = tmp_path / f"mark-{number}"
        command = [sys.executable, "-c", code, str(tmp_path / "data"), str(mark)]
        environment = os.environ | {"PYTHONPATH": str(PROJECT)}
        with subprocess.Popen(command, cwd=PROJECT, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "up\n"
            process.send_signal(number)
            assert process.wait(20) == expected
        deadline = time.monotonic() + 20
        while not mark.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert mark.read_text() == "ended"
