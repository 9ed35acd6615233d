"""Runs the trainer's command in a child of a server that has torch loaded: real processes, started in no time."""

import errno
import itertools
import os
import resource
import signal
import sys
import threading
import time

import torch

from tunesmith_trainer import training
from tunesmith_trainer.cli import command
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.following import Follower
from tunesmith_trainer.preparation_teller import Teller
from tunesmith_trainer.progress import Reporter

WRITES = ("os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.chmod")


def run(arguments, environment, output, strike=None):
    """The target of a child process: the trainer with stdout and stderr in a file; does not return.

    `strike` kills it without grace: `{"crossing": n}` before the n-th change below the directories `under`,
    `{"after_seconds": s}`, or `{"stage": name}` when that stage begins; with none of them the crossings are only
    counted into the file `count`. With `full_at_bytes` it is not killed: from there on no file can grow beyond so many
    bytes, as on a full disk.
    """
    os.environ.update(environment)
    if environment.get("TUNESMITH_TEST_SHARD_ON_CPU"):
        from tunesmith_trainer.testing import allow_sharding_on_cpu

        allow_sharding_on_cpu()
    if environment.get("MIRROR_DIRECTORY"):
        mirror_into(environment["MIRROR_DIRECTORY"])
    if strike is not None:
        prepare(**strike)
    torch.set_num_threads(1)  # two threads that wait for each other on a busy machine are ten times slower
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    command(arguments)


def prepare(crossing=None, after_seconds=None, under=(), count=None, full_at_bytes=None, stage=None):
    """Sets the blow up: every change of a file or a name below `under` is a crossing."""
    if after_seconds is not None:
        threading.Timer(after_seconds, die).start()
    if stage is not None:
        die_in(stage)
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
        if crossed == crossing and full_at_bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (full_at_bytes, full_at_bytes))
        elif crossed == crossing:
            die()
        if count is not None:
            os.pwrite(counter, f"{crossed}\n".encode(), 0)

    if count is not None:
        counter = os.open(count, os.O_WRONLY | os.O_CREAT)
    sys.addaudithook(watch)


def die_in(stage):
    """Kills the process, a training or a preparation, once it has said that the stage begins."""
    begins = {teller: teller.stage for teller in (Reporter, Teller)}

    def begin_and_die(teller, begun):
        begins[type(teller)](teller, begun)
        if begun == stage:
            die()

    Reporter.stage = Teller.stage = begin_and_die


def die():
    """As a node dies: nothing is flushed, nobody is told."""
    os.kill(os.getpid(), signal.SIGKILL)


def mirror_into(directory):
    """Puts a directory in the place of the store; how a store is spoken to is tested where it is fetched from."""
    from obstore.store import LocalStore

    from tunesmith_trainer.object_store import ObjectStore

    def begin(self, endpoint, bucket, keys=None, limits=None):
        self._place = f"bucket '{bucket}' at {endpoint}"
        self._store = LocalStore(prefix=f"{directory}/{bucket}", mkdir=True)

    ObjectStore.__init__ = begin


def run_and_hang_in_step_7(arguments, environment, output):
    """The same with a collator that never returns after the evaluation before training and the rows of six steps."""
    attach = training.attach

    def attach_with_blocking_collator(loop, reporter, rhythm):
        collate, calls = loop.data_collator, itertools.count(1)
        loop.data_collator = lambda rows: threading.Event().wait() if next(calls) > 17 else collate(rows)
        attach(loop, reporter, rhythm)

    training.attach = attach_with_blocking_collator
    run(arguments, environment, output)


def run_and_read_weights_late(arguments, environment, output):
    """The same, but the first process has read the weights eight seconds after the others."""
    load = training.load_base

    def load_late(*given):
        if environment["RANK"] == "0":
            time.sleep(8)
        return load(*given)

    training.load_base = load_late
    run(arguments, environment, output)


def run_and_stop_in_an_evaluation(arguments, environment, output):
    """The same with a SIGTERM that comes with the sixth batch of held-out rows."""
    measured, batches = Follower.on_prediction_step, itertools.count(1)

    def stop(follower, *given, **more):
        if next(batches) == 6:
            os.kill(os.getpid(), signal.SIGTERM)
        measured(follower, *given, **more)

    Follower.on_prediction_step = stop
    run(arguments, environment, output)


def run_and_fail(arguments, environment, output):
    """The same with a training that raises what TUNESMITH_TEST_FAILURE names, when it is about to prepare its data."""

    def fail(*_):
        raise FAILURES[os.environ["TUNESMITH_TEST_FAILURE"]]

    training.run = fail
    run(arguments, environment, output)


def run_with_a_wrong_command(arguments, environment, output):
    """A command that does not exist."""
    run(["learn", *arguments[1:]], environment, output)


FAILURES = {
    "host_memory": MemoryError(),
    "cuda_memory": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB."),
    "mmap_refused": RuntimeError("mmap: Cannot allocate memory"),
    "storage_full": OSError(errno.ENOSPC, "No space left on device"),
    "lost_mount": OSError(errno.ESTALE, "Stale file handle"),
    "lost_peer": torch.distributed.DistBackendError("NCCL error: remote process exited"),
    "closed_connection": RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer"),
    "credentials": TrainerError(ErrorClass.CREDENTIALS, "The token was refused."),
    "superseded": TrainerError(ErrorClass.SUPERSEDED, "A newer attempt exists."),
    "a_bug": ZeroDivisionError("division by zero"),
}
