"""Eleven bugs to find, one of each class that operators of this kind are known for. Each is planted into the real code.

The classes a to k: crash after create before record; crash after delete before the finalizer goes; a stale owner; list
lag read as "gone"; a kubeconfig of a cluster that was recreated; a status written by an older leader; a field removed
but not undone; an error that needs a deletion by hand; a timer reset by every restart; a hot loop from own writes;
money that is in no sum.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

from tunesmith.cloud.accounts import Account
from tunesmith.controllers import gpu_cluster as cluster_controller
from tunesmith.controllers.reconciler import Reconciler
from tunesmith.planning import (
    absence,
    cluster_account,
    cluster_kubeconfig,
    cluster_purchase,
    cluster_status,
    giving_back,
    gpu_cluster,
    incarnation,
    lifetime,
    purchase,
    release,
)
from tunesmith.planning.naming import ProviderName
from tunesmith.planning.purchase import CloseIntent, OpenIntent, Pause

Plant = Callable[[], Any]
NEVER_SECONDS = 1e9
PAUSED_SECONDS = 10.0


def _all(*patches: Any) -> Any:
    stack = ExitStack()
    for each in patches:
        stack.enter_context(each)
    return stack


def forgets_an_order_after_a_crash() -> Any:
    """a: an intent that this process did not write itself is ordered anew at once."""
    return patch.object(purchase, "_ambiguous", lambda *_: OpenIntent("whoever wrote it is dead"))


def believes_only_its_own_delete() -> Any:
    """b: absence counts only when this very process has sent the DELETE, so a crash after it is never got over."""
    real = giving_back._absence_of_id

    def absent(seen: Any, cluster_id: str, ending: Any) -> Any:
        if seen.memory.delete_sent is None:
            return giving_back._unproven(seen, ending, "no DELETE was sent")
        return real(seen, cluster_id, ending)

    return patch.object(giving_back, "_absence_of_id", absent)


def takes_another_objects_cluster() -> Any:
    """c: a name is believed without its uid, so an object that was made again owns what its namesake kept."""
    return patch.object(ProviderName, "is_same_object", lambda self, other: self.identity == other.identity)


def believes_a_list_that_lags() -> Any:
    """d: what a list lacks is gone."""

    async def look_up(self: Account, cluster_id: str) -> None:
        self._apart.clusters.pop(cluster_id, None)
        self._apart.not_found[cluster_id] = self._monotonic()

    return _all(
        patch.object(Account, "_look_up_cluster", look_up),
        patch.object(giving_back, "is_absent_twice", lambda *_: True),
        patch.object(absence, "is_absent_twice", lambda *_: True),
    )


def keeps_the_first_kubeconfig() -> Any:
    """e: a Secret that exists is taken for the right one, although the cluster is another by now."""
    real = cluster_kubeconfig.kubeconfig_missing

    def missing(seen: Any) -> Any:
        stored = seen.kubeconfig_secret
        if getattr(stored, "value", None) is not None:
            return None
        return real(seen)

    return _all(
        patch.object(gpu_cluster, "kubeconfig_missing", missing),
        patch.object(incarnation, "kubeconfig_left", lambda _: None),
        patch.object(release, "kubeconfig_left", lambda _: None),
    )


def overwrites_whatever_stands_there() -> Any:
    """f: a process that is paused between deciding and writing writes its status all the same, without the version that
    it decided on: so an older leader undoes a newer one's."""
    real = Reconciler._write_status

    async def write(self: Reconciler, raw: Any, status: Any) -> Any:
        await asyncio.sleep(PAUSED_SECONDS)
        metadata = {key: value for key, value in raw["metadata"].items() if key != "resourceVersion"}
        return await real(self, {**raw, "metadata": metadata}, status)

    return patch.object(Reconciler, "_write_status", write)


def never_shrinks() -> Any:
    """g: nodes that are wanted no more stay."""
    real = gpu_cluster.wrong_size
    return patch.object(
        gpu_cluster,
        "wrong_size",
        lambda seen: None if seen.bought is None or seen.bought.gpus > seen.wanted_gpus else real(seen),
    )


def gives_up_after_a_refusal() -> Any:
    """h: out of stock once is out of stock for ever, until somebody makes the resource again."""
    real = cluster_purchase.next_step

    def step(intent: Any, memory: Any, begun: Any, around: Any) -> Any:
        answer = real(intent, memory, begun, around)
        return Pause(NEVER_SECONDS) if isinstance(answer, CloseIntent) else answer

    return patch.object(cluster_purchase, "next_step", step)


def counts_from_its_own_start() -> Any:
    """i: the end of a cluster is counted from when this process saw it first."""
    real = lifetime.expires_at

    def ends(seen: Any) -> Any:
        told = real(seen)
        return told and max(told, seen.around.now + (told - seen.status.first_ready_time) / 2)

    return patch.object(lifetime, "expires_at", ends)


def writes_the_time_of_now() -> Any:
    """j: the status holds something that moves by itself."""
    real = cluster_controller.decide

    def decide(seen: Any) -> Any:
        decision = real(seen)
        moved = decision.status.model_copy(update={"last_handled_reconcile_time": str(seen.around.now)})
        return replace(decision, status=moved) if decision.status.conditions else decision

    return patch.object(cluster_controller, "decide", decide)


def forgets_what_vanished() -> Any:
    """k: what a cluster cost between the last look and its end is in no sum."""
    return _all(
        patch.object(cluster_status, "closed", lambda seen, status: status),
        patch.object(cluster_account, "closed", lambda seen, status: status),
    )


@dataclass(frozen=True)
class Planted:
    """A bug, and the words of the oracle that is to find it."""

    plant: Plant
    found_by: tuple[str, ...]


PLANTED: dict[str, Planted] = {
    "a": Planted(forgets_an_order_after_a_crash, ("bought twice",)),
    "b": Planted(believes_only_its_own_delete, ("what was deleted did not go", "came to no rest")),
    "c": Planted(takes_another_objects_cluster, ("kept apart by Retain", "nobody owns it", "came to no rest")),
    "d": Planted(believes_a_list_that_lags, ("bought twice", "was let go while")),
    "e": Planted(keeps_the_first_kubeconfig, ("came to no rest", "says Ready")),
    "f": Planted(overwrites_whatever_stands_there, ("bought twice", "was let go while", "is no more")),
    "g": Planted(never_shrinks, ("wants",)),
    "h": Planted(gives_up_after_a_refusal, ("came to no rest",)),
    "i": Planted(counts_from_its_own_start, ("was to end after",)),
    "j": Planted(writes_the_time_of_now, ("writes while nothing was to be done", "a hot loop")),
    "k": Planted(forgets_what_vanished, ("the accounts say less than was billed",)),
}


@contextmanager
def planted(letter: str) -> Iterator[None]:
    """With this bug in the operator."""
    with PLANTED[letter].plant():
        yield
