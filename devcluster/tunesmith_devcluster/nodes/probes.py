"""Probes of a running container: HTTP, TCP and exec, against the pod's own address."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import aiohttp

from tunesmith_devcluster.nodes.api import Json

Execute = Callable[[list[str], float], Awaitable[tuple[int, str]]]
_MOST_SAID = 200


@dataclass(frozen=True)
class Timing:
    """When and how often, with the defaults of Kubernetes."""

    initial_delay_seconds: float
    period_seconds: float
    timeout_seconds: float
    success_threshold: int
    failure_threshold: int

    @classmethod
    def of(cls, probe: Json) -> "Timing":
        """Read the timing of a probe."""
        return cls(
            initial_delay_seconds=probe.get("initialDelaySeconds", 0),
            period_seconds=probe.get("periodSeconds", 10),
            timeout_seconds=probe.get("timeoutSeconds", 1),
            success_threshold=probe.get("successThreshold", 1),
            failure_threshold=probe.get("failureThreshold", 3),
        )


class Prober:
    """Asks one probe again and again."""

    def __init__(self, probe: Json, container: Json, pod_ip: str, execute: Execute) -> None:
        self.timing = Timing.of(probe)
        self._probe = probe
        self._ports = {one["name"]: one["containerPort"] for one in container.get("ports") or [] if "name" in one}
        self._pod_ip = pod_ip
        self._execute = execute

    async def watch(self, tell: Callable[[bool, str], bool]) -> None:
        """Call `tell(healthy, words)` whenever a threshold is reached, until it returns False."""
        successes = failures = 0
        await asyncio.sleep(self.timing.initial_delay_seconds)
        while True:
            healthy, words = await self.ask()
            successes, failures = (successes + 1, 0) if healthy else (0, failures + 1)
            decided = successes >= self.timing.success_threshold or failures >= self.timing.failure_threshold
            if decided and not tell(healthy, words):
                return
            await asyncio.sleep(self.timing.period_seconds)

    async def ask(self) -> tuple[bool, str]:
        """Ask once: whether it is healthy, and what was answered."""
        if "exec" in self._probe:
            code, words = await self._execute(self._probe["exec"]["command"], self.timing.timeout_seconds)
            return code == 0, words.strip()[-_MOST_SAID:]
        try:
            async with asyncio.timeout(self.timing.timeout_seconds):
                if "httpGet" in self._probe:
                    return await self._ask_http(self._probe["httpGet"])
                return await self._ask_tcp(self._probe["tcpSocket"])
        except TimeoutError:
            return False, f"no answer within {self.timing.timeout_seconds:g} s"
        except (OSError, aiohttp.ClientError, KeyError, ValueError) as error:
            return False, f"{type(error).__name__}: {error}"

    async def _ask_http(self, request: Json) -> tuple[bool, str]:
        scheme = request.get("scheme", "HTTP").lower()
        host = request.get("host") or self._pod_ip
        url = f"{scheme}://{host}:{self._port(request['port'])}/{request.get('path', '/').lstrip('/')}"
        headers = {one["name"]: one["value"] for one in request.get("httpHeaders") or []}
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # kubelet does not verify probed certificates either
        async with (
            aiohttp.ClientSession(headers={"User-Agent": "kube-probe/1.37"} | headers) as session,
            session.get(url, ssl=context, allow_redirects=False) as response,
        ):
            return 200 <= response.status < 400, f"HTTP probe answered {response.status}"

    async def _ask_tcp(self, request: Json) -> tuple[bool, str]:
        _, writer = await asyncio.open_connection(request.get("host") or self._pod_ip, self._port(request["port"]))
        writer.close()
        return True, ""

    def _port(self, port: int | str) -> int:
        return self._ports[port] if isinstance(port, str) and port in self._ports else int(port)
