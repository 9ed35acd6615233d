"""What is asked of the provider for a GPUCluster: its spec, and the choice that is tried, in the provider's words."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from tunesmith.planning.cluster_choice import driver_for
from tunesmith.planning.cluster_observation import ClusterObservation
from tunesmith.planning.drivers import DriverChoice
from tunesmith.planning.orders import (
    AcceptanceOrder,
    AddOnOrder,
    BillingOrder,
    ClusterOrder,
    ComponentsOrder,
    OIDCOrder,
    SlurmOrder,
    VolumeOrder,
)
from tunesmith.planning.provider import GPUS_PER_NODE, Credential
from tunesmith.resources.gpu_cluster import GPUClusterSpec
from tunesmith.resources.gpu_cluster_parts import OIDC, AcceptanceTests, Billing, BillingType, Components, Installation

BILLING_WORDS: Mapping[BillingType, str] = {
    BillingType.ON_DEMAND: "ON_DEMAND",
    BillingType.RESERVED: "RESERVED",
    BillingType.SCHEDULED_CAPACITY: "SCHEDULED_CAPACITY",
}
USERS_PREFIX, GROUPS_PREFIX = "oidc:", "oidc:"
"""provider: both prefixes are required. One that is not empty keeps a user from being `system:admin`."""


def cluster_order(seen: ClusterObservation, name: str) -> ClusterOrder:
    """The whole order of the choice that the intent names (`seen.choice`)."""
    spec, choice, volume = seen.spec, seen.choice, seen.volume
    found = driver_for(spec, choice, seen.provider.regions)
    driver = found if isinstance(found, DriverChoice) else DriverChoice()
    project = seen.credential.project_id if isinstance(seen.credential, Credential) else None
    inline = None
    if volume is not None and volume.volume_id is None and volume.order_name is not None:
        inline = VolumeOrder(volume.order_name, choice.region, volume.size_tib, project)
    return ClusterOrder(
        name=name,
        region=choice.region,
        gpu_type=choice.gpu_type,
        gpus=seen.wanted_gpus - (_gpus(spec.billing.preemptible_nodes) or 0),
        driver_version_id=driver.version_id,
        cuda_version=driver.cuda_version,
        driver_version=driver.driver_version,
        project_id=project,
        volume_id=None if volume is None else volume.volume_id,
        new_volume=inline,
        billing=billing_order(spec.billing),
        slurm=None if spec.slurm is None else SlurmOrder(spec.slurm.shared_memory_gib, spec.slurm.image),
        max_gpus=_gpus(spec.max_nodes),
        components=components_order(spec.components),
        add_ons=add_on_orders(spec),
        oidc=_oidc_order(spec.oidc),
        acceptance_tests=_acceptance_order(spec.acceptance_tests),
    )


def billing_order(billing: Billing) -> BillingOrder:
    """How it is paid; counts of nodes become counts of GPUs."""
    pool = billing.capacity_pool
    return BillingOrder(
        type=BILLING_WORDS[billing.type],
        duration_days=billing.duration_days,
        start=billing.start_time,
        end=None if billing.duration_days is not None else billing.end_time,  # moved once it is bought
        reserved_gpus=_gpus(billing.reserved_nodes),
        preemptible_gpus=_gpus(billing.preemptible_nodes),
        capacity_pool_id=None if pool is None else pool.id,
        capacity_pool_gpus=None if pool is None else _gpus(pool.nodes),
    )


def components_order(components: Components | None) -> ComponentsOrder | None:
    """What the provider is to install; what the spec leaves out is left to the provider."""
    if components is None:
        return None
    return ComponentsOrder(
        load_balancer=None if components.load_balancer is None else components.load_balancer.upper(),
        ingress=_enabled(components.ingress),
        observability=_enabled(components.observability),
        dashboard=_enabled(components.dashboard),
        gpu_operator_version=components.gpu_operator_version,
        network_operator_version=components.network_operator_version,
    )


def components_hash(spec: GPUClusterSpec) -> str | None:
    """What the spec says of components, as a short hash; None: nothing."""
    wish = components_order(spec.components)
    return None if wish is None else hashlib.sha256(repr(wish).encode()).hexdigest()[:16]


def add_on_orders(spec: GPUClusterSpec) -> tuple[AddOnOrder, ...]:
    """The add-ons that the spec names."""
    return tuple(AddOnOrder(each.name, each.enabled) for each in spec.add_ons)


def _oidc_order(oidc: OIDC | None) -> OIDCOrder | None:
    if oidc is None:
        return None
    return OIDCOrder(
        issuer_url=oidc.issuer_url,
        client_id=oidc.client_id,
        username_claim=oidc.username_claim,
        username_prefix=oidc.username_prefix or USERS_PREFIX,
        group_claim=oidc.groups_claim,
        group_prefix=oidc.groups_prefix or GROUPS_PREFIX,
        ca_certificate=oidc.ca_certificate,
    )


def _acceptance_order(tests: AcceptanceTests | None) -> AcceptanceOrder | None:
    if tests is None:
        return None
    return AcceptanceOrder(
        dcgm_level=tests.dcgm_level.upper(),
        gpu_burn_seconds=tests.gpu_burn_seconds,
        skipped=frozenset(str(each.value) for each in tests.skip),
    )


def _enabled(wish: Installation | None) -> bool | None:
    return None if wish is None else wish is Installation.ENABLED


def _gpus(nodes: int | None) -> int | None:
    return None if nodes is None else nodes * GPUS_PER_NODE
