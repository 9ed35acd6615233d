"""How many jobs a pool admits in a second while thousands wait: the pure judgement and the reading of the jobs.

Prints figures with their conditions; asserts nothing about time. Run: python tests/bench/pool_admissions.py [WAITING]
"""

from __future__ import annotations

import platform
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from tunesmith.planning.admission import judge
from tunesmith.planning.kube_facts import NodeFact
from tunesmith.planning.pool import Granted
from tunesmith.resources.fine_tune_job import FineTuneJob

NODES = 64
SECONDS = 20.0
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def waiting_job(number: int) -> FineTuneJob:
    """A local job of one pod with 8 GPUs that stands in line."""
    created = (NOON + timedelta(seconds=number)).isoformat().replace("+00:00", "Z")
    condition = {"type": "Ready", "status": "False", "reason": "Queued", "message": "", "lastTransitionTime": created}
    raw: dict[str, Any] = {
        "kind": "FineTuneJob",
        "metadata": {"name": f"job-{number}", "namespace": "bench", "uid": f"uid-{number:06d}"},
        "spec": {
            "model": {"type": "Path", "path": "weights"},
            "dataset": {"training": {"type": "Path", "path": "rows.jsonl"}},
            "storage": {"type": "Claim", "claim": {"name": "storage"}},
            "placement": {"type": "Local"},
        },
        "status": {"conditions": [condition], "plan": {"pods": 1, "gpusPerPod": 8}},
    }
    raw["metadata"]["creationTimestamp"] = created
    return FineTuneJob.model_validate(raw)


def main(waiting: int) -> None:
    """Fill the pool, let every admitted job end at once, and go on for SECONDS."""
    nodes = tuple(NodeFact(f"node-{index:03d}", gpus=8) for index in range(NODES))
    jobs = {job.metadata.uid: job for job in map(waiting_job, range(waiting))}
    admitted, passes, begun = 0, 0, time.monotonic()
    while jobs and time.monotonic() - begun < SECONDS:
        judgement = judge(jobs.values(), {}, nodes, (), NOON)
        passes += 1
        for uid in [uid for uid, answer in judgement.answers.items() if isinstance(answer, Granted)]:
            del jobs[uid]  # it recorded its grant, ran, and ended
            admitted += 1
    took = time.monotonic() - begun
    print(f"pool admissions: {admitted / took:.0f}/s ({admitted} in {took:.1f} s, {passes} judgements of the pool,")
    print(f"  {1000 * took / passes:.0f} ms each; at first {waiting} jobs waited for {NODES} nodes of 8 GPUs;")
    print(
        f"  Python {platform.python_version()}, {platform.machine()}, one core, other load on the machine not excluded)"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15_000)
