"""Runs the trainer's command in a child of a server that has torch loaded: real processes, started in no time."""

import os
import signal
import sys
import threading

import torch

from tunesmith_trainer.cli import command

WRITES = ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.chmod")


def run(arguments, environment, output, strike=None):
    """The target of a child process: the trainer with stdout and stderr in a file; does not return.

    `strike` kills it without grace: `{"crossing": n}` before the n-th change below the directories `under`, or
    `{"after_seconds": s}`; with neither, the crossings are only counted into the file `count`.
    """
    os.environ.update(environment)
    if environment.get("TUNESMITH_TEST_SHARD_ON_CPU"):
        from tunesmith_trainer.testing import allow_sharding_on_cpu

        allow_sharding_on_cpu()
    if strike is not None:
        prepare(**strike)
    torch.set_num_threads(1)  # two threads that wait for each other on a busy machine are ten times slower
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    command(arguments)


def prepare(crossing=None, after_seconds=None, under=(), count=None):
    """Sets the blow up: every change of a file or a name below `under` is a crossing."""
    if after_seconds is not None:
        threading.Timer(after_seconds, die).start()
    crossed = 0

    def watch(event, arguments):
        nonlocal crossed
        if event == "open":
            changes = isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        else:
            changes = event in WRITES
        if not changes or not isinstance(arguments[0], str | os.PathLike):
            return
        if not any(str(directory) in os.fspath(arguments[0]) for directory in under):
            return
        crossed += 1
        if crossed == crossing:
            die()
        if count is not None:
            os.pwrite(counter, f"{crossed}\n".encode(), 0)

    if count is not None:
        counter = os.open(count, os.O_WRONLY | os.O_CREAT)
    sys.addaudithook(watch)


def die():
    """As a node dies: nothing is flushed, nobody is told."""
    os.kill(os.getpid(), signal.SIGKILL)
