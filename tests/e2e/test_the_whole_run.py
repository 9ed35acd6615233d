"""What must be true when all other tests have run: these go last, and look back on everything that was seen."""

import pytest
from tests.e2e.kstatus import kstatus
from tests.e2e.oracles import OWN_KINDS, disagreements, forbidden, places_with_a_key
from tests.e2e.rights import RARE, granted, used

from tunesmith.cloud.audit_reading import read_audit
from tunesmith.resources.reasons import Reason

MANAGER = "tunesmith"


@pytest.fixture(scope="module", autouse=True)
def everything_is_deleted(world):
    """All namespaces of tests, with what they held; so nothing owns anything any more."""
    for name in world.namespaces:
        world.stage.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")

    def left():
        found = [(kind, it["metadata"]) for kind in OWN_KINDS for it in world.items(kind)]
        return [f"{kind} {metadata['namespace']}/{metadata['name']}" for kind, metadata in found]

    world.until(lambda: not left(), lambda: f"these should go with their namespaces: {left()}", 240)


def test_the_provider_holds_nothing_that_no_resource_owns(world):
    world.until(lambda: not world.clusters, lambda: f"the provider still holds {world.clusters}")
    retained = {each for each in (it["metadata"].get("uid") for it in retained_volumes(world)) if each}
    unowned = [each["volume_name"] for each in world.volumes]
    assert len(unowned) == len(retained), unowned


def retained_volumes(world):
    """The last version of every volume that said `Retain`."""
    last = {it["metadata"]["uid"]: it for it in world.recorder.versions("SharedVolume")}
    return [it for it in last.values() if it["spec"]["deletionPolicy"] == "Retain" and it["status"].get("volumeID")]


def test_no_cluster_was_bought_twice(world):
    names = [each["cluster_name"] for each in world.stage.provider_state()["clusters"]]
    assert len(names) == len(set(names))


def test_the_operator_was_never_forbidden_anything(world):
    assert world.audit.of_operator()
    assert forbidden(world) == []


def test_every_right_that_the_chart_grants_is_used(world):
    rights = "/apis/rbac.authorization.k8s.io/v1"
    roles = [*world.reader.items(f"{rights}/clusterroles"), *world.reader.items(f"{rights}/roles")]
    allowed = granted(each for each in roles if each["metadata"]["name"] in {"tunesmith", "tunesmith-lease"})
    asked = used(world.audit.of_operator())
    assert sorted(str(right) for right in allowed - asked - RARE.keys()) == []
    assert sorted(str(right) for right in RARE.keys() - allowed) == [], "these are not granted any more"


def test_kstatus_agrees_with_every_status_that_was_seen(world):
    assert disagreements(world) == []


def test_a_job_that_failed_is_failed_and_one_that_succeeded_is_current(world):
    for it in world.recorder.versions("FineTuneJob"):
        said = {each["type"]: each["status"] for each in it["status"].get("conditions", [])}
        if (
            it["metadata"].get("deletionTimestamp")
            or it["status"]["observedGeneration"] != it["metadata"]["generation"]
        ):
            continue
        if said.get("Failed") == "True":
            assert kstatus(it) == "Failed"
        if said.get("Succeeded") == "True":
            assert kstatus(it) == "Current"


def test_every_condition_is_set_from_the_first_visit_on(world):
    for kind in OWN_KINDS:
        seen = [it for it in world.recorder.versions(kind) if it["status"].get("conditions")]
        for uid in {it["metadata"]["uid"] for it in seen}:
            sets = {
                frozenset(c["type"] for c in it["status"]["conditions"]) for it in seen if it["metadata"]["uid"] == uid
            }
            assert len(sets) == 1, kind


def test_the_operator_never_changed_what_users_wrote(world):
    for kind in OWN_KINDS:
        for it in world.recorder.versions(kind):
            made_by_us = any(owner["kind"] == "FineTuneJob" for owner in it["metadata"].get("ownerReferences", []))
            for entry in it["metadata"].get("managedFields", []):
                if entry["manager"] != MANAGER or made_by_us:
                    continue
                assert set(entry["fieldsV1"]) <= {"f:metadata", "f:status"}, (kind, it["metadata"]["name"])
                metadata = entry["fieldsV1"].get("f:metadata", {})
                assert set(metadata) <= {"f:finalizers", "f:annotations"}
                annotations = set(metadata.get("f:annotations", {})) - {"."}
                assert all(name.startswith("f:tunesmith.dev/") for name in annotations)


def test_the_api_key_is_nowhere(world):
    assert world.recorder.versions("GPUCluster")
    assert world.recorder.versions("Event")
    assert world.operator_logs()
    assert places_with_a_key(world) == []


def test_every_write_to_the_provider_is_in_the_audit_log_with_its_resource(world):
    writes = read_audit(line for log in world.operator_logs() for line in log.read_text(errors="replace").splitlines())
    assert {"create", "delete"} <= {write.line.verb for write in writes}
    assert all(write.line.resource.uid for write in writes)


def test_every_event_has_a_reason_that_is_explained(world):
    own = [
        it
        for it in world.recorder.versions("Event")
        if it["involvedObject"].get("apiVersion", "").startswith("tunesmith")
    ]
    assert own
    unknown = {it["reason"] for it in own} - {str(reason) for reason in Reason}
    assert unknown == set()
