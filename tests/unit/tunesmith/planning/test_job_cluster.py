"""The GPUCluster that a job's template makes: with every purchase field that the template has."""

import pytest
from tests.unit.tunesmith.planning.job_builders import (
    NOON,
    TEMPLATE,
    a_cluster,
    a_job,
    after,
    an_observation,
    message,
    reason,
    waiting_in_line,
)

from tunesmith.planning.actions import ApplyObject
from tunesmith.planning.fine_tune_job import decide
from tunesmith.planning.neighbours import wanting_jobs
from tunesmith.resources.conditions import Condition, is_true
from tunesmith.resources.schema import to_raw


def test_a_template_hands_every_purchase_field_to_its_cluster():
    wanted = {
        "alternatives": [{"region": "eu-west-1", "gpuType": "H100_SXM"}],
        "components": {"dashboard": "Disabled"},
        "addOns": [{"name": "headlamp", "enabled": True}],
        "acceptanceTests": {"dcgmLevel": "Short"},
    }
    template = {**TEMPLATE, "template": {**TEMPLATE["template"], **wanted}}
    seen = an_observation(a_job({"placement": template}), cluster=None)
    seen = after(seen, decide(seen))  # the finalizer
    (apply,) = [each for each in decide(seen).actions if isinstance(each, ApplyObject)]
    made = apply.manifest["spec"]
    assert {name: made[name] for name in wanted} == wanted


def a_cluster_that_is_not_ready(why, said, *, stalled):
    """The GPUCluster's own words about why it is not there."""
    told = {"reason": why, "message": said, "last_transition_time": NOON}
    conditions = (
        Condition(type="Ready", status="False", **told),
        Condition(type="Stalled", status=str(stalled), **told),
    )
    cluster = a_cluster(ready=False)
    return cluster.model_copy(update={"status": cluster.status.model_copy(update={"conditions": conditions})})


BY_TEMPLATE = {"placement": TEMPLATE}
ANOTHER = "Delete this job and make another with a template that can be bought."
BY_ITSELF = "The job goes on by itself once the cluster does."


@pytest.mark.parametrize(
    ("spec", "why", "way_out"),
    [
        (BY_TEMPLATE, "RegionUnknown", ANOTHER),
        (BY_TEMPLATE, "CredentialsRefused", BY_ITSELF),
        ({}, "RegionUnknown", BY_ITSELF),
    ],
    ids=["a template that cannot be bought", "a template with a wrong key", "a cluster that is named"],
)
def test_a_job_whose_cluster_somebody_must_mend_says_what_the_cluster_says(spec, why, way_out):
    said = "The provider has no region 'moon-1'."
    seen = waiting_in_line(a_job(spec), cluster=a_cluster_that_is_not_ready(why, said, stalled=True))
    decision = decide(seen)
    assert is_true(decision.status.conditions, "Stalled")
    assert reason(decision, "ClusterReady") == "ClusterNotReady"
    assert message(decision).endswith(f"is not ready for pods yet ({why}): {said} {way_out}")
    assert wanting_jobs([to_raw(after(seen, decision).job)], "gpus") == frozenset()
    mended = decide(after(seen, decision, cluster=a_cluster()))
    assert not is_true(mended.status.conditions, "Stalled")


@pytest.mark.parametrize("spec", [BY_TEMPLATE, {}], ids=["template", "named"])
def test_a_cluster_that_is_sold_out_for_now_is_waited_for(spec):
    said = "Nothing was bought. It is tried again."
    cluster = a_cluster_that_is_not_ready("OutOfStock", said, stalled=False)
    decision = decide(waiting_in_line(a_job(spec), cluster=cluster))
    assert is_true(decision.status.conditions, "Reconciling")
    assert message(decision).endswith(f"(OutOfStock): {said} The job waits.")
