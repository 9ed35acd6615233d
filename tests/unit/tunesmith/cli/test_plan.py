"""`tunesmith plan`: will it fit, how long will it take, what will it cost, and what would have to change."""

import json

import pytest
from click.testing import CliRunner

from tunesmith.cli.main import main

LLAMA_70B = "meta-llama/Llama-3.3-70B-Instruct-Reference"
CONFIG = {
    "model_type": "llama",
    "hidden_size": 2048,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 8192,
    "vocab_size": 49152,
    "max_position_embeddings": 8192,
}
JOB = """
apiVersion: v1
kind: ConfigMap
---
apiVersion: tunesmith.dev/v1alpha1
kind: FineTuneJob
metadata: {name: tune, namespace: ml}
spec:
  model: {type: Catalog, catalog: {name: qwen-qwen3-8b}}
  tuning: {type: LoRA, lora: {rank: 16, dropout: "0.1", baseQuantization: NF4}}
  dataset: {training: {type: Path, path: rows.jsonl}}
  training: {batchSize: 8, contextLength: 4096, epochs: 3}
  storage: {type: SharedVolume, sharedVolume: {name: data}}
  placement: {type: Template, template: {region: us-east-1, gpuType: H200_SXM, nodes: 1}}
"""


def ran(*arguments):
    return CliRunner().invoke(main, ["plan", *arguments], env={"COLUMNS": "120"})


def told(*arguments, exit_code=0):
    done = ran(*arguments, "-o", "json")
    assert done.exit_code == exit_code, done.output
    return json.loads(done.output)


def test_a_person_reads_what_fits_what_it_takes_and_what_it_costs():
    done = ran(
        "--model", "Qwen/Qwen3-8B", "--context", "16384", "--gpu", "H200", "--gpus", "8", "--tokens", "200000000"
    )
    assert done.exit_code == 0
    for part in ("It fits", "DDP", "8 rows: 1 at once x 8 GPUs", "activations", "5.99 a GPU-hour", "allows 32768"):
        assert part in done.output


def test_a_training_that_does_not_fit_names_the_changes_that_would():
    done = ran("--model", LLAMA_70B, "--gpu", "H100", "--gpus", "8", "--tuning", "full", "--precision", "amp")
    assert done.exit_code == 2
    assert "It cannot be done so" in done.output
    assert "tuning.type: LoRA" in done.output


@pytest.mark.parametrize(
    ("arguments", "reason", "helps"),
    [
        (("--model", "Qwen/Qwen3-8B", "--context", "40000"), "ContextTooLong", "at most 32768"),
        (("--model", "Qwen/Qwen3-8B", "--batch", "12", "--gpus", "8"), "BatchSizeOutOfRange", "is trained with 8."),
        (("--model", "Qwen/Qwen3-8B", "--gpus", "16"), "BatchSizeOutOfRange", "of GPUs can: 1, 2, 4, 8."),
        (
            (
                "--model",
                "Qwen/Qwen3-235B-A22B",
            ),
            "NeedsContextParallelism",
            "context parallelism",
        ),
        (
            ("--model", LLAMA_70B, "--tuning", "qlora", "--context", "24576", "--gpus", "1"),
            "DoesNotFit",
            "must fit whole",
        ),
    ],
)
def test_everything_that_stands_against_it_is_told(arguments, reason, helps):
    against = told(*arguments, "--gpu", "H100", exit_code=2)["objections"]
    assert helps in next(each["message"] for each in against if each["reason"] == reason)


