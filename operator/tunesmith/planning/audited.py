"""What the audit log says of an action beside the request itself: under which intent, and at which price per hour."""

from __future__ import annotations

from decimal import Decimal

from tunesmith.planning.decision import Action
from tunesmith.planning.money import cents, hourly_usd, storage_hourly_usd
from tunesmith.planning.orders import (
    BuyCluster,
    BuyVolume,
    ChangeCluster,
    ClusterChanges,
    ClusterOrder,
    DeleteCluster,
    DeleteVolume,
    ResizeVolume,
)
from tunesmith.planning.prepayment import ordered_prepaid_gpus, prepaid_gpus
from tunesmith.planning.price_table import Prices
from tunesmith.planning.provider import ProviderCluster, ProviderView
from tunesmith.resources.purchase import CostAccount


def intent_of(action: Action) -> str:
    """The nonce that a purchase is made under; empty for what is no purchase."""
    return action.nonce if isinstance(action, BuyCluster | BuyVolume) else ""


def usd_per_hour(action: Action, view: ProviderView, prices: Prices) -> Decimal | None:
    """Dollars that the object costs by the hour once the action is done, or cost before it went. None: not known.

    What is paid at once, or comes from a capacity pool, costs nothing by the hour.
    """
    match action:
        case BuyCluster(order=order):
            return _of_order(order, prices)
        case ChangeCluster(cluster_id=cluster_id, changes=changes):
            return _of_cluster(view.cluster(cluster_id), changes, prices)
        case DeleteCluster(cluster_id=cluster_id):
            return _of_cluster(view.cluster(cluster_id), ClusterChanges(), prices)
        case BuyVolume(order=ordered):
            return _of_storage(ordered.size_tib, prices)
        case ResizeVolume(size_tib=size_tib):
            return _of_storage(size_tib, prices)
        case DeleteVolume(volume_id=volume_id):
            volume = view.volume(volume_id)
            return None if volume is None else _of_storage(volume.size_tib, prices)
    return None


def _of_order(order: ClusterOrder, prices: Prices) -> Decimal | None:
    billing = order.billing
    apart = ordered_prepaid_gpus(billing, order.gpus) + (billing.capacity_pool_gpus or 0)
    return hourly_usd(prices, order.gpu_type, max(order.gpus - apart, 0), billing.preemptible_gpus or 0)


def _of_cluster(cluster: ProviderCluster | None, changes: ClusterChanges, prices: Prices) -> Decimal | None:
    """With the changes, as far as there are any, by what the provider shows of it."""
    if cluster is None:
        return None
    there = cluster.allocated_preemptible_gpus
    gpus = _changed(changes.gpus, cluster.gpus - there)
    apart = _changed(changes.reserved_gpus, prepaid_gpus(cluster, CostAccount()))
    apart += _changed(changes.capacity_pool_gpus, cluster.capacity_pool_gpus)
    return hourly_usd(prices, cluster.gpu_type, max(gpus - apart, 0), _changed(changes.preemptible_gpus, there))


def _changed(wanted: int | None, present: int) -> int:
    return present if wanted is None else wanted


def _of_storage(size_tib: int, prices: Prices) -> Decimal | None:
    hourly = storage_hourly_usd(prices, size_tib)
    return None if hourly is None else cents(hourly)
