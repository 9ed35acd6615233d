"""What everything that is bought from the provider has in common: identity, adoption, cost, the open intent."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from tunesmith.resources.schema import (
    Count,
    Dollars,
    Line,
    NonNegativeDecimal,
    Part,
    ProviderName,
    StatusPart,
    Time,
    Word,
    doc,
)


class ManagementPolicy(StrEnum):
    """How much of the provider's object is ours to change."""

    MANAGE = "Manage"
    OBSERVE = "Observe"


class AdoptionPolicy(StrEnum):
    """What to do about an object of our identity that another resource or installation bought."""

    ASK = "Ask"
    SAME_IDENTITY = "SameIdentity"
    BUY_NEW = "BuyNew"


class DeletionPolicy(StrEnum):
    """What becomes of the provider's object when the resource is deleted."""

    DELETE = "Delete"
    RETAIN = "Retain"


class Alternative(Part):
    """A second choice of where and what to buy."""

    region: Annotated[ProviderName, doc("Region to try, in the provider's words; see `kubectl get gpuregions`.")]
    gpu_type: Annotated[ProviderName, doc("GPU type to try there, in the provider's words, such as 'H100_SXM'.")]


class Choice(StatusPart):
    """Which of the alternatives was bought."""

    region: Annotated[Line | None, doc("The region that was taken.")] = None
    gpu_type: Annotated[Line | None, doc("The GPU type that was taken.")] = None


class Spent(StatusPart):
    """Sums over time, unrounded, so that adding to them for months loses no cent."""

    compute_usd: Annotated[NonNegativeDecimal, doc("Dollars for certain.")] = Decimal(0)
    idle_usd: Annotated[NonNegativeDecimal, doc("The part of them while nothing used it.")] = Decimal(0)
    uncertain_usd: Annotated[NonNegativeDecimal, doc("Dollars that may come on top.")] = Decimal(0)
    held_hours: Annotated[NonNegativeDecimal, doc("GPU-hours, or TiB-hours of a volume, for certain.")] = Decimal(0)
    uncertain_hours: Annotated[NonNegativeDecimal, doc("GPU-hours or TiB-hours that may come on top.")] = Decimal(0)


class CostAccount(StatusPart):
    """What the sums are made of, so that the next look goes on exactly where the last one ended."""

    total: Annotated[Spent, doc("Over the resource's whole life.")] = Spent()
    earlier: Annotated[Spent, doc("The part of it of earlier incarnations.")] = Spent()
    since_time: Annotated[Time | None, doc("When this incarnation was bought, as far as it was seen.")] = None
    held: Annotated[Count | None, doc("GPUs, or TiB of a volume, that were held at `asOfTime`.")] = None
    prepaid: Annotated[Count | None, doc("GPUs of a reservation whose whole term is in the sums.")] = None
    prepaid_until: Annotated[Time | None, doc("The end of that term.")] = None
    prepaid_days: Annotated[
        NonNegativeDecimal | None, doc("Its length when it began, in days: made longer, it goes on at the same price.")
    ] = None


class Cost(StatusPart):
    """Money, as far as the installation's prices tell."""

    hourly_usd: Annotated[Dollars | None, doc("What the running hour costs, in US dollars.")] = None
    compute_usd: Annotated[Dollars | None, doc("What was spent over the resource's life up to `asOfTime`.")] = None
    idle_usd: Annotated[Dollars | None, doc("The part of it that was spent while nothing used the resource.")] = None
    uncertain_usd: Annotated[
        Dollars | None, doc("What may have been spent on top: where the provider tells no time, or not when it bills.")
    ] = None
    as_of_time: Annotated[Time | None, doc("The time up to which the sums count.")] = None
    account: Annotated[CostAccount | None, doc("What the sums are made of; kept by the operator for itself.")] = None


class CreateIntent(StatusPart):
    """A purchase that was begun: written before the provider is asked, so that no crash can buy twice."""

    name: Annotated[Line | None, doc("The name under which it is bought; the only mark that we can put on it.")] = None
    nonce: Annotated[
        Word | None, doc("Marks the one attempt; only the process that wrote it may send the request.")
    ] = None
    started_time: Annotated[Time | None, doc("When the intent was written.")] = None
    region: Annotated[Line | None, doc("The region that is asked for.")] = None
    project_id: Annotated[Line | None, doc("The provider's project that is asked for.")] = None
    credential_fingerprint: Annotated[Word | None, doc("Which credential buys; a hash, never the key.")] = None
