"""Which nodes a job may use, and onto which of them its equal pods go: fewest nodes first, then the tightest fit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from tunesmith.planning.kube_facts import GPU_RESOURCE, NodeFact, Taint


@dataclass(frozen=True)
class Tolerated:
    """One toleration. An empty key with `Exists` tolerates all; an empty effect, every effect (Kubernetes' rules)."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""
    seconds: int | None = None

    def covers(self, taint: Taint) -> bool:
        """Whether a pod with this toleration may go where that taint is."""
        if self.effect and self.effect != taint.effect:
            return False
        if self.operator == "Exists":
            return self.key in {"", taint.key}
        return self.key == taint.key and self.value == taint.value


# Every training pod carries it: GPU nodes are commonly tainted with the resource's own name.
GPU_TOLERATION = Tolerated(key=GPU_RESOURCE, operator="Exists")


@dataclass(frozen=True)
class PodPlace:
    """Where one pod of a job goes, and the GPUs it takes there."""

    node: str
    gpus: int


def may_use(node: NodeFact, selector: Mapping[str, str], tolerations: Iterable[Tolerated]) -> bool:
    """Whether a job with this selector and these tolerations could ever run on the node, ready or not."""
    if any(node.labels.get(key) != value for key, value in selector.items()):
        return False
    allowed = (GPU_TOLERATION, *tolerations)
    return all(any(one.covers(taint) for one in allowed) for taint in node.taints if _repels(taint))


def place(pods: int, gpus_per_pod: int, free: Mapping[str, int]) -> tuple[PodPlace, ...] | None:
    """Nodes for all pods, in order of completion index, or None when not all of them fit.

    `free` is the number of free GPUs by node. Pods that take no GPU fit anywhere.
    """
    left = {node: pods if gpus_per_pod == 0 else count // gpus_per_pod for node, count in free.items()}
    places: list[PodPlace] = []
    while len(places) < pods:
        node, room = _next_node(pods - len(places), left, free)
        if room == 0:
            return None
        places += [PodPlace(node, gpus_per_pod)] * min(room, pods - len(places))
        del left[node]
    return tuple(places)


def _next_node(wanted: int, room: Mapping[str, int], free: Mapping[str, int]) -> tuple[str, int]:
    """The node that takes all the rest most tightly, or else the one that takes most of it."""
    for node in sorted(room, key=lambda name: (free[name], name)):
        if room[node] >= wanted:
            return node, room[node]
    largest = min(room, key=lambda name: (-room[name], name), default="")
    return largest, room.get(largest, 0)


def _repels(taint: Taint) -> bool:
    """NotReady and the like come and go with the node's condition, which is judged apart."""
    return taint.effect in {"NoSchedule", "NoExecute"} and not taint.key.startswith("node.kubernetes.io/")
