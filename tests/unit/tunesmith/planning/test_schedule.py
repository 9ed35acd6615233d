"""Office hours: cron lines in a time zone, over nights, weekends and the hours that come twice or never."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from tunesmith.planning.schedule import BadSchedule, Hours, hours_at
from tunesmith.resources.gpu_cluster_parts import Schedule


def a_schedule(start="0 8 * * 1-5", stop="0 20 * * *", zone="Europe/Berlin"):
    return Schedule.model_validate({"start": start, "stop": stop, "timeZone": zone})


def utc(text):
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-01-05T06:59:59", False),  # Monday, 07:59 in Berlin
        ("2026-01-05T07:00:00", True),
        ("2026-01-05T18:59:59", True),
        ("2026-01-05T19:00:00", False),
        ("2026-01-10T12:00:00", False),  # Saturday
        ("2026-07-06T06:00:00", True),  # in summer Berlin is two hours ahead
        ("2026-07-06T18:00:00", False),
    ],
)
def test_the_hours_are_those_of_the_time_zone(now, expected):
    assert hours_at(a_schedule(), utc(now)).open is expected


def test_hours_say_since_when_and_until_when():
    closed = hours_at(a_schedule(), utc("2026-01-09T22:00:00"))  # Friday night
    assert closed == Hours(False, utc("2026-01-09T19:00:00"), utc("2026-01-12T07:00:00"), utc("2026-01-09T07:00:00"))
    is_open = hours_at(a_schedule(), utc("2026-01-12T08:00:00"))
    assert (is_open.open, is_open.since, is_open.until) == (
        True,
        utc("2026-01-12T07:00:00"),
        utc("2026-01-12T19:00:00"),
    )


@pytest.mark.parametrize(
    ("zone", "start", "moments"),
    [
        # The clock goes from 02:00 to 03:00 on March 29: 02:30 is right after the gap.
        ("Europe/Berlin", "30 2 * * *", {"2026-03-29T00:59:00": False, "2026-03-29T01:00:00": True}),
        # The clock goes from 02:00 to 03:00 on October 4 in the southern spring.
        ("Australia/Sydney", "30 2 * * *", {"2026-10-03T15:59:00": False, "2026-10-03T16:00:00": True}),
        # The clock goes back from 03:00 to 02:00 on October 25: the first 02:30 counts, and once it is open it stays.
        (
            "Europe/Berlin",
            "30 2 * * *",
            {
                "2026-10-25T00:29:00": False,
                "2026-10-25T00:30:00": True,
                "2026-10-25T01:10:00": True,
                "2026-10-25T01:45:00": True,
            },
        ),
        # The same on the southern hemisphere, on April 5; and by half an hour on Lord Howe Island.
        ("Australia/Sydney", "30 2 * * *", {"2026-04-04T15:29:00": False, "2026-04-04T15:30:00": True}),
        (
            "Australia/Lord_Howe",
            "45 1 * * *",
            {"2026-04-04T14:44:00": False, "2026-04-04T14:45:00": True, "2026-04-04T15:10:00": True},
        ),
    ],
)
def test_an_hour_that_is_skipped_counts_after_the_gap_and_one_that_comes_twice_counts_once(zone, start, moments):
    schedule = a_schedule(start=start, stop="0 12 * * *", zone=zone)
    assert {moment: hours_at(schedule, utc(moment)).open for moment in moments} == moments


def test_a_start_and_a_stop_at_the_same_moment_cost_nothing():
    never = hours_at(a_schedule(start="0 8 * * *", stop="0 8 * * *"), utc("2026-01-05T12:00:00"))
    assert (never.open, never.until) == (False, None)


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"start": "0 25 * * *"}, "start"),
        ({"stop": "every day at * noon"}, "stop"),
        ({"stop": "0 0 31 2 *"}, "stop"),
        ({"zone": "Europe/Utopia"}, "timeZone"),
        ({"zone": "Europe"}, "timeZone"),
        ({"zone": "../etc/passwd"}, "timeZone"),
    ],
)
def test_a_schedule_that_cannot_be_read_says_which_part(wrong, named):
    answer = hours_at(a_schedule(**wrong), utc("2026-01-05T12:00:00"))
    assert isinstance(answer, BadSchedule)
    assert f"`spec.schedule.{named}`" in answer.why


ZONES = ["Europe/Berlin", "America/New_York", "Australia/Sydney", "Australia/Lord_Howe", "Asia/Kolkata", "Etc/UTC"]
lines = st.builds("{} {} * * {}".format, st.integers(0, 59), st.integers(0, 23), st.sampled_from(["*", "1-5", "6"]))


@settings(max_examples=150, deadline=None)
@given(lines, lines, st.sampled_from(ZONES), st.integers(0, 2 * 366 * 24 * 60))
def test_the_hours_are_what_a_watcher_of_every_moment_would_have_seen(start, stop, zone, minutes):
    """Both lines are walked through from a month before, forwards only; the answer agrees with the newest moment."""
    now = utc("2026-01-01T00:00:00") + timedelta(minutes=minutes)
    hours = hours_at(a_schedule(start, stop, zone), now)
    newest = [max((at for at in walked(line, zone, now) if at <= now), default=None) for line in (start, stop)]
    assert hours.open is (newest[0] > newest[1])
    assert hours.opened == newest[0]
    if hours.until is not None:
        assert hours.until > now
        assert hours_at(a_schedule(start, stop, zone), hours.until).open is not hours.open
        assert hours_at(a_schedule(start, stop, zone), hours.until - timedelta(minutes=1)).open is hours.open


def walked(line, zone, now):
    for at in CronSim(line, (now - timedelta(days=30)).astimezone(ZoneInfo(zone))):
        moment = at.astimezone(UTC)
        yield moment
        if moment > now + timedelta(days=1):
            return
