"""One attempt that nothing happens to: what it says, what it leaves, and how bad input ends."""

import hashlib
import json
import re
from pathlib import Path

import jsonschema
import pytest
from safetensors.torch import load_file

from tunesmith_trainer.exit_codes import ErrorClass
from tunesmith_trainer.testing import write_rows

CONTRACT = Path(__file__).parents[3] / "contract" / "v1"


def schema(name):
    return json.loads((CONTRACT / f"{name}.schema.json").read_text())


def test_the_loss_falls_on_the_rows_and_on_held_out_ones(workshop, undisturbed):
    result = workshop.result("undisturbed")
    assert result.final_loss < 0.9 * result.first_loss
    assert result.evaluation_loss.after < 0.9 * result.evaluation_loss.before
    assert result.steps == result.total_steps == 48


def test_rows_with_nothing_to_learn_are_counted_everywhere(workshop, undisturbed):
    assert workshop.result("undisturbed").training.dropped == {"noTrainableTokens": 1}
    assert undisturbed.progress()[-1]["droppedRows"] == {"noTrainableTokens": 1}


def test_every_line_is_as_the_contract_says(undisturbed):
    lines = undisturbed.said()
    for line in lines:
        jsonschema.validate(line, schema(line["tunesmith"].removesuffix("/v1")))
    assert {"progress/v1", "heartbeat/v1"} == {line["tunesmith"] for line in lines}
    stages = list(dict.fromkeys(line["stage"] for line in lines))
    assert stages == ["Starting", "Preparing", "LoadingModel", "Training", "Publishing", "Finished"]
    last = undisturbed.progress()[-1]
    assert (last["step"], last["totalSteps"]) == (48, 48)


def test_the_end_names_the_result_by_its_hash(workshop, undisturbed):
    message = undisturbed.message()
    written = (workshop.output("undisturbed") / "result.json").read_bytes()
    assert message.error_class is ErrorClass.SUCCESS
    assert (message.step, message.total_steps) == (48, 48)
    assert message.path == str(workshop.output("undisturbed"))
    assert message.result_sha256 == hashlib.sha256(written).hexdigest()
    files = [file for file in workshop.output("undisturbed").rglob("*") if file.is_file()]
    assert message.result_bytes == sum(file.stat().st_size for file in files)
    jsonschema.validate(json.loads(written), schema("result"))
    jsonschema.validate(json.loads(undisturbed.termination_log.read_text()), schema("termination"))


def test_the_adapter_is_whole_and_stands_beside_tokenizer_and_template(workshop, undisturbed):
    output, result = workshop.output("undisturbed"), workshop.result("undisturbed")
    tensors = load_file(output / "adapter_model.safetensors")
    assert len(tensors) == 2 * result.adapted_modules == 28
    assert any(tensor.any() for name, tensor in tensors.items() if "lora_B" in name)
    assert {"tokenizer.json", "chat_template.jinja", "adapter_config.json"} <= result.files.keys()
    assert not output.with_name(output.name + ".tmp").exists()


def test_only_the_newest_checkpoints_are_kept(workshop, undisturbed):
    left = {path.name for path in (workshop.root / "jobs/undisturbed/attempts/1/checkpoints").glob("checkpoint-*")}
    assert left == {"checkpoint-45", "checkpoint-48"}


@pytest.mark.parametrize("precision", ["AMP", "BF16"])
def test_packed_rows_train_in_every_precision(workshop, precision):
    uid = f"packed-{precision.lower()}"
    document = workshop.configuration(uid)
    document["training"] |= {"packing": True, "precision": precision, "learningRate": 0.02, "epochs": 2}
    document["tuning"] |= {"dropout": 0.1}
    pod = workshop.train(document)
    assert pod.ended() == 0, pod.output.read_text()
    result = workshop.result(uid)
    assert result.evaluation_loss.after < result.evaluation_loss.before
    assert result.total_steps < 32


def test_unlike_gpus_that_are_promised_simulated_ones_need_not_exist(workshop):
    document = workshop.configuration("promised", world={"gpusPerPod": 1})
    refused = workshop.train(document)
    assert refused.ended() == 30
    assert "given 1 GPUs and sees 0" in refused.message().message
    assert not (workshop.root / "jobs" / "promised").exists()
    simulated = workshop.train({**document, "simulatedGPUs": True, "checkpoints": {"count": 1}})
    assert simulated.ended() == 0, simulated.output.read_text()
    assert workshop.result("promised").simulated_gpus is True


def test_a_missing_dataset_is_a_user_error_that_names_the_path(workshop):
    pod = workshop.train(workshop.configuration("missing-data", data={"training": {"path": "/no/such.jsonl"}}))
    assert pod.ended() == 10
    assert "'/no/such.jsonl' does not exist" in pod.message().message


def test_a_missing_model_is_a_user_error_that_names_the_path(workshop):
    pod = workshop.train(workshop.configuration("missing-model", model={"path": "/no/model"}))
    assert pod.ended() == 11
    assert "no model in '/no/model'" in pod.message().message


def test_a_target_module_that_the_model_lacks_is_a_user_error(workshop):
    pod = workshop.train(workshop.configuration("bad-target", tuning={"targetModules": ["no_such_proj"]}))
    assert pod.ended() == 12
    assert "no_such_proj" in pod.message().message


def test_an_unknown_key_ends_before_anything_begins(workshop):
    pod = workshop.train(workshop.configuration("unknown-key") | {"colour": "green"})
    assert pod.ended() == 14
    assert "colour: Extra inputs are not permitted" in pod.message().message


def test_a_loss_that_is_no_number_ends_the_attempt_at_once(workshop):
    pod = workshop.train(workshop.configuration("diverges", training={"learningRate": 1e30, "maxGradNorm": 0}))
    assert pod.ended() == 15
    message = pod.message()
    assert message.step < 48
    named = re.search(r"It was made from lines ([0-9, ]+) of 'train.jsonl'", message.message)
    assert len({int(line) for line in named[1].split(",")} & set(range(1, 65))) == 4
    assert "Lower learningRate" in message.message
    assert not workshop.output("diverges").exists()


def test_a_broken_row_ends_every_process_of_a_pod_with_the_same_words(workshop):
    path = write_rows(workshop.root / "data" / "broken.jsonl", [{"text": "good"}, {"txt": "bad"}])
    document = workshop.configuration(
        "broken",
        data={"training": {"path": str(path)}},
        world={"processesPerPod": 2, "masterPort": workshop.free_port()},
    )
    document["training"] |= {"gradientAccumulation": 1}
    pod = workshop.launch(document)
    assert pod.ended() == 10, pod.output.read_text()
    assert pod.message().message.startswith("broken.jsonl line 2: has the keys 'txt'")
