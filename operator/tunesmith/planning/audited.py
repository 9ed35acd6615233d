"""What the audit log says of an action beside the request itself: under which intent, and at which price per hour."""

from __future__ import annotations

from decimal import Decimal

from tunesmith.planning.decision import Action
from tunesmith.planning.money import hourly_usd
from tunesmith.planning.orders import BuyCluster, BuyVolume, ChangeCluster, DeleteCluster
from tunesmith.planning.price_table import Prices
from tunesmith.planning.provider import ProviderView


def intent_of(action: Action) -> str:
    """The nonce that a purchase is made under; empty for what is no purchase."""
    return action.nonce if isinstance(action, BuyCluster | BuyVolume) else ""


def usd_per_hour(action: Action, view: ProviderView, prices: Prices) -> Decimal | None:
    """What the cluster of the action costs by the hour once it is done, or cost before it went. None: not known."""
    match action:
        case BuyCluster(order=order):
            return hourly_usd(prices, order.gpu_type, order.gpus)
        case ChangeCluster(cluster_id=cluster_id, changes=changes):
            cluster = view.cluster(cluster_id)
            return None if cluster is None else hourly_usd(prices, cluster.gpu_type, changes.gpus or cluster.gpus)
        case DeleteCluster(cluster_id=cluster_id):
            cluster = view.cluster(cluster_id)
            return None if cluster is None else hourly_usd(prices, cluster.gpu_type, cluster.gpus)
    return None
