"""How a SharedVolume is let go of: who keeps it, what is kept, and when it is believed to be gone."""

from dataclasses import replace

from tests.unit.tunesmith.planning.cluster_builders import MONOTONIC, a_provider_cluster, a_view, lets_go
from tests.unit.tunesmith.planning.volume_builders import (
    BOUGHT,
    NAME,
    a_naming_cluster,
    a_volume,
    at_provider,
    intent,
    message,
    only,
    reason,
    seen,
)

from tunesmith.planning.circumstances import FailureRecord
from tunesmith.planning.decision import ErrorClass, Failure, Outcome
from tunesmith.planning.looks import LookAtProvider
from tunesmith.planning.name_book import KeepName, Kept
from tunesmith.planning.neighbours import storing_jobs
from tunesmith.planning.orders import DeleteVolume
from tunesmith.planning.provider import AttachedVolume, Credential
from tunesmith.planning.purchase import PurchaseMemory
from tunesmith.planning.shared_volume import decide
from tunesmith.resources.conditions import find_condition


def test_a_volume_is_not_let_go_while_an_order_may_bring_it():
    decision = decide(seen(a_volume(deleting=True), clusters=(a_naming_cluster(buying=True),)))
    assert (decision.actions, reason(decision)) == ((), "InUse")


def test_what_is_being_deleted_is_not_told_to_be_there():
    resource = a_volume(status=BOUGHT, deleting=True, deletionPolicy="Delete")
    decision = decide(seen(resource, a_view(volumes=(at_provider(),))))
    assert reason(decision, "Provisioned") == "Deleting"


def test_deletion_protection_keeps_the_volume():
    kept = a_volume(status=BOUGHT, deleting=True, annotations={"tunesmith.dev/deletion-protection": "enabled"})
    decision = decide(seen(kept, a_view(volumes=(at_provider(),))))
    assert (decision.actions, reason(decision, "Stalled")) == ((), "DeletionProtected")


def test_a_volume_in_use_refuses_deletion_and_says_by_whom():
    resource = a_volume(status=BOUGHT, deleting=True, deletionPolicy="Delete")
    view = a_view(volumes=(at_provider("bound"),))
    decision = decide(seen(resource, view, clusters=(a_naming_cluster(cluster_id="c-1"),)))
    assert (decision.actions, reason(decision)) == ((), "InUse")
    assert "'train'" in find_condition(decision.status.conditions, "Ready").message


def test_a_volume_that_stays_does_not_wait_for_a_cluster_that_stays_too():
    stays = a_provider_cluster(volumes=(AttachedVolume("v-1", str(NAME), 2, "bound"),))
    attached = a_view(stays, volumes=(at_provider("bound"),))
    lets_go(decide(seen(a_volume(status=BOUGHT, deleting=True), attached)))
    kept = decide(
        seen(a_volume(status=BOUGHT, deleting=True), attached, clusters=(a_naming_cluster(cluster_id="c-1"),))
    )
    assert (kept.actions, reason(kept)) == ((), "InUse")
    to_be_deleted = a_volume(status=BOUGHT, deleting=True, deletionPolicy="Delete")
    assert reason(decide(seen(to_be_deleted, attached))) == "InUse"


def test_retain_is_the_default_and_tells_that_it_bills():
    decision = decide(seen(a_volume(status=BOUGHT, deleting=True), a_view(volumes=(at_provider(),))))
    assert lets_go(decision).finalizers == ()
    assert KeepName(str(NAME), Kept.RETAINED) in decision.actions
    assert decision.events[0].reason == "Retained"


def test_delete_deletes_and_waits_until_it_is_gone():
    resource = a_volume(status=BOUGHT, deleting=True, deletionPolicy="Delete")
    assert only(decide(seen(resource, a_view(volumes=(at_provider(),)))), DeleteVolume).volume_id == "v-1"
    once = PurchaseMemory(first_seen=940.0).with_look("v-1", begun=1000.0, present=False)
    waiting = decide(seen(resource, a_view(not_found={"v-1": 1000.0}, begun=1001.0), memory=once, monotonic=1001.0))
    assert (waiting.actions, reason(waiting)) == ((), "ConfirmingAbsence")
    gone = decide(seen(resource, a_view(not_found={"v-1": 1031.0}, begun=1031.0), memory=once, monotonic=1031.0))
    lets_go(gone)


def test_a_provider_that_falls_silent_while_absence_is_confirmed_is_told_and_asked_on():
    failure = FailureRecord(1, 990.0, Failure(ErrorClass.UNAVAILABLE, "The provider answered 503."))
    silent = {"monotonic": 1301.0, "failures": {LookAtProvider(0.0).identity: failure}}
    once = PurchaseMemory(first_seen=940.0).with_look("v-1", begun=1000.0, present=False)
    view = a_view(not_found={"v-1": 1000.0}, begun=1001.0)
    to_be_deleted = a_volume(status=BOUGHT, deleting=True, deletionPolicy="Delete")
    ordered = a_volume(status={"createIntent": intent(clusterName="gone", clusterUID="u-9")}, deleting=True)
    unsettled = PurchaseMemory(first_seen=940.0).with_intent_seen("n1", 1000.0)
    for resource, memory in ((to_be_deleted, once), (ordered, unsettled)):
        decision = decide(seen(resource, view, memory=memory, **silent))
        assert reason(decision, "Stalled") == "AbsenceUnproven"
        only(decision, LookAtProvider)
    living = decide(seen(a_volume(status=BOUGHT), view, memory=once, **silent))
    assert (reason(living, "Reconciling"), "503" in message(living)) == ("ProviderUnreachable", True)


