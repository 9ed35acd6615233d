"""Drift: what the provider has beside what `spec` wants, field by field, with both values in the condition."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import get_args

import pytest
from tests.unit.tunesmith.planning.cluster_builders import (
    a_cluster_resource,
    a_provider_cluster,
    a_running_cluster,
    a_view,
    bought_status,
    nodes,
    reason,
)

from tunesmith.planning.cluster_drift import differences, drift
from tunesmith.planning.cluster_observation import NamedVolume
from tunesmith.planning.gpu_cluster import decide
from tunesmith.planning.provider import AddOn, AttachedVolume, InstalledComponents, Login
from tunesmith.resources import not_implemented
from tunesmith.resources.conditions import find_condition
from tunesmith.resources.gpu_cluster import GPUClusterSpec
from tunesmith.resources.schema import Part, field_alias

END = datetime(2026, 3, 1, tzinfo=UTC)
POOL = {"capacityPool": {"id": "pool-1", "nodes": 1}}
SCHEDULED = {"type": "ScheduledCapacity", "startTime": "2026-01-01T00:00:00Z", "endTime": "2026-02-01T00:00:00Z"}

LOGIN = {"oidc": {"issuerURL": "https://id", "clientID": "c"}}
NO_PART_OF_A_PURCHASE = {
    *("scaleDownPolicy", "credentialsRef", "managementPolicy", "adopt", "adoptionPolicy", "recreatePolicy"),
    *("deletionPolicy", "idle", "expireAfterSeconds", "schedule", "budget", "repair", "drift", "kubeconfigSecretName"),
}
"""What the operator does by itself: the provider knows nothing of it."""

# what is in spec, what the provider has, and the field, the wanted and the found value that are told
TABLE = [
    ({}, {"region": "eu-west-1"}, "spec.region", "us-central-8", "eu-west-1"),
    ({}, {"gpu_type": "H200_SXM"}, "spec.gpuType", "H100_SXM", "H200_SXM"),
    ({"projectID": "p-1"}, {"project_id": "p-2"}, "spec.projectID", "p-1", "p-2"),
    ({}, {"name": "renamed"}, "status.providerName", None, "renamed"),
    ({}, {"cluster_type": "SLURM"}, "spec.clusterType", "KUBERNETES", "SLURM"),
    ({}, {"billing_type": "RESERVED"}, "spec.billing.type", "ON_DEMAND", "RESERVED"),
    ({"driver": {"versionID": "a"}}, {"driver_version_id": "b"}, "spec.driver.versionID", "a", "b"),
    (
        {"driver": {"cudaVersion": "12.8", "driverVersion": "570"}},
        {"cuda_version": "12.81", "driver_version": "570.86.15"},
        "spec.driver.cudaVersion",
        "12.8",
        "12.81",
    ),
    ({}, {"gpus": 16}, "spec.nodes", "1", "2"),
    ({}, {"gpus": 12}, "spec.nodes", "1", "1 nodes and 4 GPUs"),
    ({}, {"desired_preemptible_gpus": 8}, "spec.billing.preemptibleNodes", "0", "1"),
    (
        {"billing": {"preemptibleNodes": 2}, "projectID": "p-1", "nodes": 3},
        {"desired_preemptible_gpus": 8, "gpus": 24},
        "spec.billing.preemptibleNodes",
        "2",
        "1",
    ),
    (
        {"billing": {"type": "Reserved", "durationDays": 7, "reservedNodes": 1}},
        {"billing_type": "RESERVED", "reserved_gpus": 16},
        "spec.billing.reservedNodes",
        "1",
        "2",
    ),
    (
        {"billing": POOL},
        {"capacity_pool_id": "pool-2", "capacity_pool_gpus": 8},
        "spec.billing.capacityPool.id",
        "pool-1",
        "pool-2",
    ),
    ({"billing": POOL}, {"capacity_pool_id": "pool-1"}, "spec.billing.capacityPool.nodes", "1", "0"),
    (
        {"billing": SCHEDULED},
        {"billing_type": "SCHEDULED_CAPACITY", "reservation_end": END},
        "spec.billing.endTime",
        "2026-02-01T00:00:00Z",
        "2026-03-01T00:00:00Z",
    ),
    (
        {"components": {"loadBalancer": "Traefik"}},
        {"components": InstalledComponents(load_balancer="ISTIO")},
        "spec.components.loadBalancer",
        "Traefik",
        "ISTIO",
    ),
    (
        {"components": {"ingress": "Enabled"}},
        {"components": InstalledComponents(ingress=False)},
        "spec.components.ingress",
        "Enabled",
        "Disabled",
    ),
    (
        {"components": {"gpuOperatorVersion": "25.3.0"}},
        {"components": InstalledComponents(gpu_operator_version="24.9.0")},
        "spec.components.gpuOperatorVersion",
        "25.3.0",
        "24.9.0",
    ),
    (
        {"components": {"observability": "Disabled"}},
        {"components": InstalledComponents(observability=True)},
        "spec.components.observability",
        "Disabled",
        "Enabled",
    ),
    (
        {"components": {"dashboard": "Enabled"}},
        {"components": InstalledComponents(dashboard=False)},
        "spec.components.dashboard",
        "Enabled",
        "Disabled",
    ),
    (
        {"components": {"networkOperatorVersion": "25.1.0"}},
        {"components": InstalledComponents(network_operator_version="24.1.0")},
        "spec.components.networkOperatorVersion",
        "25.1.0",
        "24.1.0",
    ),
    (
        {"driver": {"cudaVersion": "12.8", "driverVersion": "570"}},
        {"driver_version": "595.1"},
        "spec.driver.driverVersion",
        "570",
        "595.1",
    ),
    (
        {"clusterType": "Slurm", "slurm": {"sharedMemoryGiB": 64}},
        {"cluster_type": "SLURM", "slurm_shared_memory_gib": 32},
        "spec.slurm.sharedMemoryGiB",
        "64",
        "32",
    ),
    (
        {"billing": SCHEDULED},
        {
            "billing_type": "SCHEDULED_CAPACITY",
            "reservation_start": datetime(2026, 1, 2, tzinfo=UTC),
            "reservation_end": datetime(2026, 2, 1, tzinfo=UTC),
        },
        "spec.billing.startTime",
        "2026-01-01T00:00:00Z",
        "2026-01-02T00:00:00Z",
    ),
    (
        {"billing": {"type": "Reserved", "durationDays": 7}},
        {"billing_type": "RESERVED", "reserved_gpus": 8, "duration_hours": 72},
        "spec.billing.durationDays",
        "7",
        "72 hours",
    ),
    (LOGIN, {"login": Login(issuer_url="https://other")}, "spec.oidc.issuerURL", "https://id", "https://other"),
    (LOGIN, {"login": Login(client_id="other")}, "spec.oidc.clientID", "c", "other"),
    (LOGIN, {"login": Login(username_claim="mail")}, "spec.oidc.usernameClaim", "sub", "mail"),
    (LOGIN, {"login": Login(username_prefix="x:")}, "spec.oidc.usernamePrefix", "oidc:", "x:"),
    (LOGIN, {"login": Login(groups_claim="roles")}, "spec.oidc.groupsClaim", "groups", "roles"),
    (LOGIN, {"login": Login(groups_prefix="x:")}, "spec.oidc.groupsPrefix", "oidc:", "x:"),
    (
        {"oidc": {**LOGIN["oidc"], "caCertificate": "one"}},
        {"login": Login(ca_certificate="two")},
        "spec.oidc.caCertificate",
        "the certificate of the spec",
        "another certificate",
    ),
    (
        {"volumeRef": {"name": "data"}},
        {"volumes": (AttachedVolume("v-2", "theirs", 1, "bound"),)},
        "spec.volumeRef.name",
        "data",
        "theirs",
    ),
    ({"volumeRef": {"name": "data"}}, {}, "spec.volumeRef.name", "data", "no volume"),
    ({"addOns": [{"name": "headlamp"}]}, {}, "spec.addOns[headlamp].enabled", "Enabled", "not there"),
    (
        {"addOns": [{"name": "headlamp", "enabled": False}]},
        {"add_ons": (AddOn("headlamp", "headlamp", True),)},
        "spec.addOns[headlamp].enabled",
        "Disabled",
        "Enabled",
    ),
]


def looked_at(spec, found, *, status=None):
    cluster = a_provider_cluster(**found)
    resource = a_cluster_resource(status=status or bought_status(), **spec)
    volume = NamedVolume("data", ("us-central-8",), 1, volume_id="v-1") if "volumeRef" in spec else None
    return a_running_cluster(resource=resource, view=a_view(cluster), volume=volume), cluster


def fields_of(part, path=""):
    """The paths of all fields that hold a value, in the API's words."""
    for name, field in part.model_fields.items():
        here = f"{path}{field_alias(name, field)}"
        inner = next((each for each in parts_in(field.annotation)), None)
        yield from [here] if inner is None else fields_of(inner, f"{here}.")


