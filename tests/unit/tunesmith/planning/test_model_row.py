"""A model that is named by its repository gets what the catalogue knows of that repository."""

import pytest
from tests.unit.tunesmith.planning.job_builders import a_job, a_model, an_observation, decide

from tunesmith.catalog.loader import bundled
from tunesmith.planning.acceptance import plan_of
from tunesmith.planning.configuration import configuration
from tunesmith.planning.model_row import names_model, row_of, stored_job_names
from tunesmith.planning.refusal import Refusal
from tunesmith.planning.sources import fetch_section
from tunesmith.resources.catalog_model import Weights
from tunesmith.resources.conditions import find_condition

REPO = "org/tiny-instruct"
FREE = {"training": {"batchSize": None, "contextLength": None}}


def a_row(name, source=None, repo=REPO):
    spec = {"id": f"provider/{name}", "weights": {"huggingFace": {"repo": repo}}}
    return {"metadata": {"name": name}, "spec": {**spec, **({} if source is None else {"source": source})}}


def of_the_hub(repo=REPO, **spec):
    model = {"type": "HuggingFace", "catalog": None, "huggingFace": {"repo": repo}}
    return a_job({"model": model, "weightsPath": None, **spec})


def a_known_model(*, gated=False, **limits):
    row = a_model(**limits)
    weights = Weights.model_validate({"huggingFace": {"repo": REPO}, "gated": gated})
    return row.model_copy(update={"spec": row.spec.model_copy(update={"weights": weights})})


@pytest.mark.parametrize("spelled", [REPO, "Org/Tiny-Instruct"])
def test_a_row_is_found_by_the_repository_of_its_weights(spelled):
    assert row_of(of_the_hub(spelled), [a_row("other", repo="org/other"), a_row("ours")]) == a_row("ours")
    assert row_of(of_the_hub("org/tiny"), [a_row("ours")]) is None


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([a_row("a", "Bundled"), a_row("b", "Provider"), a_row("c", "User")], "c"),
        ([a_row("a", "Bundled"), a_row("b", "Provider")], "b"),
        ([a_row("a", "Bundled"), a_row("b")], "b"),
        ([a_row("b", "Bundled"), a_row("a", "Bundled")], "a"),
    ],
    ids=["the user's own", "the provider's newest", "no source is the user's", "or the first by name"],
)
def test_of_several_rows_the_nearest_to_the_user_counts(rows, expected):
    for order in (rows, rows[::-1]):
        assert row_of(of_the_hub(), order)["metadata"]["name"] == expected


def test_a_row_that_is_named_is_found_by_its_objects_name_before_its_id():
    by_id = {"metadata": {"name": "a"}, "spec": {"id": "tiny"}}
    assert row_of(a_job(), [by_id, a_row("tiny")])["metadata"]["name"] == "tiny"
    assert row_of(a_job(), [by_id]) is by_id
    assert row_of(a_job(), [a_row("other", repo="tiny")]) is None


@pytest.mark.parametrize(
    "job",
    [a_job(), of_the_hub(), of_the_hub("Org/TINY-instruct"), a_job({"model": {"catalog": {"name": "provider/ours"}}})],
    ids=["by name", "by repository", "in other letters", "by id"],
)
@pytest.mark.parametrize("row", [a_row("tiny", repo="org/tiny"), a_row("ours"), {"metadata": {"name": "bare"}}])
def test_a_job_as_it_is_stored_names_the_same_rows(job, row):
    stored = job.model_dump(mode="json", by_alias=True, exclude_none=True)
    assert stored_job_names(stored, row) == names_model(job, row)


def test_a_path_is_no_row():
    assert not names_model(a_job({"model": {"type": "Path", "catalog": None, "path": "tiny"}}), a_row("tiny"))


def test_the_rows_limits_and_numbers_hold():
    seen = an_observation(of_the_hub(**FREE), model=a_known_model())
    assert plan_of(seen).context_length == 8192
    assert plan_of(seen).batch.rows == 96
    assert configuration(seen, plan_of(seen), 1)["training"]["precision"] == "AMP"
    refused = plan_of(an_observation(of_the_hub(training={"contextLength": 16384}), model=a_known_model()))
    assert isinstance(refused, Refusal)
    assert refused.reason == "ContextTooLong"


def test_a_row_of_the_users_own_says_otherwise():
    seen = an_observation(of_the_hub(training={"contextLength": 16384}), model=a_known_model(contextLengthSFT=32768))
    assert plan_of(seen).context_length == 16384


def test_the_weights_come_from_where_the_job_says_and_size_is_refused_only_where_nobody_knows_the_model():
    job, installation = of_the_hub(), an_observation().around.installation
    known = fetch_section(job.spec, a_known_model(), installation)["model"]
    assert known["huggingFace"] == {"repo": REPO, "revision": "main"}
    assert "maxParameters" not in known
    assert fetch_section(job.spec, None, installation)["model"]["maxParameters"] == 100_000_000_000


def test_a_gated_repository_is_the_jobs_own_matter():
    token = {"huggingFace": {"repo": REPO, "tokenSecretRef": {"name": "hub", "key": "token"}}}
    job = a_job({"model": {"type": "HuggingFace", "catalog": None, **token}, "weightsPath": None})
    decision = decide(an_observation(job, model=a_known_model(gated=True)))
    assert find_condition(decision.status.conditions, "Accepted").status == "True"


def test_the_table_of_jobs_shows_what_the_user_wrote():
    decision = decide(an_observation(of_the_hub(), model=a_known_model()))
    assert decision.status.model_name == REPO


@pytest.mark.parametrize("model", [one for one in bundled() if one.spec.weights is not None], ids=lambda one: one.name)
def test_every_bundled_row_is_found_by_its_repository(model):
    rows = [one.as_resource() for one in bundled()]
    found = row_of(of_the_hub(model.spec.weights.hugging_face.repo), rows)
    assert found["metadata"]["name"] == model.name
