"""Starts the processes of one pod, passes signals on, and ends with the exit code that explains what happened.

torchrun ends with 1 whatever its workers ended with; so each process leaves its ending in a directory, and the first
failure there is the pod's. Kubernetes' part comes by two variables: the pod's index and the first pod's name.
"""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from types import FrameType

from tunesmith_trainer.contract import Configuration, TerminationMessage
from tunesmith_trainer.endings import ENDINGS_DIRECTORY_VARIABLE, first_left, leave
from tunesmith_trainer.exit_codes import ErrorClass

POD_INDEX_VARIABLE = "JOB_COMPLETION_INDEX"
MASTER_ADDRESS_VARIABLE = "TUNESMITH_MASTER_ADDR"
SECONDS_TO_SAVE = 120
# Of the grace: so that the ending is told before the pod is killed.
SECONDS_TO_TELL = 10
MEMORY_EVENTS = Path("/sys/fs/cgroup/memory.events")


def launch(config: Path, configuration: Configuration) -> int:
    """Runs the pod's processes to their end; returns the exit code of the container."""
    worker = ["-m", "tunesmith_trainer", "train", "--config", str(config)]
    environment = {**threads(configuration, os.cpu_count() or 1), **os.environ}
    if configuration.world.size == 1:
        os.execve(sys.executable, [sys.executable, *worker], environment)  # noqa: S606  no shell: signals and exit code are its own
    refusal = _place_missing(configuration)
    if refusal is not None:
        sys.stderr.write(f"{refusal.message}\n")
        return leave(refusal)
    with tempfile.TemporaryDirectory(prefix="tunesmith-endings-") as directory:
        command = [sys.executable, *torchrun_arguments(configuration, os.environ), *worker]
        killed_before = memory_kills()
        code, asked = _run(command, {**environment, ENDINGS_DIRECTORY_VARIABLE: directory})
        left = first_left(Path(directory))
        killed = memory_kills() > killed_before
    return leave(explained(left, code, configuration.storage.attempt, killed_for_memory=killed, asked_to_stop=asked))


def memory_kills(events: Path = MEMORY_EVENTS) -> int:
    """How many processes of this container the kernel has killed for want of memory; 0 where it does not say."""
    try:
        counts = dict(line.split() for line in events.read_text().splitlines())
        return int(counts.get("oom_kill", 0))
    except (OSError, ValueError):
        return 0


def explained(
    left: TerminationMessage | None, code: int, attempt: int, *, killed_for_memory: bool, asked_to_stop: bool = False
) -> TerminationMessage:
    """The pod's ending: that of its processes, unless one of them was killed before it could leave any.

    A process that the kernel killed says nothing, and its peers say that they lost it: memory explains both. So does a
    stop: it ends processes that have not begun to listen, and those that are not done when the grace is over.
    """
    unsaid = left is None or (code != 0 and left.error_class is ErrorClass.SUCCESS)
    step = 0 if left is None else left.step
    if killed_for_memory and (unsaid or (left is not None and left.error_class is ErrorClass.INFRASTRUCTURE)):
        return TerminationMessage(
            attempt=attempt,
            error_class=ErrorClass.OUT_OF_MEMORY,
            step=step,
            message="The kernel killed a training process because the pod's memory was used up. Give the pod more "
            "memory, or halve the micro batch.",
        )
    if asked_to_stop and (unsaid or (left is not None and left.error_class is ErrorClass.INFRASTRUCTURE)):
        return TerminationMessage(
            attempt=attempt,
            error_class=ErrorClass.PREEMPTED,
            step=step,
            message="Asked to stop; a process ended before it could save or say anything. The last complete checkpoint "
            "stands; the next attempt goes on from there.",
        )
    if left is not None and not unsaid:
        return left
    return TerminationMessage(
        attempt=attempt,
        error_class=ErrorClass.UNCLASSIFIED,
        step=step,
        message=f"A training process ended without saying why (torchrun exit code {code}); it was probably killed. "
        "Look at the log above, and at the memory of the pod.",
    )


def threads(configuration: Configuration, cores: int) -> dict[str, str]:
    """How many threads a process computes with where the nodes are simulated: they share the cores of one machine.

    Left to itself each process takes all cores, and threads that wait for each other were seen to be ten times slower.
    """
    if not configuration.simulated_gpus:
        return {}
    return {"OMP_NUM_THREADS": str(max(1, cores // configuration.world.size))}


def torchrun_arguments(configuration: Configuration, environment: "os._Environ[str] | dict[str, str]") -> list[str]:
    """torchrun's command line for this pod, without the worker's."""
    world = configuration.world
    return [
        "-m",
        "torch.distributed.run",
        f"--nnodes={world.pods}",
        f"--nproc-per-node={world.processes_per_pod}",
        f"--node-rank={environment.get(POD_INDEX_VARIABLE, '0')}",
        f"--master-addr={environment.get(MASTER_ADDRESS_VARIABLE, '127.0.0.1')}",
        f"--master-port={world.master_port}",
        "--max-restarts=0",  # restarts in place were seen to hang; the whole group is made anew instead
        f"--shutdown-timeout={seconds_to_save(configuration)}",
    ]


def seconds_to_save(configuration: Configuration) -> int:
    """How long torchrun lets its workers go on after SIGTERM."""
    grace = configuration.checkpoints.grace_seconds
    return SECONDS_TO_SAVE if grace is None else max(1, int(grace) - SECONDS_TO_TELL)


def _place_missing(configuration: Configuration) -> TerminationMessage | None:
    if configuration.world.pods == 1:
        return None
    missing = [name for name in (POD_INDEX_VARIABLE, MASTER_ADDRESS_VARIABLE) if not os.environ.get(name)]
    if not missing:
        return None
    return TerminationMessage(
        attempt=configuration.storage.attempt,
        error_class=ErrorClass.CONFIGURATION,
        message=f"{configuration.world.pods} pods train together, but {' and '.join(missing)} is not set in this one. "
        "Run it as an Indexed Job with the first pod's name in the environment.",
    )


def _run(command: list[str], environment: dict[str, str]) -> tuple[int, bool]:
    """The exit code of the command, and whether this process was asked to stop meanwhile."""
    child = subprocess.Popen(command, env=environment)
    asked = False

    def pass_on(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        child.send_signal(number)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, pass_on)
    code = child.wait()
    return code, asked
