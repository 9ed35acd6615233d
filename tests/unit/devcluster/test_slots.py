"""Clusters on one machine keep out of each other's way."""

import ipaddress
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tunesmith_devcluster import processes, slots
from tunesmith_devcluster.errors import DevclusterError
from tunesmith_devcluster.slots import Slot

numbers = st.integers(0, slots.COUNT - 1)


def test_two_clusters_get_two_slots(tmp_path: Path):
    first, second = slots.take(tmp_path / "a"), slots.take(tmp_path / "b")
    assert first.number != second.number
    assert first.runtime_directory != second.runtime_directory


def test_a_slot_that_was_given_back_is_free(tmp_path: Path):
    slot = slots.take(tmp_path / "a")
    slots.give_back(slot, tmp_path / "a")
    assert slots.take(tmp_path / "b") == slot


def test_a_slot_is_not_given_back_by_who_does_not_have_it(tmp_path: Path):
    slot = slots.take(tmp_path / "a")
    slots.give_back(slot, tmp_path / "b")
    assert slots.take(tmp_path / "c") != slot


def test_a_wanted_slot_that_is_taken_is_refused(tmp_path: Path):
    slot = slots.take(tmp_path / "a")
    with pytest.raises(DevclusterError, match=f"Slot {slot.number} is taken"):
        slots.take(tmp_path / "b", slot.number)


def take_in_another_process(directory: Path) -> int:
    program = "import sys, pathlib, tunesmith_devcluster.slots as s; print(s.take(pathlib.Path(sys.argv[1])).number)"
    answer = subprocess.run([sys.executable, "-c", program, directory], capture_output=True, text=True, check=True)
    return int(answer.stdout)


def test_the_slot_of_a_crashed_starter_is_free(tmp_path: Path):
    number = take_in_another_process(tmp_path / "a")
    assert slots.take(tmp_path / "b", number).number == number


def test_the_slot_of_a_cluster_that_still_runs_is_not_though_its_starter_is_gone(tmp_path: Path):
    directory = tmp_path / "a"
    directory.mkdir()
    number = take_in_another_process(directory)
    pid_file = directory / "etcd.pid"
    process = processes.start(["/bin/sleep", "600"], pid_file=pid_file, log=tmp_path / "log", environment={})
    assert slots.take(tmp_path / "b").number != number
    os.kill(process.pid, signal.SIGKILL)
    processes.end([pid_file], grace_seconds=1)
    assert slots.take(tmp_path / "c").number == number


@given(numbers, numbers, st.integers(1, 254), st.integers(1, 254))
def test_pod_ranges_never_overlap(one: int, other: int, node: int, other_node: int):
    first = ipaddress.ip_network(Slot(one, Path()).pod_range(node))
    second = ipaddress.ip_network(Slot(other, Path()).pod_range(other_node))
    assert first.is_loopback
    assert first.overlaps(second) == ((one, node) == (other, other_node))


def test_ports_that_somebody_listens_on_are_left_alone():
    slot = Slot(59, Path())
    free = slot.free_ports(3)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free[0]))
        taken.listen()
        assert free[0] not in slot.free_ports(3)


@given(numbers, numbers)
def test_blocks_of_ports_never_overlap(one: int, other: int):
    def block(number: int) -> range:
        first = slots.FIRST_PORT + number * slots.PORTS_PER_SLOT
        return range(first, first + slots.PORTS_PER_SLOT)

    assert one == other or not set(block(one)) & set(block(other))
