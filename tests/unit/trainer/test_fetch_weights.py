"""Weights from the Hub: which files, at which commit, found again, and what is refused before it is fetched."""

import json

import numpy
import pytest
from safetensors.numpy import save
from tests.unit.trainer.fetch_builders import WEIGHTS, Heard, fetched, model_files

from tunesmith_trainer.exit_codes import ErrorClass, TrainerError
from tunesmith_trainer.fetch import depot
from tunesmith_trainer.testing_sources import COMMIT, Repository, ServedHub

SHARDS = {"model-1.safetensors": b"a" * 1000, "model-2.safetensors": b"b" * 1000}
INDEX = json.dumps({"metadata": {}, "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}).encode()


def a_hub(files=None, **about):
    return ServedHub({"models/owner/model": Repository(files or model_files(), **about)})


def bring(root, hub, *, token=None, heard=None, tuning=None, **model):
    secrets = {"TUNESMITH_MODEL_TOKEN": token} if token else {}
    wanted = {"repo": "owner/model", "endpoint": hub.url, **model}
    return fetched(root, model=wanted, tuning=tuning, secrets=secrets, heard=heard).model


def test_a_branch_becomes_a_commit_and_only_the_models_own_files_come(tmp_path):
    others = {
        "modeling_own.py": b"print()", "pytorch_model.bin": b"pickle", "original/consolidated.00.pth": b"pickle",
        "consolidated.safetensors": b"x", "onnx/model.onnx": b"x", "training_args.bin": b"x", "README.md": b"x",
        "chat_template.jinja": b"x", "LICENSE": b"x", "../outside.json": b"x",
    }  # fmt: skip
    with a_hub(model_files(**others)) as hub:
        heard = Heard()
        model = bring(tmp_path, hub, heard=heard)
    assert (model.path, model.revision) == (tmp_path / "weights" / "owner--model" / COMMIT, COMMIT)
    assert {path.name for path in model.path.iterdir()} == {
        "config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja",
        "LICENSE", "COMPLETE.json", "VERIFIED.json",
    }  # fmt: skip
    done, total, _ = heard.bytes[-1]
    assert done == total > len(WEIGHTS)


def test_a_token_goes_to_the_hub_and_never_to_its_content_network(tmp_path):
    with a_hub(token="hf_secret") as hub:
        bring(tmp_path, hub, token="hf_secret")
        assert {request.headers.get("authorization") for request in hub.asked} == {"Bearer hf_secret"}
        assert {request.headers.get("authorization") for request in hub.content.asked} == {None}


@pytest.mark.parametrize(("token", "status"), [(None, 401), ("hf_wrong", 403)])
def test_a_gated_model_says_what_to_do(tmp_path, token, status):
    with a_hub(token="hf_secret") as hub, pytest.raises(TrainerError, match=f"answered {status}") as ended:
        bring(tmp_path, hub, token=token)
    assert ended.value.error_class is ErrorClass.CREDENTIALS
    assert "Accept its conditions on the Hub" in ended.value.message
    assert "hf_wrong" not in ended.value.message


def test_a_revision_that_does_not_exist_is_the_models_error(tmp_path):
    with a_hub() as hub, pytest.raises(TrainerError, match="'owner/model' at 'v9' does not exist") as ended:
        bring(tmp_path, hub, revision="v9")
    assert ended.value.error_class is ErrorClass.MODEL


def test_a_revision_with_a_slash_is_asked_for_whole(tmp_path):
    with a_hub(revisions=("refs/pr/1",)) as hub:
        assert bring(tmp_path, hub, revision="refs/pr/1").revision == COMMIT


def test_shards_are_those_that_the_index_names(tmp_path):
    files = {"config.json": model_files()["config.json"], "model.safetensors.index.json": INDEX, **SHARDS}
    with a_hub(files | {"model-9.safetensors": b"left over"}) as hub:
        path = bring(tmp_path, hub).path
    assert {found.name for found in path.glob("*.safetensors")} == set(SHARDS)


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"pytorch_model.bin": b"x"}, r"no weights in safetensors .* it has pytorch_model.bin"),
        ({"model.safetensors.index.json": INDEX, "model-1.safetensors": b"x"}, "names model-2.safetensors, which"),
        ({"model.safetensors": b"x", "config.json": b"{"}, "its config.json is no JSON"),
        (
            {"model.safetensors": b"x", "config.json": b'{"model_type":"own","auto_map":{"AutoConfig":"own.C"}}'},
            "comes with code of its own",
        ),
        ({"model.safetensors": b"x", "config.json": b'{"model_type":"own"}'}, "'own' is not known"),
        (
            {
                "model.safetensors.index.json": INDEX,
                **SHARDS,
                "config.json": b'{"model_type":"llama4","architectures":["Llama4ForConditionalGeneration"]}',
            },
            "Llama4ForConditionalGeneration cannot be trained",
        ),
        (
            {
                "model.safetensors": b"x",
                "config.json": b'{"model_type":"qwen3","quantization_config":{"quant_method":"gptq"}}',
            },
            "'owner/model' are quantised with 'gptq'",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_by_name_before_its_weights_come(tmp_path, files, why):
    with a_hub({"config.json": model_files()["config.json"], **files}) as hub:
        with pytest.raises(TrainerError, match=why) as ended:
            bring(tmp_path, hub)
        assert not hub.content.asked
    assert ended.value.error_class is ErrorClass.MODEL


def test_four_bits_on_weights_that_are_quantised_already_are_refused_before_they_come(tmp_path):
    config = b'{"model_type":"gpt_oss","quantization_config":{"quant_method":"mxfp4"}}'
    with a_hub(model_files(**{"config.json": config})) as hub:
        with pytest.raises(TrainerError, match=r"quantised already \('mxfp4' in 'owner/model'\)") as ended:
            bring(tmp_path, hub, tuning={"type": "LoRA", "rank": 4, "alpha": 8, "baseQuantization": "NF4"})
        assert not hub.content.asked
        assert bring(tmp_path, hub).path.is_dir()
    assert ended.value.error_class is ErrorClass.LIMITS


def test_an_adapter_alone_is_no_model(tmp_path):
    files = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"x"}
    with a_hub(files) as hub, pytest.raises(TrainerError, match="only an adapter"):
        bring(tmp_path, hub)