def test_a_new_key_that_shows_a_volume_that_goes_proves_its_absence_later():
    resource, new = a_volume(status=BOUGHT, deleting=True, deletionPolicy="Delete"), Credential("key-2")
    going = decide(seen(resource, a_view(volumes=(at_provider(),)), credential=new))
    assert going.status.credential_fingerprint == "key-2"
    resource = resource.model_copy(update={"status": going.status})
    once = PurchaseMemory(first_seen=940.0).with_look("v-1", begun=1000.0, present=False)
    view = a_view(not_found={"v-1": 1031.0}, begun=1031.0)
    lets_go(decide(seen(resource, view, memory=once, monotonic=1031.0, credential=new)))


def test_a_delete_that_the_provider_refuses_or_never_ends_is_told_and_asked_on():
    to_be_deleted = {"deleting": True, "deletionPolicy": "Delete"}
    told = decide(seen(a_volume(status=BOUGHT, **to_be_deleted), a_view(volumes=(at_provider(),)))).status
    resource = a_volume(status=told.model_dump(by_alias=True, exclude_none=True), **to_be_deleted)

    def after(seconds, **more):
        return decide(
            seen(
                resource,
                a_view(volumes=(at_provider(),), begun=MONOTONIC + seconds),
                monotonic=MONOTONIC + seconds,
                **more,
            )
        )

    assert reason(after(3500)) == "Deleting"
    late = after(3700)
    assert (reason(late, "Stalled"), "abandon" in message(late)) == ("NotGivenBack", True)
    assert only(late, DeleteVolume).volume_id == "v-1"
    failure = FailureRecord(5, MONOTONIC, Failure(ErrorClass.CONFLICT, "The provider refused."))
    refused = after(60, failures={DeleteVolume("v-1").identity: failure})
    assert (reason(refused, "Stalled"), "refused" in message(refused)) == ("NotGivenBack", True)


def test_a_second_volume_of_the_resource_is_deleted_with_it_and_named_when_it_is_kept():
    beside = at_provider(volume_id="v-2")
    once = PurchaseMemory(first_seen=940.0).with_look("v-1", begun=1000.0, present=False)
    view = a_view(volumes=(beside,), not_found={"v-1": 1031.0}, begun=1031.0)
    resource = a_volume(status=BOUGHT, deleting=True, deletionPolicy="Delete")
    first = seen(resource, view, memory=once, monotonic=1031.0)
    recorded = tuple(Outcome(action) for action in decide(first).actions)
    decision = decide(replace(first, around=replace(first.around, outcomes=recorded)))
    assert (decision.status.volume_id, decision.events[0].reason) == (None, "DuplicateFound")
    found = decide(replace(first, resource=resource.model_copy(update={"status": decision.status})))
    deleted = decide(replace(first, resource=resource.model_copy(update={"status": found.status})))
    assert only(deleted, DeleteVolume).volume_id == "v-2"
    kept = decide(seen(a_volume(status=BOUGHT, deleting=True), a_view(volumes=(at_provider(), beside))))
    assert "v-2" in kept.events[0].message


def test_an_election_that_may_have_ordered_is_settled_before_the_resource_goes():
    resource = a_volume(status={"createIntent": intent(clusterName="gone", clusterUID="u-9")}, deleting=True)
    memory = PurchaseMemory(first_seen=940.0).with_intent_seen("n1", 1000.0)
    decision = decide(seen(resource, memory=memory))
    assert (decision.actions, reason(decision)) == ((), "LookingBeforeBuying")


def test_a_volume_that_jobs_store_on_refuses_deletion_and_names_them():
    resource = a_volume(status=BOUGHT, deleting=True, deletionPolicy="Delete")
    jobs = ("a", "b", "c", "d", "e", "f")
    view = a_view(volumes=(at_provider("bound"),))
    decision = decide(seen(resource, view, clusters=(a_naming_cluster(cluster_id="c-1"),), jobs=jobs))
    assert (decision.actions, reason(decision)) == ((), "InUse")
    assert "GPUCluster 'train' and FineTuneJobs 'a', 'b', 'c', 'd', 'e' and 1 more" in message(decision)
    alone = decide(seen(resource, a_view(volumes=(at_provider(),)), jobs=("a",)))
    assert "FineTuneJob 'a'" in message(alone, "InUse")


def test_jobs_that_have_ended_or_are_being_deleted_do_not_keep_a_volume():
    def job(name, volume="data", **more):
        storage = {"type": "SharedVolume", "sharedVolume": {"name": volume}}
        return {"metadata": {"name": name, **more.pop("meta", {})}, "spec": {"storage": storage}, **more}

    ended = {"conditions": [{"type": "Failed", "status": "True"}]}
    jobs = [
        job("waits"),
        job("ended", status=ended),
        job("goes", meta={"deletionTimestamp": "2026-01-01T00:00:00Z"}),
        job("elsewhere", volume="other"),
        {"metadata": {"name": "local"}, "spec": {"storage": {"type": "Claim", "claim": {"name": "data"}}}},
    ]
    assert storing_jobs(jobs, "data") == ("waits",)
