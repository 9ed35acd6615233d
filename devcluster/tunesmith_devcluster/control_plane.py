"""One control plane on loopback: prepared, started until it answers, and ended; its nodes are not its business."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from tunesmith_devcluster import components, processes
from tunesmith_devcluster.components import Binaries, Layout, Ports
from tunesmith_devcluster.environment import plain_environment
from tunesmith_devcluster.errors import DevclusterError
from tunesmith_devcluster.kubeconfig import KubernetesApi, render
from tunesmith_devcluster.pki import VALID_FOR, Authority, KeyPair, signing_keys
from tunesmith_devcluster.slots import Slot

START_SECONDS = 180  # of a machine that builds something big beside it; it takes 3 to 8
ENDING_GRACE_SECONDS = 3
# In this order they are started, and looked at when one has died.
COMPONENTS = ("etcd", "apiserver", "controller-manager", "scheduler")


class ControlPlane:
    """etcd, API server, controller manager and scheduler of one cluster, and the authority that they trust."""

    def __init__(self, layout: Layout, authority: Authority) -> None:
        self.layout = layout
        self.authority = authority

    @classmethod
    def prepare(cls, directory: Path, *, name: str, slot: Slot, dead_node_seconds: int) -> ControlPlane:
        """Write every file that the components need into an empty or new directory."""
        layout = Layout(directory, slot, Ports(*slot.free_ports(len(Ports._fields))), dead_node_seconds)
        layout.pki.mkdir(mode=0o700, parents=True, exist_ok=True)
        layout.logs.mkdir(mode=0o700, exist_ok=True)
        plane = cls(layout, Authority.create(f"tunesmith-devcluster {name}"))
        plane._write_pki()
        processes.write_atomically(layout.audit_policy, components.AUDIT_POLICY)
        plane._write_kubeconfig("admin", "admin", ["system:masters"], name)
        plane._write_kubeconfig("controller-manager", "system:kube-controller-manager", [], name)
        plane._write_kubeconfig("scheduler", "system:kube-scheduler", [], name)
        return plane

    @classmethod
    def attach(cls, layout: Layout) -> ControlPlane:
        """The control plane that was prepared in this layout before."""
        certificate = (layout.pki / "ca.crt").read_text()
        return cls(layout, Authority(KeyPair(certificate, (layout.pki / "ca.key").read_text())))

    def start(self, binaries: Binaries, say: Callable[[str], None]) -> None:
        """Start all components and wait until pods can be made: /readyz, and the account that pods run under.

        Raises `DevclusterError` with the last lines of its log when a component dies, after ending the others.
        """
        deadline = time.monotonic() + START_SECONDS
        commands = {
            "etcd": components.etcd(binaries, self.layout),
            "apiserver": components.apiserver(binaries, self.layout),
            "controller-manager": components.controller_manager(binaries, self.layout),
            "scheduler": components.scheduler(binaries, self.layout),
        }
        try:
            self._start("etcd", commands)
            self._wait(self.layout.etcd_socket.exists, "etcd to listen", deadline)
            self._start("apiserver", commands)
            with KubernetesApi(self.layout.kubeconfig("admin")) as api:
                say("waiting for the API server")
                self._wait(api.is_ready, "the API server to be ready", deadline)
                self._start("controller-manager", commands)
                self._start("scheduler", commands)
                say("waiting for the controllers")
                account = "/api/v1/namespaces/default/serviceaccounts/default"
                self._wait(lambda: api.exists(account), "the controllers to make the default service account", deadline)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all components that run; fine if none does."""
        of_etcd, *others = [self.layout.pid_file(component) for component in COMPONENTS]
        # The API server does not end in good order without etcd.
        processes.end(others, grace_seconds=ENDING_GRACE_SECONDS)
        processes.end([of_etcd], grace_seconds=ENDING_GRACE_SECONDS)

    def kubeconfig_for(self, user: str, groups: list[str], name: str, *, valid_for: timedelta = VALID_FOR) -> str:
        """The text of a kubeconfig with a new client certificate for this user."""
        return render(
            name=name,
            server=self.layout.server,
            authority_certificate=self.authority.pair.certificate,
            user=user,
            pair=self.authority.client(user, groups, valid_for=valid_for),
        )

    def _start(self, component: str, commands: dict[str, list[str | Path]]) -> None:
        processes.start(
            commands[component],
            pid_file=self.layout.pid_file(component),
            log=self.layout.log(component),
            environment=plain_environment(),
        )

    def _wait(self, condition: Callable[[], bool], what: str, deadline: float) -> None:
        while not condition():
            self._complain_about_the_dead()
            if time.monotonic() > deadline:
                raise DevclusterError(
                    f"Waited {START_SECONDS} s in vain for {what}. The logs are in {self.layout.logs}; is the machine "
                    "very busy?"
                )
            time.sleep(0.05)

    def _complain_about_the_dead(self) -> None:
        for component in COMPONENTS:
            process = processes.recorded(self.layout.pid_file(component))
            if process is not None and not process.alive:
                raise DevclusterError(
                    f"{component} ended while the control plane was starting. Its last lines "
                    f"({self.layout.log(component)}):\n{process.log_tail()}"
                )

    def _write_pki(self) -> None:
        layout = self.layout
        # What a pod may call the API server, and what KUBERNETES_SERVICE_HOST holds here.
        hosts = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"]
        own = ["localhost", "127.0.0.1"]
        self._write_pair("ca", self.authority.pair)
        self._write_pair(
            "apiserver", self.authority.server("kube-apiserver", [*hosts, *own, layout.slot.first_service_address])
        )
        self._write_pair("components", self.authority.server("components", own))
        self._write_pair(
            "apiserver-kubelet", self.authority.client("kube-apiserver-kubelet-client", ["system:masters"])
        )
        keys = signing_keys()
        processes.write_atomically(layout.pki / "service-accounts.key", keys.private)
        processes.write_atomically(layout.pki / "service-accounts.pub", keys.public)

    def _write_pair(self, name: str, pair: KeyPair) -> None:
        processes.write_atomically(self.layout.pki / f"{name}.crt", pair.certificate)
        processes.write_atomically(self.layout.pki / f"{name}.key", pair.key)

    def _write_kubeconfig(self, file: str, user: str, groups: list[str], name: str) -> None:
        processes.write_atomically(self.layout.kubeconfig(file), self.kubeconfig_for(user, groups, name))