def test_a_manifest_is_planned_as_it_is_written(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(JOB)
    plan = told("-f", str(path), "--tokens", "1000000")
    assert (plan["tuning"], plan["gpuType"], plan["gpus"]) == ("QLoRA rank 16, dropout", "H200", 8)
    assert (plan["microBatch"], plan["gradientAccumulation"], plan["batchSize"]) == (1, 1, 8)
    once = told("-f", str(path), "--tokens", "1000000", "--epochs", "1")
    assert plan["estimatedHours"][1] == pytest.approx(3 * once["estimatedHours"][1], rel=0.01)


def test_an_option_wins_over_the_manifest(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(JOB)
    plan = told("-f", str(path), "--gpu", "H100", "--context", "2048", "--tuning", "lora", "--method", "simpo")
    assert (plan["gpuType"], plan["contextLength"], plan["tuning"]) == ("H100", 2048, "LoRA rank 16, dropout")
    assert plan["method"] == "SimPO"


def test_a_model_outside_the_catalogue_is_planned_from_its_configuration(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(CONFIG))
    plan = told("--config", str(path), "--context", "8192", "--gpu", "L40S")
    assert plan["gpus"] == 1
    assert plan["longestContext"] == 8192
    beyond = told("--config", str(path), "--context", "8193", "--gpu", "L40S", exit_code=2)
    assert "own window is 8192" in beyond["objections"][0]["message"]


def test_a_dropout_on_experts_is_an_objection():
    mixture = ("--model", "Qwen/Qwen3-30B-A3B", "--context", "1024", "--gpu", "H200", "--gpus", "8", "--dropout", "0.1")
    assert [each["reason"] for each in told(*mixture, exit_code=2)["objections"]] == ["DropoutOnExperts"]
    assert told(*mixture, "--targets", "attention")["objections"] == []


def test_four_bits_on_a_base_that_is_published_in_few_are_an_objection():
    wish = ("--context", "1024", "--gpu", "H200", "--tuning", "qlora")
    published = told("--model", "openai/gpt-oss-20b", *wish, exit_code=2)["objections"]
    assert [each["reason"] for each in published] == ["BaseIsQuantized"]


def test_weights_of_ones_own_may_be_stored_in_other_numbers_than_the_published(tmp_path):
    path = tmp_path / "job.yaml"
    written = JOB.replace("qwen-qwen3-8b", "openai-gpt-oss-20b").replace(', dropout: "0.1"', "")
    path.write_text(written)
    assert "BaseIsQuantized" in [each["reason"] for each in told("-f", str(path), exit_code=2)["objections"]]
    path.write_text(written.replace("spec:\n", "spec:\n  weightsPath: models/x\n"))
    assert told("-f", str(path))["objections"] == []


def test_where_the_steps_are_written_and_rows_are_packed_full_hours_need_no_dataset(tmp_path):
    path = tmp_path / "job.yaml"
    path.write_text(JOB.replace("epochs: 3", "epochs: 3, maxSteps: 1000"))
    tokens = 1000 * 8 * 4096
    assert told("-f", str(path))["estimatedHours"] == told("-f", str(path), "--tokens", str(tokens))["estimatedHours"]
    assert told("-f", str(path), "--method", "dpo")["estimatedHours"] is None


def test_without_a_price_there_are_hours_and_no_dollars():
    plan = told("--model", "Qwen/Qwen3-8B", "--gpu", "L40S", "--tokens", "1000")
    assert plan["estimatedHours"]
    assert plan["estimatedUSD"] is None
    priced = told("--model", "Qwen/Qwen3-8B", "--gpu", "L40S", "--tokens", "1000000000", "--price", "2")
    assert priced["estimatedUSD"]


@pytest.mark.parametrize(
    ("arguments", "exit_code", "helps"),
    [
        (("--model", "nobody/nothing", "--gpu", "H100"), 1, "kubectl get catalogmodels"),
        (("--model", "Qwen/Qwen3-8B"), 1, "--gpu"),
        (("--gpu", "H100"), 1, "--model"),
        (("--model", "Qwen/Qwen3-8B", "--gpu", "TPU"), 1, "known: A100"),
        (("--model", "deepseek-ai/DeepSeek-R1", "--gpu", "H200"), 2, "context parallelism"),
        (("--model", "Qwen/Qwen3-Next-80B-A3B-Instruct", "--gpu", "H200"), 2, "does not fine-tune it"),
        (("--model", "meta-llama/Llama-4-Scout-17B-16E", "--gpu", "H200"), 2, "cannot be trained"),
        (("--model", "qwen3-8b", "--gpu", "H100"), 1, "Did you mean Qwen/Qwen3-8B"),
        (("--model", "Qwen/Qwen3-8B", "--gpu", "H100", "--price", "much"), 1, "not a number"),
        (("--model", "Qwen/Qwen3-8B", "--gpu", "H100", "--gpus", "0"), 1, "0 is not in the range"),
        (("--model", "Qwen/Qwen3-8B", "--gpu", "H100", "--tuning", "full", "--rank", "8"), 1, "has none"),
        (("--config", "{deep}", "--gpu", "H100", "--context", "1"), 1, "JSON"),
        (("--config", "{narrow}", "--gpu", "H100", "--context", "1"), 1, "no room for 64 heads"),
        (("-f", "{file}", "--gpu", "H100"), 1, "metadata"),
        (("--config", "{file}", "--gpu", "H100", "--context", "1"), 1, "JSON"),
    ],
)
def test_what_cannot_be_planned_says_why(tmp_path, arguments, exit_code, helps):
    path = tmp_path / "wrong"
    path.write_text("kind: FineTuneJob\nspec: {}\n")
    deep, narrow = tmp_path / "deep", tmp_path / "narrow"
    deep.write_text("[" * 100_000)
    narrow.write_text(json.dumps({**CONFIG, "hidden_size": 32, "num_attention_heads": 64}))
    done = ran(*(each.format(file=path, deep=deep, narrow=narrow) for each in arguments))
    assert done.exit_code == exit_code
    assert helps in done.output
    assert "Traceback" not in done.output
