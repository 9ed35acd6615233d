"""The learning rate over the steps, and the command line that starts a pod's processes."""

from pathlib import Path

import pytest

from tunesmith_trainer.contract import Configuration
from tunesmith_trainer.contract.outcome import Scheduler
from tunesmith_trainer.launch import seconds_to_save, threads, torchrun_arguments
from tunesmith_trainer.schedule import rate_factor
from tunesmith_trainer.testing import tiny_configuration


@pytest.mark.parametrize(
    ("scheduler", "wanted"),
    [
        (Scheduler(type="Constant"), [0, 0.5, 1, 1, 1, 1, 1]),
        (Scheduler(type="Linear"), [0, 0.5, 1, 0.75, 0.5, 0.25, 0]),
        (Scheduler(type="Linear", min_ratio=0.2), [0, 0.5, 1, 0.8, 0.6, 0.4, 0.2]),
        (Scheduler(type="Cosine"), [0, 0.5, 1, 0.853553, 0.5, 0.146447, 0]),
        (Scheduler(type="Cosine", cycles=1.0, min_ratio=0.5), [0, 0.5, 1, 0.75, 0.5, 0.75, 1]),
    ],
)
def test_the_rate_rises_in_the_warm_up_and_then_follows_its_type(scheduler, wanted):
    rates = [rate_factor(step, total_steps=6, warmup_steps=2, scheduler=scheduler) for step in range(7)]
    assert rates == pytest.approx(wanted, abs=1e-6)


def test_without_warm_up_the_first_step_has_the_full_rate():
    assert rate_factor(0, total_steps=6, warmup_steps=0, scheduler=Scheduler()) == 1.0


def test_torchrun_gets_the_pods_place_from_the_environment():
    configuration = Configuration.model_validate(
        tiny_configuration(Path("/s"), training={"globalBatch": 32}, world={"pods": 4, "processesPerPod": 2})
    )
    arguments = torchrun_arguments(
        configuration, {"JOB_COMPLETION_INDEX": "3", "TUNESMITH_MASTER_ADDR": "job-0.jobs.team.svc"}
    )
    assert arguments[2:8] == [
        "--nnodes=4",
        "--nproc-per-node=2",
        "--node-rank=3",
        "--master-addr=job-0.jobs.team.svc",
        "--master-port=29400",
        "--max-restarts=0",
    ]


def test_processes_on_simulated_nodes_share_the_cores():
    document = tiny_configuration(Path("/s"), training={"globalBatch": 8}, world={"pods": 2})
    real, simulated = (Configuration.model_validate({**document, "simulatedGPUs": told}) for told in (False, True))
    assert threads(real, cores=8) == {}
    assert threads(simulated, cores=8) == {"OMP_NUM_THREADS": "4"}
    assert threads(simulated, cores=1) == {"OMP_NUM_THREADS": "1"}


@pytest.mark.parametrize(("grace", "wanted"), [(None, 120), (180, 170), (600, 590), (0, 1)])
def test_workers_get_the_pods_grace_to_save(grace, wanted):
    document = tiny_configuration(Path("/s"), checkpoints={} if grace is None else {"graceSeconds": grace})
    assert seconds_to_save(Configuration.model_validate(document)) == wanted
