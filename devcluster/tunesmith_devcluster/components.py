"""The command lines of a control plane's four programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tunesmith_devcluster.slots import Slot

AUDIT_POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
  - level: Metadata
"""


@dataclass(frozen=True)
class Binaries:
    """Where the programs are."""

    apiserver: Path
    controller_manager: Path
    scheduler: Path
    etcd: Path


class Ports(NamedTuple):
    """Where the components listen, on 127.0.0.1."""

    api: int
    controller_manager: int
    scheduler: int


@dataclass(frozen=True)
class Layout:
    """Where the files of one control plane lie, all under one directory but for etcd's socket.

    The socket lies in the slot's runtime directory, because the path of a socket must be shorter than 108 characters.
    """

    directory: Path
    slot: Slot
    ports: Ports
    dead_node_seconds: int

    @property
    def pki(self) -> Path:
        """Keys and certificates."""
        return self.directory / "pki"

    @property
    def logs(self) -> Path:
        """One log per component."""
        return self.directory / "logs"

    @property
    def audit_log(self) -> Path:
        """One JSON event per line, one per request, at Metadata level."""
        return self.directory / "audit.log"

    @property
    def audit_policy(self) -> Path:
        """What the audit log holds."""
        return self.directory / "audit-policy.yaml"

    @property
    def etcd_socket(self) -> Path:
        """etcd listens nowhere else, so only this user can read the cluster's secrets past the API server."""
        return self.slot.runtime_directory / "etcd.sock"

    @property
    def server(self) -> str:
        """The API server's address."""
        return f"https://127.0.0.1:{self.ports.api}"

    def pid_file(self, component: str) -> Path:
        """Who runs as this component."""
        return self.directory / f"{component}.pid"

    def log(self, component: str) -> Path:
        """What the component wrote."""
        return self.logs / f"{component}.log"

    def kubeconfig(self, user: str) -> Path:
        """The kubeconfig of `admin` or of a component."""
        return self.directory / f"{user}.kubeconfig"


def etcd(binaries: Binaries, layout: Layout) -> list[str | Path]:
    """etcd on a socket, without fsync: the state need not survive the machine."""
    socket = f"unix://{layout.etcd_socket}"
    peer = f"unix://{layout.etcd_socket.with_name('etcd-peer.sock')}"
    return [
        binaries.etcd,
        f"--data-dir={layout.directory / 'etcd'}",
        "--unsafe-no-fsync",
        "--log-level=warn",
        f"--listen-client-urls={socket}",
        f"--advertise-client-urls={socket}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
    ]


def apiserver(binaries: Binaries, layout: Layout) -> list[str | Path]:
    """The API server as a user's would be: TLS, Node and RBAC authorization, ServiceAccount admission, audit log."""
    pki = layout.pki
    return [
        binaries.apiserver,
        f"--etcd-servers=unix://{layout.etcd_socket}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={layout.ports.api}",
        f"--service-cluster-ip-range={layout.slot.service_range}",
        # Endpoints may not hold loopback addresses, so the Service `kubernetes` gets none.
        "--endpoint-reconciler-type=none",
        f"--tls-cert-file={pki / 'apiserver.crt'}",
        f"--tls-private-key-file={pki / 'apiserver.key'}",
        f"--client-ca-file={pki / 'ca.crt'}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki / 'service-accounts.pub'}",
        f"--service-account-signing-key-file={pki / 'service-accounts.key'}",
        f"--kubelet-certificate-authority={pki / 'ca.crt'}",
        f"--kubelet-client-certificate={pki / 'apiserver-kubelet.crt'}",
        f"--kubelet-client-key={pki / 'apiserver-kubelet.key'}",
        # Without this `kubectl logs` would look the node's name up.
        "--kubelet-preferred-address-types=InternalIP",
        f"--audit-policy-file={layout.audit_policy}",
        f"--audit-log-path={layout.audit_log}",
        "--audit-log-maxsize=2000",
        "--profiling=false",
    ]


def controller_manager(binaries: Binaries, layout: Layout) -> list[str | Path]:
    """All controllers; a dead node shows after `dead_node_seconds` instead of a minute."""
    return [
        binaries.controller_manager,
        *_client_flags(layout, "controller-manager", layout.ports.controller_manager),
        f"--service-account-private-key-file={layout.pki / 'service-accounts.key'}",
        f"--root-ca-file={layout.pki / 'ca.crt'}",
        "--use-service-account-credentials=true",
        "--node-monitor-period=1s",
        f"--node-monitor-grace-period={layout.dead_node_seconds}s",
        "--node-startup-grace-period=20s",
        "--kube-api-qps=100",
        "--kube-api-burst=200",
    ]


def scheduler(binaries: Binaries, layout: Layout) -> list[str | Path]:
    """The default scheduler."""
    return [
        binaries.scheduler,
        *_client_flags(layout, "scheduler", layout.ports.scheduler),
        "--kube-api-qps=100",
        "--kube-api-burst=200",
    ]


def _client_flags(layout: Layout, component: str, port: int) -> list[str]:
    kubeconfig = layout.kubeconfig(component)
    return [
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        f"--tls-cert-file={layout.pki / 'components.crt'}",
        f"--tls-private-key-file={layout.pki / 'components.key'}",
        "--leader-elect=false",
        "--profiling=false",
    ]