@pytest.mark.parametrize("counted", [200, None])
def test_a_model_that_is_too_large_is_refused_whether_the_hub_counts_or_not(tmp_path, counted):
    tensors = {"a": numpy.zeros((10, 20), dtype="float16")}
    with a_hub(model_files(**{"model.safetensors": save(tensors)}), parameters=counted) as hub:
        from tunesmith_trainer.contract.preparation import FetchModel, HubModel
        from tunesmith_trainer.fetch.weights import bring_model

        wanted = FetchModel(
            type="HuggingFace", hugging_face=HubModel(repo="owner/model", endpoint=hub.url), max_parameters=199
        )
        with pytest.raises(TrainerError, match=r"0.0 billion parameters; at most") as ended:
            run_bring(tmp_path, bring_model, wanted)
        assert bool(hub.content.asked) is (counted is None)
    assert ended.value.error_class is ErrorClass.MODEL


def run_bring(root, bring_model, wanted):
    from tests.unit.trainer.fetch_builders import IMPATIENT

    from tunesmith_trainer.fetch.secrets import Secrets
    from tunesmith_trainer.fetch.transfer import Conditions
    from tunesmith_trainer.fetch.web import Web

    counter = depot.Counter(lambda *_: None)
    with Web(IMPATIENT) as web:
        around = depot.Depot(Conditions(IMPATIENT, counter, lambda: None), counter, lambda _: None)
        return bring_model(wanted, root, Secrets({}), web, around)


def test_the_second_job_finds_what_the_first_fetched(tmp_path):
    with a_hub() as hub:
        first = bring(tmp_path, hub)
        before = len(hub.content.asked)
        assert bring(tmp_path, hub) == first
        assert len(hub.content.asked) == before


def test_a_commit_that_lies_there_needs_no_network(tmp_path):
    with a_hub() as hub:
        first = bring(tmp_path, hub, revision=COMMIT)
        before = len(hub.asked)
        assert bring(tmp_path, hub, revision=COMMIT) == first
        assert len(hub.asked) == before


def test_a_file_that_was_cut_on_the_storage_is_fetched_again_and_no_other(tmp_path):
    with a_hub() as hub:
        path = bring(tmp_path, hub).path
        (path / "tokenizer.json").write_bytes(b"")
        before = len(hub.content.asked)
        heard = Heard()
        assert (bring(tmp_path, hub, heard=heard).path / "tokenizer.json").read_bytes() == b"{}"
        assert len(hub.content.asked) == before
    assert "is damaged (tokenizer.json)" in heard.words[0]
    assert [found.name for found in path.parent.iterdir() if found.is_dir()] in ([".locks", COMMIT], [COMMIT, ".locks"])


def test_contents_are_looked_at_again_after_a_week(tmp_path, monkeypatch):
    with a_hub() as hub:
        path = bring(tmp_path, hub).path / "model.safetensors"
        path.write_bytes(b"!" + WEIGHTS[1:])
        assert bring(tmp_path, hub).path == path.parent
        assert path.read_bytes() != WEIGHTS
        monkeypatch.setattr(depot, "SECONDS_BETWEEN_FULL_LOOKS", -1)
        bring(tmp_path, hub)
    assert path.read_bytes() == WEIGHTS
