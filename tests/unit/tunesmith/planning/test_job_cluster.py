"""The GPUCluster that a job's template makes: with every purchase field that the template has."""

from tests.unit.tunesmith.planning.job_builders import TEMPLATE, a_job, after, an_observation

from tunesmith.planning.actions import ApplyObject
from tunesmith.planning.fine_tune_job import decide


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
