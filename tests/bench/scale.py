"""What many GPUClusters cost when nothing happens, and how soon a restarted operator has been through all of them.

Against a real API server and the light simulator: `python tests/bench/scale.py [N]`; `--help` says what can be varied.
The operator is one process without a container; memory and processor time are what the kernel says of it. N clusters
are bought first, through as many accounts as asked for, because the provider's requests are limited per credential.
What holds at any speed is asserted with fewer by `tests/integration/proof/test_scale.py`.
"""

from __future__ import annotations

import os
import platform
import re
import signal
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import click

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.integration.proof.many_clusters import (
    IN_ORDER,
    NOT_ANSWERING,
    SETTINGS,
    Reading,
    a_market,
    all_say,
    asked_of,
    create_many,
    read,
)
from tests.integration.proof.stage import (
    Installed,
    ManagementCluster,
    OperatorProcess,
    Provider,
    until,
)

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Moment:
    """The operator at a moment."""

    time: float
    cpu_seconds: float
    reading: Reading
    provider_requests: int


@click.command()
@click.argument("count", type=int, default=200)
@click.option("--accounts", default=4, show_default=True, help="Credentials that the clusters are spread over.")
@click.option("--idle-seconds", default=120, show_default=True, help="How long the idle operator is watched.")
@click.option("--inside/--no-inside", default=True, show_default=True, help="Whether the bought clusters answer.")
def main(count: int, accounts: int, idle_seconds: int, inside: bool) -> None:
    """Buy COUNT clusters, watch the operator while nothing happens, kill it, and time its first passes."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    with tempfile.TemporaryDirectory(prefix="tunesmith-scale-") as folder:
        directory = Path(folder)
        with (
            ManagementCluster(directory / "cluster") as management,
            a_market(directory, count, accounts, answers=inside) as provider,
        ):
            _measure(management, provider, directory, count, accounts, idle_seconds, inside=inside)


def _measure(
    management: ManagementCluster,
    provider: Provider,
    directory: Path,
    count: int,
    accounts: int,
    idle_seconds: int,
    *,
    inside: bool,
) -> None:
    installed = Installed(management.cluster.kubeconfig, provider.url, directory, "key-0", SETTINGS)
    final = IN_ORDER if inside else NOT_ANSWERING
    with OperatorProcess(installed) as operator:
        begun = time.monotonic()
        create_many(management, count, accounts)
        print(f"{count} GPUClusters created in {time.monotonic() - begun:.0f} s", flush=True)
        until(lambda: _said(management, operator, final, count), "all should be bought and looked into", 3600)
        print(f"all bought and at rest after {time.monotonic() - begun:.0f} s", flush=True)
        time.sleep(min(60, idle_seconds))  # what follows a purchase dies down
        before = _look(operator, provider)
        time.sleep(idle_seconds)
        _print_idle(before, _look(operator, provider), _resident_mib(operator.pid))
        operator.kill()
        management.forget_lease()
        started = time.monotonic()
        operator.start()
        until(lambda: read(operator).passes >= count, "the restarted operator should pass over all", 600)
        print(f"first pass over all after a restart  {time.monotonic() - started:8.1f} s (from the process's start)")
        until(lambda: read(operator).settled >= count, "the restarted operator should have looked at all", 600)
        print(f"all of them settled again            {time.monotonic() - started:8.1f} s")
        complaints = operator.complaints()
        print(f"errors in the log                    {len(complaints):8d}")
        for line in complaints[:3]:
            print(line[:600])
    answers = "answer" if inside else "do not answer"
    print(
        f"\nwith {count} GPUClusters of {accounts} accounts that {answers}; Python {platform.python_version()}, ",
        end="",
    )
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}")


def _said(management: ManagementCluster, operator: OperatorProcess, reasons: frozenset[str], count: int) -> bool:
    if operator.ended is not None:  # on a machine that is too busy the lease is lost; its pod would be started again
        print(f"the operator ended with {operator.ended} and is started again", flush=True)
        operator.start()
    return all_say(management, reasons, count)


def _look(operator: OperatorProcess, provider: Provider) -> Moment:
    reading = read(operator)
    return Moment(time.monotonic(), _cpu_seconds(operator.pid), reading, len(asked_of(provider)))


def _print_idle(before: Moment, after: Moment, resident_mib: float) -> None:
    minutes = (after.time - before.time) / 60
    cpu = (after.cpu_seconds - before.cpu_seconds) / (after.time - before.time)
    print(f"memory                               {resident_mib:8.0f} MiB resident")
    print(f"processor                            {cpu:8.2f} of one core")
    print(
        f"passes                               {(after.reading.passes - before.reading.passes) / minutes:8.0f} a minute"
    )
    print(
        f"requests to the provider             {(after.provider_requests - before.provider_requests) / minutes:8.1f}",
        end="",
    )
    print(" a minute")
    asked = {
        "provider": (before.reading.cloud, after.reading.cloud),
        "API server": (before.reading.kube, after.reading.kube),
    }
    for where, (old, new) in asked.items():
        for what in sorted(new):
            more = new[what] - old.get(what, 0)
            if more:
                print(f"  {where}: {what:<34} {more / minutes:8.1f} a minute")


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024


if __name__ == "__main__":
    main()