def parts_in(annotation):
    """The models that a field's type names."""
    if isinstance(annotation, type) and issubclass(annotation, Part):
        yield annotation
    for inner in get_args(annotation):
        yield from parts_in(inner)


def test_every_field_of_a_purchase_is_compared_or_refused_of_what_is_adopted():
    told = {re.sub(r"\[.*\]", "", row[2]).removeprefix("spec.") for row in TABLE}
    refused = {
        rule.message.split("`")[1] for rule in GPUClusterSpec.rules if "must not be set with `adopt`" in rule.message
    }
    paths = [path for path in fields_of(GPUClusterSpec) if path.split(".")[0] not in NO_PART_OF_A_PURCHASE]
    assert "billing.capacityPool.nodes" in paths
    missing = {
        path for path in paths if path not in told and not any(f"{path}.".startswith(f"{each}.") for each in refused)
    }
    assert missing == {"addOns.name"}  # the key of the list


@pytest.mark.parametrize(("spec", "found", "field", "wanted", "has"), TABLE, ids=[row[2] for row in TABLE])
def test_every_field_that_can_be_compared_tells_both_values(spec, found, field, wanted, has):
    seen, cluster = looked_at(spec, found)
    (difference,) = differences(seen, cluster)
    assert (difference.field, difference.found) == (field, has)
    assert difference.wanted == (wanted or seen.status.provider_name)


