"""What a node hands out to its pods: GPUs by index, and loopback addresses."""

import ipaddress
from collections import deque


class Gpus:
    """The node's pretended GPUs. Lost ones are those with the highest indices; who holds them keeps them."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.lost = 0
        self._held: dict[str, list[int]] = {}

    @property
    def allocatable(self) -> int:
        """GPUs that the node offers."""
        return max(0, self.capacity - self.lost)

    def take(self, pod_uid: str, count: int) -> list[int] | None:
        """Give a pod `count` GPUs; None when so many are not left."""
        taken = {index for indices in self._held.values() for index in indices}
        free = [index for index in range(self.allocatable) if index not in taken]
        if len(free) < count:
            return None
        self._held[pod_uid] = free[:count]
        return free[:count]

    def give_back(self, pod_uid: str) -> None:
        """The pod has ended."""
        self._held.pop(pod_uid, None)

    @property
    def left(self) -> int:
        """GPUs that nobody holds."""
        return self.allocatable - sum(len(indices) for indices in self._held.values())


class Addresses:
    """Loopback addresses of one node's range; one given back is used again as late as possible."""

    def __init__(self, pod_range: str) -> None:
        hosts = list(ipaddress.ip_network(pod_range).hosts())
        self._free = deque(str(address) for address in hosts[1:])

    def take(self) -> str:
        """An address for a pod; IndexError when the range is used up (the node's limit of pods is lower)."""
        return self._free.popleft()

    def give_back(self, address: str) -> None:
        """The pod has ended."""
        self._free.append(address)
