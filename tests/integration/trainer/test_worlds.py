"""Several processes, each with the whole model or all with their shards of it: one dies, and nothing is lost."""

import shutil
import signal

import forked
import pytest
from safetensors.torch import load_file
from tests.integration.trainer.test_kills import DPO, FULL, STEPS, losses, pairs, short, under, weights

from tunesmith_trainer.exit_codes import ErrorClass
from tunesmith_trainer.testing import conversations, write_rows

PACKED_AMP = {"training": {"packing": True, "precision": "AMP"}}
KINDS = {
    "DDP": {},
    "FSDP2": {},
    **{f"{sharding}-packed-amp": PACKED_AMP for sharding in ("DDP", "FSDP2")},
    **{f"{sharding}-full": FULL for sharding in ("DDP", "FSDP2")},
    **{f"{sharding}-dpo": DPO for sharding in ("DDP", "FSDP2")},
    **{f"{sharding}-dpo-full": DPO | FULL for sharding in ("DDP", "FSDP2")},
}
PROVEN = [pytest.param(kind, marks=() if kind == "FSDP2" else pytest.mark.prove) for kind in KINDS]


def of_two(workshop, uid, kind, attempt=1):
    changes = dict(KINDS[kind])
    # Activations are recomputed where layers are sharded: libraries were seen to save empty adapters then.
    recompute = {"activationCheckpointing": kind.startswith("FSDP2")}
    changes["training"] = changes.get("training", {}) | {"gradientAccumulation": 1} | recompute
    world = {"processesPerPod": 2, "sharding": kind.split("-")[0], "collectiveTimeoutSeconds": 30}
    return short(workshop, uid, attempt, world=world, **changes)


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
    assert weights(workshop, uid, 2) == weights(workshop, calm)


@pytest.mark.prove
@pytest.mark.parametrize("sharding", ["DDP", "FSDP2"])
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("crossing", [1, 5, 16])
def test_whichever_dies_wherever_the_next_attempt_ends_bit_equal(workshop, calm_pairs, sharding, rank, crossing):
    calm, uid = calm_pairs(sharding), f"struck-{sharding.lower()}-{rank}-{crossing}"
    pods = started(workshop, uid, sharding, strikes={rank: {"crossing": crossing, "under": under(workshop, uid)}})
    assert pods[rank].ended() == -signal.SIGKILL, pods[rank].output.read_text()
    other = pods[1 - rank]
    assert other.ended() == 31, other.output.read_text()
    assert other.message().error_class is ErrorClass.INFRASTRUCTURE
    all_well(started(workshop, uid, sharding, attempt=2))
    assert losses(workshop, uid) == losses(workshop, calm)
    assert weights(workshop, uid, 2) == weights(workshop, calm)


@pytest.fixture(scope="module")
def calm_pairs(workshop):
    """Names the undisturbed run of two processes that hold the model so; made once each."""
    made = {}

    def made_once(sharding):
        if sharding not in made:
            made[sharding] = f"calm-pair-{sharding.lower()}"
            all_well(started(workshop, made[sharding], sharding))
        return made[sharding]

    return made_once


def test_weights_may_be_read_for_longer_than_processes_wait_for_each_other_in_training(workshop):
    document = of_two(workshop, "late", "FSDP2")
    document["world"]["collectiveTimeoutSeconds"] = 5
    all_well(workshop.group(document, target=forked.run_and_read_weights_late, TUNESMITH_TEST_SHARD_ON_CPU="1"))


def without_dropout(workshop, document):
    """Its masks differ by process. Ten rows make three batches of four an epoch: the last is filled up."""
    prefers = document.get("method", {}).get("type") == "DPO"
    few = workshop.root / "data" / ("few-pairs.jsonl" if prefers else "few.jsonl")
    write_rows(few, pairs(10) if prefers else conversations(10))
    if "dropout" in document["tuning"]:
        document["tuning"] |= {"dropout": 0.0}
    document["data"] |= {"training": {"path": str(few)}}
    return document


@pytest.mark.parametrize("kind", [kind for kind in PROVEN if not kind.values[0].endswith("packed-amp")])
def test_what_two_processes_saved_has_every_tensor_and_one_goes_on_from_it_within_1e5(workshop, kind):
    both, alone, taken_over = (f"{name}-{kind.lower()}" for name in ("both", "alone", "taken-over"))
    all_well(workshop.group(without_dropout(workshop, of_two(workshop, both, kind)), TUNESMITH_TEST_SHARD_ON_CPU="1"))
    if not kind.endswith("full"):
        tensors = load_file(workshop.output(both) / "adapter_model.safetensors")
        assert len(tensors) == 2 * workshop.result(both).adapted_modules
        assert all(tensor.any() for name, tensor in tensors.items() if "lora_B" in name)

    pod = workshop.train(without_dropout(workshop, short(workshop, alone, **KINDS[kind])))
    assert pod.ended() == 0, pod.output.read_text()
    assert close(losses(workshop, alone), losses(workshop, both))

    shutil.copytree(workshop.root / "jobs" / both, workshop.root / "jobs" / taken_over)
    shutil.rmtree(workshop.root / f"jobs/{taken_over}/attempts/1/checkpoints/checkpoint-{STEPS}")
    pod = workshop.train(without_dropout(workshop, short(workshop, taken_over, 2, **KINDS[kind])))
    assert pod.ended() == 0, pod.output.read_text()
    assert workshop.result(taken_over, 2).resumed_from_step == STEPS - 2
    assert close(losses(workshop, taken_over), losses(workshop, both))


def close(ours, theirs):
    """The loss of every step, within 1e-5."""
    kept = [[entry["loss"] for entry in history if "loss" in entry] for history in (ours, theirs)]
    return kept[0] == pytest.approx(kept[1], abs=1e-5)
