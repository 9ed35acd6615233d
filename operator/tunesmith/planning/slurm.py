"""What is different about a Slurm cluster: bought, followed and sized like others, but no training job runs on it.

provider: a Slurm cluster is a Kubernetes with Slinky on it, so it has a kubeconfig and nodes like the others.
"""

from __future__ import annotations

from tunesmith.resources.gpu_cluster import GPUClusterSpec
from tunesmith.resources.gpu_cluster_parts import ClusterType


def is_slurm(spec: GPUClusterSpec) -> bool:
    """Slurm gives out its nodes, not we: no jobs' namespace, no claim, no admission."""
    return spec.cluster_type is ClusterType.SLURM


def what_is_different(spec: GPUClusterSpec) -> str:
    """What the Ready message adds, with a space before it; empty for other clusters."""
    if not is_slurm(spec):
        return ""
    return " Slurm runs them: log in to 'slurm-login', where the shared volume is `/home`; FineTuneJobs need another."
