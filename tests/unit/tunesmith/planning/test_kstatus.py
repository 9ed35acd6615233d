"""What generic tools conclude from the conditions of each kind: every standing, whatever the other conditions say."""

from datetime import UTC, datetime

import pytest
from tests.e2e.kstatus import CURRENT, FAILED, IN_PROGRESS, TERMINATING, kstatus

from tunesmith.controllers.refusal import refused_status
from tunesmith.planning.verdict import Standing, Summary, Verdict, told
from tunesmith.resources.kinds import KINDS
from tunesmith.resources.metadata import Status
from tunesmith.resources.parsing import Invalid

NOW = datetime(2026, 1, 1, tzinfo=UTC)
GENERATION = 3
SUMMARY = ("Ready", "Reconciling", "Stalled")
TABLE = {
    Standing.DONE: (("True", "False", "False"), CURRENT),
    Standing.WORKING: (("False", "True", "False"), IN_PROGRESS),
    Standing.STALLED: (("False", "False", "True"), FAILED),
    # A cluster that was released on purpose has no word of its own in kstatus; nobody may take it for usable.
    Standing.RESTING: (("False", "False", "False"), IN_PROGRESS),
}

each_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
each_standing = pytest.mark.parametrize("standing", Standing, ids=lambda standing: standing.value)
whatever_else_holds = pytest.mark.parametrize("others", [True, False, None], ids=["true", "false", "unknown"])


def a_resource(kind, standing, others=None, **metadata):
    """As the API server has it; `others` is what all conditions say but the three of the summary."""
    verdicts = {each: Verdict(others, "Because", "-") for each in kind.conditions if each not in SUMMARY}
    summary = Summary(standing, "Because", "-")
    status = told(Status(), summary, verdicts, order=kind.conditions, generation=GENERATION, now=NOW)
    written = status.model_dump(mode="json", by_alias=True)
    return {"kind": kind.name, "metadata": {"name": "it", "generation": GENERATION, **metadata}, "status": written}


@each_kind
@each_standing
@whatever_else_holds
def test_a_standing_is_the_word_that_it_means(kind, standing, others):
    resource = a_resource(kind, standing, others)
    said = {each["type"]: each["status"] for each in resource["status"]["conditions"]}
    conditions, word = TABLE[standing]
    assert list(said) == list(kind.conditions)
    assert tuple(said[each] for each in SUMMARY) == conditions
    assert kstatus(resource) == word


@each_kind
@each_standing
def test_a_newer_generation_is_in_progress_and_a_deleted_one_terminates(kind, standing):
    assert kstatus(a_resource(kind, standing, generation=GENERATION + 1)) == IN_PROGRESS
    assert kstatus(a_resource(kind, standing, deletionTimestamp="2026-01-01T00:00:00Z")) == TERMINATING


@each_kind
def test_before_the_first_visit_it_is_in_progress(kind):
    fresh = {"kind": kind.name, "metadata": {"name": "it", "generation": 1}, "status": {"observedGeneration": -1}}
    assert kstatus(fresh) == IN_PROGRESS


@each_kind
@each_standing
def test_what_cannot_be_read_has_failed_whatever_was_said_before(kind, standing):
    resource = a_resource(kind, standing, generation=GENERATION + 1)
    invalid = Invalid("spec.region", "It is missing.")
    assert kstatus({**resource, "status": refused_status(resource, invalid, NOW)}) == FAILED
