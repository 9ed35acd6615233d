"""The life of one container: started, probed, ended, started again after a back-off, as its policy says."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tunesmith_devcluster.nodes import logs
from tunesmith_devcluster.nodes.api import Api, ApiError, Json, Unreachable
from tunesmith_devcluster.nodes.clock import now_text
from tunesmith_devcluster.nodes.container import ContainerProcess, Exit, StartError
from tunesmith_devcluster.nodes.environment import (
    ConfigurationError,
    Keyed,
    PodAddress,
    environment_of,
    expand,
)
from tunesmith_devcluster.nodes.events import EventRecorder
from tunesmith_devcluster.nodes.images import Image, ImageTable
from tunesmith_devcluster.nodes.pod_object import PodObject, gpus_of, limit_of
from tunesmith_devcluster.nodes.probes import Prober
from tunesmith_devcluster.nodes.sandbox import Mount
from tunesmith_devcluster.nodes.shim import ShimOrder
from tunesmith_devcluster.nodes.status import ContainerView, Role, Running, Terminated, Waiting
from tunesmith_devcluster.nodes.volumes import PodVolumes

_FIRST_BACKOFF_SECONDS = 10.0
_LONGEST_BACKOFF_SECONDS = 300.0
_FORGIVEN_AFTER_SECONDS = 600.0
_RETRY_SECONDS = 2.0
_MESSAGE_BYTES = 4096


@dataclass(frozen=True)
class Household:
    """What all pods of one node share."""

    node_name: str
    host_ip: str
    directory: Path
    api: Api
    keys: Keyed
    images: ImageTable
    events: EventRecorder
    backoff_factor: float


@dataclass
class PodHome:
    """What all containers of one pod share; the pod's worker keeps `pod` up to date."""

    household: Household
    pod: PodObject
    volumes: PodVolumes
    directory: Path
    address: PodAddress
    changed: Callable[[], None]

    @property
    def hosts_file(self) -> Path:
        """The pod's `/etc/hosts`."""
        return self.directory / "etc-hosts"


