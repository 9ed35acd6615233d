"""Runs the simulator: as an async context manager inside a test, or as a server until it is told to end."""

import asyncio
import logging
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from aiohttp import web

from tunesmith_simulator import scenario as scenarios
from tunesmith_simulator.backing import Backing
from tunesmith_simulator.backing.light import LightBacking
from tunesmith_simulator.backing.real import RealBacking
from tunesmith_simulator.http.application import Intervention, application
from tunesmith_simulator.http.record import RequestRecord
from tunesmith_simulator.scenario import Scenario
from tunesmith_simulator.simulation import Clock, Simulation, wall_clock

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
"""The simulator listens on loopback only."""


class Simulator:
    """A simulator on a port of its own: ``async with Simulator() as sim: ... sim.url, sim.key``.

    Without ``state_directory`` it is light: no Kubernetes stands behind the clusters. Without ``clock`` it goes by the
    scenario's, else by the one on the wall. ``url`` has no ``/v1``.
    """

    def __init__(
        self,
        scenario: Scenario | None = None,
        *,
        port: int = 0,
        state_directory: Path | None = None,
        clock: Clock | None = None,
        interventions: Sequence[Intervention] = (),
    ) -> None:
        scenario = scenario or scenarios.named("default")
        chosen = clock or scenario.virtual_clock() or wall_clock
        self._port = port
        self.key = scenario.accounts[0].key.get_secret_value()
        self.record = RequestRecord()
        self.simulation = Simulation(scenario, _backing(scenario, state_directory), chosen)
        self._runner = web.AppRunner(
            application(self.simulation, self.record, interventions, scenario.faults),
            access_log=None,
            shutdown_timeout=1,
        )

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{HOST}:{self._port}"

    async def __aenter__(self) -> Self:
        await self.simulation.start()
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, HOST, self._port).start()
        except OSError:
            await self._close()
            raise
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        await self._runner.cleanup()
        await self.simulation.close()


async def run_simulator(
    scenario: Scenario,
    *,
    port: int = 0,
    state_directory: Path | None = None,
    on_ready: Callable[[Simulator], None] = lambda _sim: None,
) -> None:
    """Serve until SIGTERM or SIGINT; then end every cluster that was started. ``on_ready`` is told once it answers."""
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    async with Simulator(scenario, port=port, state_directory=state_directory) as simulator:
        on_ready(simulator)
        await ended.wait()
        logger.info("Ending: what stands behind the clusters is taken down.")


def _backing(scenario: Scenario, state_directory: Path | None) -> Backing:
    return (
        RealBacking(state_directory, scenario.node_images)
        if state_directory
        else LightBacking(scenario.kubeconfig_server, scenario.kubeconfig_authority)
    )
