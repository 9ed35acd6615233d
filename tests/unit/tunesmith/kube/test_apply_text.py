"""The text of a server-side apply is JSON, and YAML as the API server's reader takes it."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tunesmith.kube.apply_text import yaml_of

anything = st.text(st.characters(exclude_categories=("Cs",)))


@given(anything)
def test_every_text_comes_back_whole_from_json_and_from_yaml(text):
    written = yaml_of({"message": text})
    assert json.loads(written) == {"message": text}
    assert yaml.safe_load(written) == {"message": text}


@pytest.mark.parametrize("text", ("\U0001f680", "o\U000b2504\U00037e27"))
def test_no_pair_of_surrogate_escapes_is_written(text):
    assert "\\ud" not in yaml_of(text).lower()


def test_half_a_pair_which_nothing_can_carry_is_replaced():
    assert json.loads(yaml_of("a\ud83db")) == "a\ufffdb"
