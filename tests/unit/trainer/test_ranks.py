"""Which process the others wait for, as far as their beacons tell."""

from datetime import UTC, datetime, timedelta

import pytest

from tunesmith_trainer import ranks
from tunesmith_trainer.ranks import Beacon

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def a_beacon(rank, *, step=7, passes=0, doing="Computing", seconds_ago=1):
    return Beacon(
        rank=rank, host="pod-0", pid=100 + rank, parent=1, time=NOW - timedelta(seconds=seconds_ago), step=step,
        forward_passes=passes, doing=doing, memory_peak_bytes=0,
    )  # fmt: skip


def told(*beacons, world_size=None):
    return ranks.behind(
        {beacon.rank: beacon for beacon in beacons},
        world_size=world_size or len(beacons),
        now=NOW,
        silent_seconds=65,
    )


@pytest.mark.parametrize(
    ("late", "words"),
    [
        ({"seconds_ago": 90}, "No sign of life from rank 1 (since 90 s)"),
        ({"step": 6}, "Rank 1 is behind: it computes in step 7."),
        ({"passes": 0, "doing": "WaitingForRows"}, "Rank 1 is behind: it waits for rows in step 8."),
    ],
)
def test_the_late_one_is_named_with_what_it_does(late, words):
    assert told(a_beacon(0, passes=1), a_beacon(1, **late), a_beacon(2, passes=1)).startswith(words)


def test_among_those_at_the_same_step_one_that_waits_for_rows_keeps_the_others():
    assert told(a_beacon(0), a_beacon(1, doing="WaitingForRows")).startswith("Rank 1 is behind: it waits for rows")


def test_when_all_say_the_same_nobody_is_blamed():
    assert told(a_beacon(0), a_beacon(1)) == "All 2 processes are in step 8: it computes."


def test_one_that_was_never_heard_is_silent():
    assert "rank 1 (never heard)" in told(a_beacon(0), world_size=2)


def test_beacons_are_read_back_and_damaged_ones_left_out(tmp_path):
    ranks.light(tmp_path, ranks.own(3, step=5, forward_passes=1, doing="Saving", memory_peak_bytes=7))
    (tmp_path / ranks.DIRECTORY / "4.json").write_text("{")
    found = ranks.seen(tmp_path)
    assert list(found) == [3]
    assert (found[3].step, found[3].doing, found[3].is_of_this_pod) == (5, "Saving", True)


def test_no_beacon_makes_the_directory_of_an_attempt_that_is_not_claimed(tmp_path):
    ranks.light(tmp_path / "1", ranks.own(0, step=0, forward_passes=0, doing="Nothing", memory_peak_bytes=0))
    assert list(tmp_path.iterdir()) == []
