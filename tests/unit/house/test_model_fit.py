"""The page of what fits on which GPUs is what the formula says."""

import importlib.util
from pathlib import Path

from tunesmith.catalog.loader import bundled
from tunesmith.resources.catalog_model import ModelTask

ROOT = Path(__file__).parents[3]
SPEC = importlib.util.spec_from_file_location("model_fit", ROOT / "tools" / "model_fit.py")
model_fit = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(model_fit)
PAGE = (ROOT / model_fit.PAGE).read_text()


def test_the_page_is_current():
    assert model_fit.page() == PAGE


def test_every_model_that_can_be_tuned_has_its_row_ten_need_what_is_not_built_and_four_do_not_train():
    assert all(f"| `{model.spec.id}` |" in PAGE for model in bundled() if ModelTask.FINE_TUNE in model.spec.tasks)
    assert PAGE.count("| *one sequence over all GPUs* |") == 10
    assert PAGE.count("| *not trained* |") == 4
    assert "not estimated" not in PAGE
