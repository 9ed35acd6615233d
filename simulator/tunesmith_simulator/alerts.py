"""What the provider's health checks tell of a node that is not well, and which repair each signal leads to. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from tunesmith_simulator.identifiers import derived_id
from tunesmith_simulator.remediations import RemediationMode


class AlertName(StrEnum):
    """The signals that the provider's documentation names."""

    GPU_FALLEN_OFF_BUS = "DmesgGpuFallenOffBus"
    XID_ERROR = "DmesgXidError"
    SLURM_NODE_UNAVAILABLE = "SlurmNodeUnavailable"


class Severity(StrEnum):
    """How bad it is."""

    INFO = "PHC_SEVERITY_INFO"
    WARNING = "PHC_SEVERITY_WARNING"
    CRITICAL = "PHC_SEVERITY_CRITICAL"


MNEMONICS: Mapping[str, str] = {"48": "DBE", "63": "ROW_REMAPPER", "74": "NVLINK_ERROR", "79": "GPU_FELL_OFF_THE_BUS"}
"""NVIDIA's words for a few Xid codes; for others the provider has none either."""

_TITLES = {
    AlertName.GPU_FALLEN_OFF_BUS: "GPU has fallen off the bus",
    AlertName.XID_ERROR: "NVIDIA Xid error in the kernel log",
    AlertName.SLURM_NODE_UNAVAILABLE: "Slurm node is unavailable",
}


@dataclass(frozen=True, slots=True)
class Signal:
    """What a health check saw. ``xid_code`` goes with Xid errors; ``mode`` overrides the repair that follows."""

    name: AlertName = AlertName.GPU_FALLEN_OFF_BUS
    xid_code: str = ""
    mode: RemediationMode | None = None

    @property
    def repair(self) -> RemediationMode:
        """provider: fallen off the bus means migration, an Xid error a reboot, Xid 79 migration again."""
        if self.mode is not None:
            return self.mode
        reboots = self.name is not AlertName.GPU_FALLEN_OFF_BUS and self.xid_code != "79"
        return RemediationMode.REBOOT_VM if reboots else RemediationMode.VM_ONLY


@dataclass(frozen=True, slots=True)
class Alert:
    """One firing of a signal for one node; ``remediation_id`` is empty until a repair takes it up."""

    alert_id: str
    signal: Signal
    cluster_id: str
    instance_id: str
    host_name: str
    started_at: datetime
    severity: Severity = Severity.CRITICAL
    resolved_at: datetime | None = None
    remediation_id: str = ""

    @property
    def title(self) -> str:
        """What the signal means."""
        return _TITLES[self.signal.name]

    @property
    def summary(self) -> str:
        """This firing in a line."""
        xid = f" (Xid {self.signal.xid_code})" if self.signal.xid_code else ""
        return f"{self.title}{xid} on {self.host_name}"


def raised(signal: Signal, *, cluster_id: str, instance_id: str, host_name: str, now: datetime) -> Alert:
    """A signal that fires now."""
    return Alert(
        alert_id=derived_id("alert", instance_id, signal.name.value, now.isoformat()),
        signal=signal,
        cluster_id=cluster_id,
        instance_id=instance_id,
        host_name=host_name,
        started_at=now,
    )
