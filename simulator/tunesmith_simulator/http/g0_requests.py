"""What clients may send in the dialect of September 2025 (``/gpu_cluster``), checked strictly.

The enumerations of that time have a zero value that stands for nothing said; it is refused where a word is needed.
"""

from typing import Literal

from pydantic import NonNegativeInt

from tunesmith_simulator.http.bodies import Sent

DriverWord = Literal["UNKNOWN_DRIVER", "CUDA_12_5_555", "CUDA_12_6_560", "CUDA_12_6_565", "CUDA_12_8_570"]
GpuWord = Literal["UNKNOWN_GPU_TYPE", "H100_SXM", "H200_SXM", "RTX_6000_PCI"]
TypeWord = Literal["UNKNOWN_TYPE", "KUBERNETES", "SLURM"]
BillingWord = Literal["UNSPECIFIED", "RESERVED", "ON_DEMAND"]


class SharedVolumeCreate(Sent):
    """A volume, made alone or inline with a cluster."""

    volume_name: str
    size_tib: NonNegativeInt
    region: str


class SharedVolumeUpdate(Sent):
    """A volume's new size."""

    volume_id: str
    size_tib: NonNegativeInt


class GpuClusterCreate(Sent):
    """A new cluster. ``duration_days`` is required for every billing type, and means something for RESERVED only."""

    region: str
    gpu_type: GpuWord
    num_gpus: int
    cluster_name: str
    duration_days: NonNegativeInt
    driver_version: DriverWord
    billing_type: BillingWord
    cluster_type: TypeWord | None = None
    shared_volume: SharedVolumeCreate | None = None
    volume_id: str | None = None


class GpuClusterUpdate(Sent):
    """A change to a cluster, whose id is in the body."""

    cluster_id: str
    cluster_type: TypeWord | None = None
    num_gpus: NonNegativeInt | None = None
