"""A tiny model on disk, made once."""

import pytest

from tunesmith_trainer.testing import tiny_model


@pytest.fixture(scope="session")
def model_path(tmp_path_factory):
    return tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def tokenizer(model_path):
    from tunesmith_trainer.model import load_tokenizer

    return load_tokenizer(model_path)