@pytest.mark.parametrize(
    ("spec", "found"),
    [
        (
            {"driver": {"cudaVersion": "12.8", "driverVersion": "570"}},
            {"cuda_version": "12.8.1", "driver_version": "570.86.15"},
        ),
        ({"components": {"ingress": "Enabled", "loadBalancer": "Nginx"}}, {}),
        ({"driver": {"versionID": "a"}}, {"driver_version_id": ""}),
        ({}, {"billing_type": "", "cluster_type": "", "project_id": ""}),
        ({"addOns": [{"name": "headlamp", "enabled": False}]}, {}),
        (LOGIN, {}),
        (LOGIN, {"login": Login("https://id", "c", "sub", "oidc:", "groups", "oidc:", "any")}),
        ({"clusterType": "Slurm", "slurm": {"sharedMemoryGiB": 64}}, {"cluster_type": "SLURM"}),
        (
            {"billing": SCHEDULED},
            {
                "billing_type": "SCHEDULED_CAPACITY",
                "reservation_start": datetime(2026, 1, 1, 0, 1, tzinfo=UTC),
                "reservation_end": datetime(2026, 2, 1, tzinfo=UTC),
            },
        ),
        (
            {"billing": {"type": "Reserved", "durationDays": 7, "endTime": "2026-02-01T00:00:00Z"}},
            {"billing_type": "RESERVED", "reserved_gpus": 8, "duration_hours": 744},
        ),
        ({"volumeRef": {"name": "data"}}, {"status": "WaitingForSubnet"}),
        ({"volumeRef": {"name": "data"}}, {"volumes": (AttachedVolume("v-1", "ours", 1, "bound"),)}),
    ],
)
def test_what_the_provider_does_not_say_or_says_more_exactly_is_no_drift(spec, found):
    assert differences(*looked_at(spec, found)) == ()


def test_an_alternative_that_was_bought_is_as_wanted():
    taken = bought_status(choice={"region": "eu-west-1", "gpuType": "H200_SXM"})
    spec = {"alternatives": [{"region": "eu-west-1", "gpuType": "H200_SXM"}]}
    seen, cluster = looked_at(spec, {"region": "eu-west-1", "gpu_type": "H200_SXM"}, status=taken)
    assert drift(seen, cluster).holds is False


