"""Two processes train the text model of one that also sees, and one goes on from what they saved."""

import shutil

import pytest
import torch
from safetensors.torch import load_file
from tests.integration.trainer.test_kills import FULL, STEPS, losses, short
from tests.integration.trainer.test_worlds import all_well, close
from tests.unit.trainer.architectures import make

NAMED = {"tuning": {"type": "LoRA", "rank": 4, "alpha": 8, "targetModules": ["q_proj"]}}
KINDS = [
    ("DDP", FULL),
    pytest.param("FSDP2", FULL, marks=pytest.mark.prove),
    pytest.param("DDP", NAMED, marks=pytest.mark.prove),
    pytest.param("FSDP2", NAMED, marks=pytest.mark.prove),
]


@pytest.fixture(scope="module")
def seeing(workshop):
    return make("Gemma3ForConditionalGeneration", workshop.root / "seeing", workshop.root / "model")


@pytest.mark.parametrize(("sharding", "changes"), KINDS, ids=["DDP-full", "FSDP2-full", "DDP-named", "FSDP2-named"])
def test_two_processes_train_what_reads_and_one_goes_on_from_what_they_saved(workshop, seeing, sharding, changes):
    uid = f"seeing-{sharding.lower()}-{changes['tuning']['type'].lower()}"
    taken_over = f"{uid}-taken-over"
    model = {"model": {"path": str(seeing)}}
    world = {"processesPerPod": 2, "sharding": sharding, "collectiveTimeoutSeconds": 60}
    document = short(workshop, uid, **model, **changes, world=world)
    document["training"] |= {"gradientAccumulation": 1}
    all_well(workshop.group(document, TUNESMITH_TEST_SHARD_ON_CPU="1"))
    if changes is FULL:
        base, saved = (load_file(place / "model.safetensors") for place in (seeing, workshop.output(uid)))
        unmoved = {name for name, tensor in saved.items() if torch.equal(tensor, base[name])}
        assert saved.keys() == base.keys()
        assert unmoved == {name for name in base if "vision_tower" in name or "multi_modal_projector" in name}

    shutil.copytree(workshop.root / "jobs" / uid, workshop.root / "jobs" / taken_over)
    shutil.rmtree(workshop.root / f"jobs/{taken_over}/attempts/1/checkpoints/checkpoint-{STEPS}")
    pod = workshop.train(short(workshop, taken_over, 2, **model, **changes))
    assert pod.ended() == 0, pod.output.read_text()
    assert workshop.result(taken_over, 2).resumed_from_step == STEPS - 2
    assert close(losses(workshop, taken_over), losses(workshop, uid))
