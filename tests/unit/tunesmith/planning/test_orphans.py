"""What bills at the provider and no resource answers for: what is told, and what it takes to be deleted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.tunesmith.planning.cluster_builders import (
    INTENT,
    NAME,
    OWN_MEMORY,
    UID,
    a_cluster_resource,
    a_provider_cluster,
    a_view,
    bought_status,
    circumstances,
    seen,
)

from tunesmith.planning.circumstances import FailureRecord, Installation
from tunesmith.planning.decision import Decision, ErrorClass, Failure
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.name_book import Entry, KeepName, Kept, NotePolicy, RecordName, after, read_book, written_book
from tunesmith.planning.naming import provider_name
from tunesmith.planning.orders import BuyCluster, ChangeCluster, ClusterChanges
from tunesmith.planning.orphan_report import OrphanReport, report_of
from tunesmith.planning.orphan_sight import Look, out_of_sight
from tunesmith.planning.orphans import (
    Found,
    Grounds,
    Orphan,
    Owners,
    Seen,
    own_things,
    owners_of,
    sentence,
    sweep,
    with_refused_deletions,
    without_owner,
)
from tunesmith.planning.policy_noted import with_policy_noted
from tunesmith.planning.price_table import Prices
from tunesmith.planning.provider import ProviderVolume

NOW = datetime(2026, 1, 10, 12, 0, tzinfo=UTC)
REPORTING = Installation(id="prod01", prices=Prices({"H100_SXM": Decimal("3.99")}, Decimal("163.84")))
DELETING = replace(REPORTING, orphans_are_deleted=True)
OLD = NOW - timedelta(days=3)


def an_orphan(number=1, *, created=OLD, kind="GPUCluster", status="Ready"):
    name = provider_name(installation_id="prod01", kind=kind, namespace="ml", name=f"lost-{number}", uid=f"u{number}")
    if kind == "SharedVolume":
        return Found(kind, f"v-{number}", str(name), status, size_tib=2)
    return Found(kind, f"c-{number}", str(name), status, "us-central-8", "H100_SXM", 8, created=created)


def ordered(*things, at=OLD, **more):
    return {each.name: Entry(at, **more) for each in things}


def swept(*things, book=None, installation=DELETING, since=3600.0, owners=None, memory=None, **more):
    """A sweep days after they were first seen without an owner, and an hour after this process saw them first."""
    remembered = {each.id: Seen(0.0, OLD) for each in things} if memory is None else memory
    book = book if book is not None else ordered(*things)
    grounds = Grounds(owners or Owners(), book, installation, NOW, since, **more)
    return sweep(things, remembered, grounds)


def test_what_no_resource_answers_for_is_told_with_its_cost_so_far():
    result = swept(an_orphan(), installation=REPORTING)
    (orphan,) = result.orphans
    assert result.tell == (orphan,)
    assert result.delete == ()
    assert (orphan.hourly_usd, orphan.cost_usd(NOW)) == (Decimal("31.92"), Decimal("2298.24"))
    assert "$2298.24 so far" in sentence(orphan, NOW)
    assert "only reports" in sentence(orphan, NOW)


def test_a_cost_is_not_told_where_the_price_is_not_known():
    (unpriced,) = swept(an_orphan(), installation=Installation(id="prod01")).orphans
    assert unpriced.cost_usd(NOW) is None
    assert "an unknown amount so far" in sentence(unpriced, NOW)


@pytest.mark.parametrize(
    ("billed", "hourly"),
    [
        ({}, Decimal("63.84")),
        ({"allocated_preemptible_gpus": 8}, Decimal("47.84")),
        ({"allocated_preemptible_gpus": 16}, Decimal("31.84")),
        ({"capacity_pool_gpus": 8}, Decimal("31.92")),
        ({"billing_type": "RESERVED", "reserved_gpus": 16}, None),
        ({"billing_type": "SCHEDULED_CAPACITY"}, None),
    ],
)
def test_a_cluster_has_the_price_of_the_way_it_is_paid(billed, hourly):
    (found,) = own_things([a_provider_cluster(gpus=16, **{"billing_type": "ON_DEMAND", **billed})], (), REPORTING)
    prices = replace(REPORTING.prices, preemptible_gpu_hour_usd={"H100_SXM": Decimal("1.99")})
    (orphan,) = swept(found, installation=replace(REPORTING, prices=prices)).orphans
    assert orphan.hourly_usd == hourly


def test_what_tells_no_age_has_cost_at_least_what_it_has_since_it_was_first_seen():
    (volume,) = swept(an_orphan(kind="SharedVolume"), book={}).orphans
    assert (volume.hourly_usd, volume.cost_usd(NOW)) == (Decimal("0.45"), Decimal("32.40"))
    assert "at least $32.40 so far" in sentence(volume, NOW)
    (ageless,) = swept(an_orphan(created=None), book={}).orphans
    assert "at least $2298.24 so far" in sentence(ageless, NOW)


def test_a_recorded_cluster_that_nobody_keeps_is_deleted_when_the_installation_says_so():
    result = swept(an_orphan())
    assert [each.found.id for each in result.delete] == ["c-1"]
    again = swept(an_orphan(), memory=result.memory)
    assert again.delete == (), "the provider is given time"
    assert [each.found.id for each in swept(an_orphan(), memory=result.memory, since=4200.0).delete] == ["c-1"]


def test_a_refused_deletion_stays_says_why_and_is_tried_by_the_next_sweep():
    both, twice = (an_orphan(1), an_orphan(2)), replace(DELETING, orphans_delete_at_most=2)
    result = with_refused_deletions(
        swept(*both, installation=twice), {"c-2": Failure(ErrorClass.UNAVAILABLE, "No answer.")}
    )
    assert [bool(each.stays) for each in result.orphans] == [False, True]
    assert "(No answer), and is asked again" in sentence(result.orphans[1], NOW)
    again = swept(*both, installation=twice, memory=result.memory)
    assert [each.found.id for each in again.delete] == ["c-2"]


@pytest.mark.parametrize(
    ("thing", "change", "why"),
    [
        (an_orphan(), {"installation": REPORTING}, "only reports"),
        (an_orphan(kind="SharedVolume"), {}, "volumes are never deleted"),
        (an_orphan(), {"book": {}}, "not recorded before it was ordered"),
        (an_orphan(), {"book": ordered(an_orphan(), kept=Kept.RETAINED)}, "chose to keep it (Retained)"),
        (an_orphan(), {"book": ordered(an_orphan(), kept=Kept.ABANDONED)}, "chose to keep it (Abandoned)"),
        (an_orphan(), {"book": ordered(an_orphan(), retains=True)}, "deletionPolicy: Retain"),
        (an_orphan(), {"book": ordered(an_orphan(), at=NOW - timedelta(hours=23))}, "first 24 hours"),
        (an_orphan(created=NOW - timedelta(hours=23)), {}, "first 24 hours"),
        (an_orphan(), {"memory": {"c-1": Seen(0.0, NOW - timedelta(hours=1))}}, "an orphan for less than 24 hours"),
        (an_orphan(), {"silent": frozenset({"c-1"})}, "does not answer"),
        (an_orphan(status="Deleting"), {}, "deleting it already"),
        (replace(an_orphan(), prepaid=True), {}, "paid for ahead"),
    ],
)
def test_each_brake_holds_by_itself(thing, change, why):
    result = swept(thing, **change)
    assert result.delete == ()
    assert why in result.orphans[0].stays


def test_more_at_once_than_the_set_number_are_the_sign_of_another_fault_so_none_is_deleted():
    both = (an_orphan(1), an_orphan(2))
    result = swept(*both)
    assert result.delete == ()
    assert "2 were found at once" in result.orphans[0].stays
    assert len(swept(*both, installation=replace(DELETING, orphans_delete_at_most=2)).delete) == 2


@pytest.mark.parametrize("at_most", [1, 2])
def test_the_orphans_of_one_mishap_are_not_deleted_one_by_one_as_each_has_waited_long_enough(at_most):
    three = [an_orphan(number) for number in (1, 2, 3)]
    memory = {each.id: Seen(0.0, NOW - timedelta(hours=hours)) for each, hours in zip(three, (23, 25, 26), strict=True)}
    result = swept(*three, memory=memory, installation=replace(DELETING, orphans_delete_at_most=at_most))
    assert result.delete == ()
    assert "3 were found at once" in result.orphans[1].stays


def test_what_is_out_of_sight_counts_as_of_the_same_mishap():
    both = (an_orphan(1), an_orphan(2))
    assert swept(an_orphan(1), book=ordered(*both), out_of_sight=(an_orphan(2),)).delete == ()


def test_what_stays_for_a_reason_of_its_own_does_not_count():
    things = (
        an_orphan(1),
        an_orphan(2),
        an_orphan(3, status="Deleting"),
        an_orphan(4),
        an_orphan(5, kind="SharedVolume"),
    )
    book = {**ordered(*things), **ordered(an_orphan(2), retains=True), **ordered(an_orphan(4), kept=Kept.ABANDONED)}
    assert [each.found.id for each in swept(*things, book=book).delete] == ["c-1"]


def test_what_was_left_behind_by_its_resources_own_word_is_told_and_not_deleted():
    owners = owners_of([a_raw(name="lost-1", uid="another", adoptionPolicy="BuyNew")], DELETING)
    assert without_owner((an_orphan(),), owners) == (an_orphan(),)
    result = swept(an_orphan(), owners=owners)
    assert (result.delete, len(result.tell)) == ((), 1)


def test_another_of_a_like_that_has_its_own_is_told_and_not_deleted():
    owners = owners_of([a_raw(name="lost-1", uid="another", status={"clusterID": "c-7"})], DELETING)
    (orphan,) = swept(*without_owner([an_orphan()], owners), owners=owners).orphans
    assert orphan.stays == "a resource of the name that it was bought for lives, and has another"


def test_the_young_are_left_alone():
    assert swept(an_orphan(created=NOW - timedelta(seconds=599)), installation=REPORTING).orphans == ()
    first = swept(an_orphan(), memory={}, since=0.0)
    assert (first.orphans, set(first.memory)) == ((), {"c-1"})
    assert swept(an_orphan(), memory=first.memory, since=599.0).orphans == ()
    assert len(swept(an_orphan(), memory=first.memory, since=600.0).orphans) == 1


def test_what_an_earlier_process_had_reported_is_not_young_again():
    memory = {"c-1": Seen(3600.0, OLD, reported_before=True)}
    assert len(swept(an_orphan(), memory=memory).orphans) == 1


def test_an_orphan_is_told_again_after_hours_and_what_is_kept_never():
    first = swept(an_orphan())
    assert swept(an_orphan(), memory=first.memory).tell == ()
    old = {"c-1": replace(first.memory["c-1"], told=NOW - timedelta(hours=6))}
    assert len(swept(an_orphan(), memory=old).tell) == 1
    kept = swept(an_orphan(), book=ordered(an_orphan(), kept=Kept.RETAINED))
    assert (kept.tell, len(kept.orphans)) == ((), 1)


# owners


def a_raw(kind="GPUCluster", name="train", uid=UID, status=None, annotations=None, **spec):
    metadata = {"name": name, "namespace": "ml", "uid": uid, "annotations": annotations or {}}
    return {"kind": kind, "metadata": metadata, "spec": spec, "status": status or {}}


FOREIGN = Found("GPUCluster", "c-1", "ts-prod01-x-aaaaaa-bbbb-1", "Ready")
OWN = Found("GPUCluster", "c-1", str(NAME), "Ready")


@pytest.mark.parametrize(
    ("found", "owner"),
    [
        (FOREIGN, a_raw(status={"clusterID": "c-1"})),
        (FOREIGN, a_raw(status={"providerName": FOREIGN.name})),
        (FOREIGN, a_raw(status={"createIntent": {"name": FOREIGN.name}})),
        (FOREIGN, a_raw(annotations={"tunesmith.dev/provider-name": FOREIGN.name})),
        (FOREIGN, a_raw(adopt={"clusterID": "c-1"})),
        (FOREIGN, a_raw(adopt={"clusterName": FOREIGN.name})),
        (FOREIGN, a_raw("SharedVolume", status={"volumeID": "c-1"})),
        (FOREIGN, a_raw("SharedVolume", adopt={"volumeID": "c-1"})),
        (OWN, a_raw()),
        (OWN, a_raw(uid="of-a-rebuilt-cluster")),
        (OWN, a_raw(adoptionPolicy="BuyNew")),
    ],
)
def test_what_a_resource_has_means_to_have_or_is_asked_about_is_no_orphan(found, owner):
    assert without_owner((found,), owners_of([owner], REPORTING)) == ()


def test_a_resource_of_another_name_answers_for_nothing():
    assert without_owner((OWN,), owners_of([a_raw(name="other", uid="x")], REPORTING)) == (OWN,)


def test_only_names_of_this_very_installation_are_looked_at():
    other = provider_name(installation_id="prod02", kind="GPUCluster", namespace="ml", name="a", uid="u")
    clusters = [a_provider_cluster(), a_provider_cluster("c-2", str(other)), a_provider_cluster("c-3", "by-hand")]
    volumes = [ProviderVolume("v-1", "by-hand", 1, "available")]
    installation = replace(REPORTING, previous_ids=("prod02",))
    assert [each.id for each in own_things(clusters, volumes, installation)] == ["c-1"]


# the book of names


def test_a_name_is_recorded_before_its_order_only_where_orphans_are_deleted():
    resource = a_cluster_resource(status={"createIntent": INTENT})
    observation = seen(resource, a_view(begun=1001.0), memory=OWN_MEMORY, monotonic=1001.0)
    assert [type(each) for each in decide(observation).actions] == [BuyCluster]
    careful = replace(observation, around=circumstances(1001.0, installation=DELETING))
    actions = decide(careful).actions
    assert actions[0] == RecordName(str(NAME))
    assert isinstance(actions[1], BuyCluster)


def notes(installation=DELETING, *, status=None, memory=OWN_MEMORY, **spec):
    resource = a_cluster_resource(status=status or bought_status(), **spec)
    observation = replace(seen(resource, memory=memory), around=circumstances(1001.0, installation=installation))
    actions = decide(observation).actions
    return [(index, each) for index, each in enumerate(actions) if isinstance(each, NotePolicy)]


@pytest.mark.parametrize(
    ("installation", "policy", "noted", "says"),
    [
        (DELETING, "Retain", None, True),
        (DELETING, "Delete", None, False),
        (DELETING, "Retain", False, True),
        (DELETING, "Delete", True, False),
        (DELETING, "Retain", True, None),
        (DELETING, "Delete", False, None),
        (REPORTING, "Retain", None, True),
        (REPORTING, "Delete", None, None),
    ],
)
def test_what_a_resource_says_of_keeping_is_noted_once(installation, policy, noted, says):
    memory = OWN_MEMORY if noted is None else OWN_MEMORY.with_policy_noted(str(NAME), retains=noted)
    expected = [] if says is None else [(0, NotePolicy(str(NAME), says))]
    assert notes(installation, memory=memory, deletionPolicy=policy) == expected


def test_what_is_only_watched_is_noted_as_kept_and_what_others_named_is_not_noted():
    assert [each.retains for _, each in notes(managementPolicy="Observe", adopt={"clusterID": "c-1"})] == [True]
    assert notes(status=bought_status(providerName="by-hand"), deletionPolicy="Retain") == []


def test_a_note_that_failed_holds_nothing_else_up():
    note = NotePolicy(str(NAME), retains=True)
    record = FailureRecord(1, 1000.0, Failure(ErrorClass.UNAVAILABLE, "no"))
    resource = a_cluster_resource(status=bought_status(), deletionPolicy="Retain", nodes=3)
    observation = replace(seen(resource), around=circumstances(1001.0, installation=DELETING))
    assert decide(observation).actions[0] == note
    failed = replace(observation, around=replace(observation.around, failures={note.identity: record}))
    actions = decide(failed).actions
    assert (len(actions) > 1, actions[-1]) == (True, note)


def test_a_note_that_failed_waits_where_the_last_action_costs_money():
    note = NotePolicy(str(NAME), retains=True)
    failures = {note.identity: FailureRecord(1, 1000.0, Failure(ErrorClass.UNAVAILABLE, "no"))}
    observation = seen(a_cluster_resource(status=bought_status(), deletionPolicy="Retain"))
    observation = replace(observation, around=replace(circumstances(1001.0, installation=DELETING), failures=failures))
    costs = Decision(observation.status, actions=(ChangeCluster("c-1", ClusterChanges(gpus=24)),))
    assert with_policy_noted(observation, costs) == costs


def test_only_the_policy_of_a_name_that_was_ordered_is_in_the_book():
    assert after({}, NotePolicy("a", retains=True), NOW) == {}
    book = after({}, RecordName("a", retains=True), OLD)
    assert book["a"] == Entry(OLD, retains=True)
    assert after(book, NotePolicy("a", retains=False), NOW)["a"] == Entry(OLD)
    assert after(book, KeepName("a", Kept.RETAINED), NOW)["a"] == Entry(OLD, Kept.RETAINED, NOW, retains=True)


def test_only_names_of_our_own_are_written_down_when_they_are_kept():
    status = bought_status(providerName="by-hand")
    decision = decide(seen(a_cluster_resource(deleting=True, status=status, deletionPolicy="Retain")))
    assert [type(each).__name__ for each in decision.actions] == ["RecordUsage", "SetMetadata"]


def test_a_kept_name_stays_kept_and_an_entry_that_cannot_be_read_is_none():
    book = after(after({}, KeepName("a", Kept.RETAINED), OLD), RecordName("a"), NOW)
    assert book["a"] == Entry(NOW, Kept.RETAINED, OLD)
    assert after(book, RecordName("a"), NOW) is book
    assert after(book, KeepName("a", Kept.RETAINED), NOW) is book
    assert read_book({**written_book(book), "b": "{", "c": '{"kept":"Loved"}', "d": '"x"'}) == dict(book)


@given(
    st.dictionaries(st.text("abc", min_size=1), st.tuples(st.booleans(), st.sampled_from([None, *Kept]), st.booleans()))
)
def test_a_book_is_read_as_it_was_written(said):
    book = {
        name: Entry(OLD if was_ordered else None, kept, NOW if kept is not None else None, retains)
        for name, (was_ordered, kept, retains) in said.items()
    }
    assert read_book(written_book(book)) == book


# the report


def test_a_report_is_read_as_it_was_written_and_holds_nothing_that_moves_by_itself():
    things = (an_orphan(1), an_orphan(2, kind="SharedVolume"))
    report = report_of(swept(*things, installation=REPORTING).orphans, NOW)
    read = OrphanReport.model_validate_json(report.model_dump_json(by_alias=True, exclude_none=True))
    assert [each.orphan() for each in read.orphans] == list(swept(*things, installation=REPORTING).orphans)
    assert read.says_the_same(report_of(swept(*things, installation=REPORTING).orphans, NOW + timedelta(hours=1)))


# what was reported and is not shown any more

GONE_FROM_SIGHT = replace(an_orphan(), account="key-1", project_id="p-1")


@pytest.mark.parametrize(
    ("look", "stays"),
    [
        (Look("key-1", answers=True), None),
        (Look("key-2", answers=True, projects=frozenset({"p-1"})), None),
        (Look("key-1", answers=False), "as before"),
        (Look("key-2", answers=True, projects=frozenset({"p-2"})), "look in the provider's console"),
        (Look("key-2", answers=False, projects=frozenset({"p-1"})), "look in the provider's console"),
    ],
)
def test_only_the_account_that_showed_it_or_one_of_its_project_says_that_an_orphan_is_gone(look, stays):
    left = out_of_sight([Orphan(GONE_FROM_SIGHT, OLD, stays="as before")], [look], "tunesmith-orphans")
    assert [stays in each.stays for each in left] == ([] if stays is None else [True])


@pytest.mark.parametrize(("account", "stays"), [("key-1", True), ("key-2", False)])
def test_what_its_user_keeps_is_reported_while_its_key_is_in_use(account, stays):
    kept = Orphan(GONE_FROM_SIGHT, OLD, Kept.RETAINED)
    assert out_of_sight([kept], [Look(account, answers=False)], "tunesmith-orphans") == ((kept,) if stays else ())
