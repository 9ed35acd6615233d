"""The processes that train together: joining, one answer for all, and the questions all must answer alike."""

import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.devices import wants_gpus
from tunesmith_trainer.endings import classified
from tunesmith_trainer.exit_codes import ErrorClass, TrainerError

T = TypeVar("T")

# Preparing a large dataset on the first process may take hours; a peer that dies is noticed at once all the same,
# because its connections close. One that is cut off is not: while it trains, the collective time-out holds.
PATIENCE = timedelta(hours=24)


@dataclass(frozen=True)
class World:
    """This process among the others. Rank 0 alone writes to the storage and speaks."""

    rank: int
    size: int
    local_rank: int
    _control: Any = None  # a gloo group: agreeing costs no GPU synchronisation
    _patient: Any = None  # the same with PATIENCE

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def first(self, act: Callable[[], T]) -> T:
        """What `act` returns on rank 0, on every rank. What it raises there ends every rank with the same class.

        It may take hours.
        """
        if self.size == 1:
            return act()
        import torch.distributed as dist

        box: list[bytes | None] = [None]
        failure: BaseException | None = None
        if self.is_first:
            try:
                box[0] = pickle.dumps(act())
            except Exception as error:  # the others must hear of it before it ends this process
                failure = error
                box[0] = pickle.dumps(classified(error))
        dist.broadcast_object_list(box, src=0, group=self._patient)
        if failure is not None:
            raise failure
        answer: T | TrainerError = pickle.loads(box[0] or b"")  # noqa: S301  from our own rank 0
        if isinstance(answer, TrainerError):
            raise answer
        return answer

    def any(self, here: bool, *, patiently: bool = False) -> bool:
        """True on all ranks when it is true on one."""
        return self.highest(int(here), patiently=patiently)[0] > 0

    def highest(self, *here: int, patiently: bool = False) -> tuple[int, ...]:
        """Of each number the highest of all ranks, on all ranks.

        Args:
            patiently: one may come long after the others, such as rank 0 after writing what it alone writes.
        """
        if self.size == 1:
            return here
        import torch
        import torch.distributed as dist

        numbers = torch.tensor(here)
        dist.all_reduce(numbers, op=dist.ReduceOp.MAX, group=self._patient if patiently else self._control)
        return tuple(int(number) for number in numbers)

    def raise_first(self, failure: BaseException | None) -> None:
        """Called on all ranks when one has failed: each raises the failure of the lowest rank that has one."""
        if self.size > 1:
            import torch.distributed as dist

            found: list[TrainerError | None] = [None] * self.size
            dist.all_gather_object(found, None if failure is None else classified(failure), group=self._control)
            failure = failure or next((one for one in found if one is not None), None)
        if failure is not None:
            raise failure

    def wait_for_all(self) -> None:
        """Returns when every rank has come here, which may take hours."""
        self.any(False, patiently=True)


@contextmanager
def joined(configuration: Configuration) -> Iterator[World]:
    """This process's world, from the environment that torchrun sets; without it, a world of one.

    Raises:
        TrainerError: of class limits, when the processes started are not those of the configuration.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    rank = int(os.environ.get("RANK", "0"))
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    expected = configuration.world.size
    if size != expected:
        raise TrainerError(
            ErrorClass.LIMITS,
            f"{size} processes were started, but the configuration's world is {configuration.world.pods} pods x "
            f"{configuration.world.processes_per_pod} processes = {expected}. "
            "Start it with 'tunesmith-trainer launch'.",
        )
    if size == 1:
        yield World(rank, size, local_rank)
        return
    import torch
    import torch.distributed as dist

    timeout = timedelta(seconds=configuration.world.collective_timeout_seconds)
    use_gpus = wants_gpus(configuration)
    if use_gpus:
        torch.cuda.set_device(local_rank)
    dist.init_process_group("nccl" if use_gpus else "gloo", timeout=timeout)
    control, patient = (dist.new_group(backend="gloo", timeout=limit) for limit in (timeout, PATIENCE))
    yield World(rank, size, local_rank, control, patient)
    dist.destroy_process_group()
