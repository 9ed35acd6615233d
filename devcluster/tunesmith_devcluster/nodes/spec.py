"""What one process node shall look like to Kubernetes: its name, GPUs, CPUs, memory and labels.

Says nothing about how the node runs; that is the business of the rest of `nodes/`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class NodeSpec:
    """One node to register: capacities are what the scheduler sees, not what the machine has.

    `backoff_factor` shortens the back-off before restarts and image pulls; tests set it below 1.
    """

    name: str
    gpus: int = 8
    gpu_product: str = "NVIDIA-H100-80GB-HBM3"
    cpus: int = 64
    memory_gib: int = 512
    labels: Mapping[str, str] = field(default_factory=dict)
    backoff_factor: float = 1.0

    def to_json(self) -> str:
        """The spec as a JSON object with this class's field names."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> NodeSpec:
        """The inverse of `to_json`. Raises `TypeError` for a field that does not exist."""
        fields: dict[str, Any] = json.loads(text)
        return cls(**fields)