class ContainerRunner:
    """Runs one container until its policy is satisfied or it is stopped."""

    def __init__(self, home: PodHome, container: Json, role: Role, gpus: list[int], earlier: Json | None) -> None:
        self.view = ContainerView(container["name"], container["image"], role)
        self.started = asyncio.Event()
        self._home = home
        self._container = container
        self._gpus = gpus
        self._stopping = asyncio.Event()
        self._process: ContainerProcess | None = None
        self._run_ended = asyncio.Event()
        self._crashes = 0
        self._ending: asyncio.Task[None] | None = None
        if earlier is not None:
            self._take_over(earlier)

    async def run(self) -> None:
        """Return when the container has ended for good."""
        view = self.view
        ended = view.state if isinstance(view.state, Terminated) else None
        while not self._stopping.is_set():
            if ended is not None:
                if not self._again(ended):
                    return
                await self._back_off(ended)
            ended = await self._prepare_and_run(restarted=ended)

    async def stop(self, grace_seconds: float) -> None:
        """End the container and start it no more: preStop, SIGTERM, after the grace period SIGKILL."""
        self._stopping.set()
        await self._end_process(grace_seconds)

    def _take_over(self, earlier: Json) -> None:
        """Go on after a restart of the node: what was running then is lost."""
        self.view.restart_count = earlier.get("restartCount", 0)
        self.view.container_id = earlier.get("containerID", "")
        state = earlier.get("state") or {}
        if "terminated" in state:
            was = state["terminated"]
            self.view.state = Terminated(
                was["exitCode"], was.get("reason", "Error"), was.get("startedAt", now_text()),
                was.get("finishedAt", now_text()), was.get("message", ""), was.get("signal", 0),
                was.get("containerID", ""),
            )  # fmt: skip
        elif "running" in state:
            self.view.state = Terminated(
                137, "ContainerStatusUnknown", state["running"]["startedAt"], now_text(),
                "The container could not be located when the node came back", signal.SIGKILL, self.view.container_id,
            )  # fmt: skip

    def _again(self, ended: Terminated) -> bool:
        if self.view.role == "sidecar":
            return True
        policy = self._home.pod.restart_policy
        if ended.exit_code == 0:
            return self.view.role == "main" and policy == "Always"
        return policy != "Never"

    async def _back_off(self, ended: Terminated) -> None:
        """The first restart comes at once, later ones after 10 s, 20 s, ... 300 s (as kubelet), times the factor."""
        if self._crashes > 0:
            seconds = min(_LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2 ** (self._crashes - 1))
            seconds *= self._home.household.backoff_factor
            message = f"back-off {seconds:g}s restarting failed container={self.view.name} pod={self._home.pod.name}"
            self.view.last = ended
            self.view.state = Waiting("CrashLoopBackOff", message)
            self._home.changed()
            self._warn("BackOff", f"Back-off restarting failed container {self.view.name} in pod {self._home.pod.name}")
            await self._pause(seconds)
        self._crashes += 1

    async def _prepare_and_run(self, restarted: Terminated | None) -> Terminated | None:
        """One run; None when it was stopped before it began."""
        image = await self._pulled()
        if image is None:
            return None
        while not self._stopping.is_set():
            try:
                order = await self._order(image, self.view.restart_count + (restarted is not None))
            except (ConfigurationError, ApiError, Unreachable) as error:
                self.view.state = Waiting("CreateContainerConfigError", str(error))
                self._home.changed()
                self._warn("Failed", f"Error: {error}")
                await self._pause(_RETRY_SECONDS)
                continue
            if restarted is not None:
                self.view.last = restarted
                self.view.restart_count += 1
            return await self._run_once(order)
        return None

    async def _pulled(self) -> Image | None:
        """Look the image up; an unknown one is tried again for ever, as a missing image is."""
        name = self._container["image"]
        attempt = 0
        while not self._stopping.is_set():
            image = self._home.household.images.find(name)
            if image is not None:
                return image
            attempt += 1
            if attempt == 1:
                why = f'failed to pull image "{name}": not in this node\'s table of images (--images)'
                self._warn("Failed", f"Failed to pull image {name!r}: {why}")
                self.view.state = Waiting("ErrImagePull", why)
            else:
                self.view.state = Waiting("ImagePullBackOff", f'Back-off pulling image "{name}"')
                self._warn("BackOff", f'Back-off pulling image "{name}"')
            self._home.changed()
            longest = min(_LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2 ** max(0, attempt - 2))
            await self._pause((_RETRY_SECONDS if attempt == 1 else longest) * self._home.household.backoff_factor)
        return None

    async def _order(self, image: Image, restart: int) -> ShimOrder:
        home, container = self._home, self._container
        base = image.variables() | self._node_variables()
        variables = await environment_of(home.pod, container, base, home.address, home.household.keys)
        command = list(container.get("command") or image.command)
        arguments = list(container.get("args") or ([] if container.get("command") else image.args))
        if not command + arguments:
            raise ConfigurationError(f'no command specified, and image "{container["image"]}" has none')
        place = home.directory / "containers" / self.view.name
        root = place / "root"
        root.mkdir(parents=True, exist_ok=True)
        self._message_file.write_bytes(b"")
        self._message_file.chmod(0o666)
        log = self._log_path(restart)
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
        volumes = list(home.volumes.mounts(container, variables))
        mounts = [
            Mount(str(home.hosts_file), "/etc/hosts"),
            Mount(str(self._message_file), container.get("terminationMessagePath") or "/dev/termination-log"),
            *volumes,
            *(Mount(path, path) for path in image.hidden_by(volume.target for volume in volumes)),
        ]
        return ShimOrder(
            command=[expand(part, variables) for part in command + arguments],
            environment=variables,
            working_directory=container.get("workingDir") or image.working_directory,
            hostname=home.pod.hostname,
            root=str(root),
            log=str(log),
            user_namespace=os.geteuid() != 0,
            mounts=mounts,
        )

    def _node_variables(self) -> dict[str, str]:
        access = self._home.household.api.access
        variables = {
            "HOSTNAME": self._home.pod.hostname,
            "KUBERNETES_SERVICE_HOST": access.host,
            "KUBERNETES_SERVICE_PORT": str(access.port),
            "KUBERNETES_SERVICE_PORT_HTTPS": str(access.port),
        }
        if gpus_of(self._container):
            variables["NVIDIA_VISIBLE_DEVICES"] = ",".join(str(index) for index in self._gpus)
        return variables

    async def _run_once(self, order: ShimOrder) -> Terminated:
        began = now_text()
        monotonic = time.monotonic()
        memory = limit_of(self._container, "memory")
        self.view.container_id = f"process://{self._home.pod.uid}/{self.view.name}/{self.view.restart_count}"
        try:
            process = await ContainerProcess.start(order, int(memory) if memory is not None else None)
        except StartError as error:
            self._warn("Failed", f"Error: failed to start container {self.view.name}: {error}")
            return self._set_ended(Terminated(128, "StartError", began, now_text(), str(error)))
        self._process = process
        self._run_ended.clear()
        if self._stopping.is_set():  # asked to stop while it was being started
            process.signal(signal.SIGKILL)
        self.view.state = Running(began)
        self._home.household.events.normal(self._home.pod, "Started", f"Started container {self.view.name}")
        probing = asyncio.create_task(self._probe(process, order.environment))
        self._home.changed()
        ended = await process.wait()
        probing.cancel()
        self._process = None
        self._run_ended.set()
        if time.monotonic() - monotonic > _FORGIVEN_AFTER_SECONDS:
            self._crashes = 0
        return self._set_ended(self._terminated(ended, began))

    def _set_ended(self, ended: Terminated) -> Terminated:
        self.view.state = ended
        self.view.started = False
        self.view.ready = self.view.role == "init" and ended.exit_code == 0
        self._home.changed()
        return ended

    def _terminated(self, ended: Exit, began: str) -> Terminated:
        message = self._message_file.read_bytes()[:_MESSAGE_BYTES].decode(errors="replace")
        wants_log = self._container.get("terminationMessagePolicy") == "FallbackToLogsOnError"
        if not message and ended.exit_code != 0 and wants_log:
            message = logs.last_words(self._log_path(self.view.restart_count))
        reason = "Completed" if ended.exit_code == 0 else "OOMKilled" if ended.out_of_memory else "Error"
        return Terminated(ended.exit_code, reason, began, now_text(), message, ended.signal, self.view.container_id)

    async def _probe(self, process: ContainerProcess, environment: dict[str, str]) -> None:
        """Startup first; then liveness and readiness side by side."""

        async def execute(command: list[str], timeout_seconds: float) -> tuple[int, str]:
            return await process.execute(command, environment, timeout_seconds)

        def prober(kind: str) -> Prober | None:
            probe = self._container.get(kind)
            return Prober(probe, self._container, self._home.address.pod_ip, execute) if probe else None

        startup, liveness, readiness = (prober(f"{kind}Probe") for kind in ("startup", "liveness", "readiness"))
        if startup is not None:
            await startup.watch(self._heard_startup)
            if not self.view.started:
                return
        self._set_started(ready=readiness is None)
        async with asyncio.TaskGroup() as group:
            if liveness is not None:
                group.create_task(liveness.watch(self._heard_liveness))
            if readiness is not None:
                group.create_task(readiness.watch(self._heard_readiness))

    def _set_started(self, *, ready: bool) -> None:
        self.view.started = True
        self.view.ready = ready
        self.started.set()
        self._home.changed()

    def _heard_startup(self, healthy: bool, words: str) -> bool:
        if healthy:
            self.view.started = True
        else:
            self._kill_for("startup", words)
        return False

    def _heard_liveness(self, healthy: bool, words: str) -> bool:
        if healthy:
            return True
        self._kill_for("liveness", words)
        return False

    def _heard_readiness(self, healthy: bool, words: str) -> bool:
        if not healthy:
            self._warn("Unhealthy", f"Readiness probe failed: {words}")
        if self.view.ready != healthy:
            self.view.ready = healthy
            self._home.changed()
        return True

    def _kill_for(self, kind: str, words: str) -> None:
        self._warn("Unhealthy", f"{kind.capitalize()} probe failed: {words}")
        self._home.household.events.normal(
            self._home.pod, "Killing", f"Container {self.view.name} failed {kind} probe, will be ended"
        )
        probe = self._container[f"{kind}Probe"]
        grace = probe.get("terminationGracePeriodSeconds", self._home.pod.grace_seconds)
        self._ending = asyncio.create_task(self._end_process(float(grace)))  # not of the probes' task, which ends first

    async def _end_process(self, grace_seconds: float) -> None:
        process = self._process
        if process is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_seconds):
                await self._pre_stop(process)
                process.signal(self._stop_signal)
                await self._run_ended.wait()
                return
        process.signal(signal.SIGKILL)
        await self._run_ended.wait()

    @property
    def _stop_signal(self) -> int:
        name = (self._container.get("lifecycle") or {}).get("stopSignal")
        return signal.Signals[name] if name else signal.SIGTERM

    async def _pre_stop(self, process: ContainerProcess) -> None:
        hook = (self._container.get("lifecycle") or {}).get("preStop")
        if not hook:
            return
        if "sleep" in hook:
            await asyncio.sleep(hook["sleep"]["seconds"])
            return

        async def execute(command: list[str], timeout_seconds: float) -> tuple[int, str]:
            return await process.execute(command, dict(os.environ), timeout_seconds)

        timing = {"timeoutSeconds": _LONGEST_BACKOFF_SECONDS}
        await Prober({**hook, **timing}, self._container, self._home.address.pod_ip, execute).ask()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _warn(self, reason: str, message: str) -> None:
        self._home.household.events.warning(self._home.pod, reason, message)

    @property
    def _message_file(self) -> Path:
        return self._home.directory / "containers" / self.view.name / "termination-message"

    def _log_path(self, restart: int) -> Path:
        return logs.log_path(self._home.household.directory, self._home.pod.uid, self.view.name, restart)