def test_an_autoscaled_cluster_does_not_drift_in_size():
    assert differences(*looked_at({"maxNodes": 4}, {"gpus": 24})) == ()


def test_an_adopted_cluster_is_compared_only_in_what_spec_gives():
    seen, cluster = looked_at({"adopt": {"clusterID": "c-1"}}, {"name": "theirs", "gpus": 64})
    bare = seen.resource.spec.model_copy(update={"nodes": None, "region": None, "gpu_type": None})
    seen = replace(seen, resource=seen.resource.model_copy(update={"spec": bare}))
    assert differences(seen, cluster) == ()


def test_the_condition_names_field_wanted_and_found_and_the_event_is_told_once():
    seen, _ = looked_at({}, {"gpu_type": "H200_SXM"})
    first = decide(seen)
    message = find_condition(first.status.conditions, "Drifted").message
    assert "`spec.gpuType` wants 'H100_SXM', the provider has 'H200_SXM'" in message
    assert "Drifted" in [event.reason for event in first.events]
    again = replace(seen, resource=seen.resource.model_copy(update={"status": first.status}))
    assert "Drifted" not in [event.reason for event in decide(again).events]


def test_our_own_change_on_its_way_is_not_drift_and_somebody_elses_is():
    calm = decide(a_running_cluster())
    wished = a_cluster_resource(nodes=2).model_copy(update={"status": calm.status})
    wished = wished.model_copy(update={"metadata": wished.metadata.model_copy(update={"generation": 2})})
    ours = decide(a_running_cluster(resource=wished))
    assert reason(ours, "Drifted") == "Changing"
    other = decide(
        a_running_cluster(
            resource=a_cluster_resource().model_copy(update={"status": calm.status}), gpus=16, nodes=nodes(2)
        )
    )
    assert (reason(other, "Drifted"), reason(other)) == ("SizeChangedOutside", "ScaleDownWaits")


def test_a_size_changed_outside_is_told_by_an_operator_that_has_only_just_started():
    """What was as wanted stands in the condition, so no memory of the process is needed."""
    calm = decide(a_running_cluster()).status
    resource = a_cluster_resource().model_copy(update={"status": calm})
    seen = a_running_cluster(resource=resource, gpus=16, nodes=nodes(2))
    assert drift(seen, seen.bought).reason == "SizeChangedOutside"
    assert "wants '1', the provider has '2'" in drift(seen, seen.bought).message


def test_under_observe_nothing_is_restored_so_every_difference_is_told():
    seen, cluster = looked_at({"adopt": {"clusterID": "c-1"}, "managementPolicy": "Observe"}, {"gpus": 24})
    verdict = drift(seen, cluster)
    assert (verdict.holds, verdict.reason) == (True, "SizeChangedOutside")


def test_with_preemptible_nodes_the_provider_is_looked_at_every_five_seconds(monkeypatch):
    monkeypatch.setattr(not_implemented, "FIELDS", {})
    resource = a_cluster_resource(status=bought_status(), nodes=2, billing={"preemptibleNodes": 1}, projectID="p-1")
    view = a_view(a_provider_cluster(gpus=16, desired_preemptible_gpus=8))
    seen = a_running_cluster(resource=resource, view=view, ready_nodes=2)
    decision = decide(seen)
    assert reason(decision) == "InOrder"
    assert 4.5 <= decision.look_again_seconds <= 5.5


def test_what_nobody_could_look_at_for_long_is_not_claimed_and_what_changed_meanwhile_is_still_drift():
    told = decide(a_running_cluster()).status
    late = decide(a_running_cluster(status=dumped(told), monotonic=1700.0, view=a_view(a_provider_cluster())))
    assert (reason(late, "Drifted"), reason(late)) == ("ProviderUnreachable", "InOrder")
    bigger = a_view(a_provider_cluster(gpus=16), begun=1700.0)
    back = decide(a_running_cluster(status=dumped(late.status), monotonic=1700.0, view=bigger))
    assert reason(back, "Drifted") == "SizeChangedOutside"


def dumped(status):
    return status.model_dump(by_alias=True, exclude_none=True)
