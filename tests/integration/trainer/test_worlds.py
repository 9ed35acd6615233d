"""Several processes, each with the whole model or all with their shards of it: one dies, and nothing is lost."""

import shutil
import signal

import pytest
from safetensors.torch import load_file
from tests.integration.trainer.test_kills import STEPS, losses, short, under

from tunesmith_trainer.exit_codes import ErrorClass

KINDS = {
    "DDP": {},
    "FSDP2": {},
    "FSDP2-packed-amp": {"training": {"packing": True, "precision": "AMP"}},
    "DDP-packed-amp": {"training": {"packing": True, "precision": "AMP"}},
}
PROVEN = [pytest.param(kind, marks=() if kind == "FSDP2" else pytest.mark.prove) for kind in KINDS]


def of_two(workshop, uid, kind, attempt=1):
    changes = KINDS[kind]
    training = changes.get("training", {}) | {"gradientAccumulation": 1}
    world = {"processesPerPod": 2, "sharding": kind.split("-")[0], "collectiveTimeoutSeconds": 30}
    return short(workshop, uid, attempt, training=training, world=world)


def started(workshop, uid, kind, attempt=1, strikes=None):
    return workshop.group(of_two(workshop, uid, kind, attempt), strikes, TUNESMITH_TEST_SHARD_ON_CPU="1")


def all_well(pods):
    codes = [pod.ended() for pod in pods]
    assert codes == [0] * len(pods), "\n".join(pod.output.read_text()[-3000:] for pod in pods)


@pytest.mark.parametrize("kind", PROVEN)
def test_one_of_two_dies_the_other_says_so_and_the_next_attempt_ends_bit_equal(workshop, kind):
    uid, calm = f"two-{kind.lower()}", f"two-calm-{kind.lower()}"
    all_well(started(workshop, calm, kind))
    # By its tenth write the second process has brought its part of the first checkpoint.
    first, second = started(workshop, uid, kind, strikes={1: {"crossing": 10, "under": under(workshop, uid)}})
    assert second.ended() == -signal.SIGKILL
    assert first.ended() == 31, first.output.read_text()
    assert first.message().error_class is ErrorClass.INFRASTRUCTURE
    all_well(started(workshop, uid, kind, attempt=2))
    assert losses(workshop, uid) == losses(workshop, calm)
    assert workshop.adapter(uid, 2) == workshop.adapter(calm)


def test_a_sharded_save_has_every_tensor_and_one_process_goes_on_from_it(workshop):
    """Without dropout, whose masks differ by process, another number of processes comes to the same."""
    sharded = of_two(workshop, "sharded", "FSDP2")
    sharded["tuning"] |= {"dropout": 0.0}
    all_well(workshop.group(sharded, TUNESMITH_TEST_SHARD_ON_CPU="1"))
    tensors = load_file(workshop.output("sharded") / "adapter_model.safetensors")
    assert len(tensors) == 2 * workshop.result("sharded").adapted_modules
    assert all(tensor.any() for name, tensor in tensors.items() if "lora_B" in name)

    shutil.copytree(workshop.root / "jobs/sharded", workshop.root / "jobs/alone")
    shutil.rmtree(workshop.root / f"jobs/alone/attempts/1/checkpoints/checkpoint-{STEPS}")
    alone = short(workshop, "alone", 2)
    alone["tuning"] |= {"dropout": 0.0}
    pod = workshop.train(alone)
    assert pod.ended() == 0, pod.output.read_text()
    result, wanted = workshop.result("alone", 2), workshop.result("sharded")
    assert result.resumed_from_step == STEPS - 2
    assert result.final_loss == pytest.approx(wanted.final_loss, abs=1e-5)
