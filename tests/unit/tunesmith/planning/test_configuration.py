"""The configuration that is written for the trainer, held against its schema and against the trainer's own reading."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
from tests.unit.tunesmith.planning.job_builders import ROWS, UID, a_job, admitted, circumstances

from tunesmith.planning.acceptance import plan_of
from tunesmith.planning.configuration import config_hash, configuration
from tunesmith_trainer.contract import Configuration

SCHEMA = json.loads((Path(__file__).parents[4] / "contract/v1/configuration.schema.json").read_text())

EVERYTHING = {
    "method": {"type": "SFT", "sft": {"trainOnInputs": "Never"}},
    "tuning": {
        "type": "LoRA",
        "lora": {"rank": 16, "alpha": 64, "dropout": "0.1", "targetModules": ["q_proj", "v_proj"]},
    },
    "dataset": {
        "validation": {"type": "Path", "path": "/data/held-out.jsonl"},
        "onUnstableTemplate": "TrainWhole",
    },
    "training": {
        "epochs": 3,
        "maxSteps": 60,
        "learningRate": "2e-4",
        "scheduler": {"type": "Cosine", "minRatio": "0.1", "cycles": "0.5"},
        "warmupRatio": "0.03",
        "weightDecay": "0.01",
        "maxGradNorm": "0",
        "packing": False,
        "seed": 7,
        "precision": "BF16",
        "evaluations": {
            "count": 4,
            "earlyStopping": {"patience": 2, "minDelta": "0.01", "warmupEvaluations": 1},
        },
        "checkpoints": {
            "count": 5,
            "keep": 3,
            "mirror": {"s3": {"bucket": "copies", "prefix": "jobs", "credentialsSecretRef": {"name": "store"}}},
        },
    },
    "output": {"path": "/results/here/"},
}


PREFERENCES = {
    "method": {"type": "DPO", "dpo": {"rpoAlpha": "0.5"}},
    "tuning": {"type": "LoRA", "lora": {"baseQuantization": "NF4"}},
    "continueFrom": {"type": "Path", "path": "outputs/before"},
    "output": {"mergeModel": True},
}
ALL_WEIGHTS = {"method": {"type": "DPO", "dpo": {"referenceFree": True}}, "tuning": {"type": "Full"}}


@pytest.mark.parametrize(
    "spec",
    [{}, EVERYTHING, PREFERENCES, ALL_WEIGHTS],
    ids=["least", "everything", "preferences", "all weights"],
)
@pytest.mark.parametrize("simulated", [False, True])
def test_what_the_operator_writes_the_trainer_reads(spec, simulated):
    seen = admitted(a_job(spec), around=circumstances(simulated_gpus=simulated), files={"training": ROWS})
    written = configuration(seen, plan_of(seen), 1)
    jsonschema.validate(written, SCHEMA)
    read = Configuration.model_validate(written)
    assert read.world.size == (2 if simulated else 16)
    assert read.training.global_batch == 16
    assert read.storage.job_path == f"/storage/{UID}"


def test_everything_that_the_user_says_arrives():
    seen = admitted(a_job(EVERYTHING))
    written = configuration(seen, plan_of(seen), 2)
    assert written["training"]["learningRate"] == 0.0002
    assert written["training"]["maxGradNorm"] == 0
    assert written["tuning"]["alpha"] == 64
    assert written["data"]["validation"] == {"path": "/storage/data/held-out.jsonl"}
    assert written["data"]["training"] == {"path": "/etc/tunesmith/training.jsonl"}
    assert written["storage"]["outputPath"] == f"/storage/results/here/{UID}-a2"
    assert written["evaluations"] == {
        "count": 4,
        "earlyStopping": {"patience": 2, "minDelta": 0.01, "warmupEvaluations": 1},
    }
    assert written["checkpoints"]["mirror"] == {
        "endpoint": "https://s3.amazonaws.com",
        "bucket": "copies",
        "prefix": "jobs",
    }
    assert written["checkpoints"]["graceSeconds"] == seen.around.installation.save_grace_seconds


@pytest.mark.parametrize(
    ("dpo", "title", "beta", "gamma"),
    [
        (None, "DPO", 0.1, 0),
        ({"beta": "0.3"}, "DPO", 0.3, 0),
        ({"rpoAlpha": "0"}, "DPO", 0.1, 0),
        ({"rpoAlpha": "0.5"}, "DPO+NLL", 0.1, 0),
        ({"normalizeLogratiosByLength": True}, "LN-DPO", 2, 0),
        ({"normalizeLogratiosByLength": True, "beta": "5"}, "LN-DPO", 5, 0),
        ({"simpoGamma": "0.8"}, "SimPO", 2, 0.8),
        ({"simpoGamma": "0"}, "DPO", 0.1, 0),
        ({"referenceFree": True}, "reference-free DPO", 0.1, 0),
    ],
)
def test_every_form_of_preference_training_is_resolved_as_the_provider_does(dpo, title, beta, gamma):
    seen = admitted(a_job({"method": {"type": "DPO", **({} if dpo is None else {"dpo": dpo})}}))
    read = Configuration.model_validate(configuration(seen, plan_of(seen), 1))
    assert read.method.title == title
    assert (read.method.dpo.beta, read.method.dpo.simpo_gamma) == (beta, gamma)
    assert read.training.packing is False


def test_what_a_job_goes_on_from_is_a_part_of_its_outcome():
    fresh, continued = (
        configuration(seen, plan_of(seen), 1)
        for seen in (admitted(), admitted(a_job({"continueFrom": {"type": "Path", "path": "/outputs/before/"}})))
    )
    assert continued["continueFrom"] == {"path": "/storage/outputs/before"}
    assert config_hash(fresh) != config_hash(continued)


def test_the_hash_is_the_same_for_every_attempt_and_every_micro_batch():
    seen = admitted()
    plan = plan_of(seen)
    first, second = configuration(seen, plan, 1), configuration(seen, plan, 2)
    smaller = {
        **first,
        "training": {**first["training"], "microBatch": 1, "microBatchBefore": 8, "gradientAccumulation": 8},
    }
    assert config_hash(first) == config_hash(second) == config_hash(smaller)
    other = {**first, "training": {**first["training"], "seed": 1}}
    assert config_hash(other) != config_hash(first)
