"""What things cost, at the prices of the scenario, and from when until when they are charged."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

HOURS_PER_MONTH = 730
"""A storage month in hours: a year's hours over twelve. The provider does not say how it prorates."""


class Prices(BaseModel):
    """Dollars per GPU-hour by GPU type and way of billing, and per TiB-month of shared storage.

    ``gpu_hour_usd`` is on demand, and what is used beyond a reservation; a GPU type without a price costs nothing.
    Reserved GPUs cost by their term: the price of the greatest number of days that it reaches; without one, the
    on-demand price. Preemptible ones without a price cost half of the on-demand price.
    The defaults are the provider's prices as copies of its page showed them in 2026-09.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    gpu_hour_usd: Mapping[str, Decimal] = Field(
        default={"H100_SXM": Decimal("3.99"), "H200_SXM": Decimal("5.99"), "B200_SXM": Decimal("8.19")}
    )
    preemptible_gpu_hour_usd: Mapping[str, Decimal] = Field(
        default={"H100_SXM": Decimal("1.99"), "H200_SXM": Decimal("2.99"), "B200_SXM": Decimal("4.09")}
    )
    reserved_gpu_hour_usd: Mapping[str, Mapping[PositiveInt, Decimal]] = Field(
        default={
            "H100_SXM": {7: Decimal("3.69"), 31: Decimal("3.45"), 91: Decimal("3.19")},
            "H200_SXM": {7: Decimal("4.99"), 31: Decimal("4.15"), 91: Decimal("3.99")},
            "B200_SXM": {7: Decimal("7.99"), 31: Decimal("7.79"), 91: Decimal("6.79")},
        }
    )
    storage_tib_month_usd: Decimal = Decimal("163.84")

    def on_demand(self, gpu_type: str) -> Decimal:
        """Dollars for a GPU-hour on demand."""
        return self.gpu_hour_usd.get(gpu_type, Decimal(0))

    def preemptible(self, gpu_type: str) -> Decimal:
        """Dollars for a GPU-hour of a preemptible node."""
        # provider: half of the on-demand price
        return self.preemptible_gpu_hour_usd.get(gpu_type, self.on_demand(gpu_type) / 2)

    def reserved(self, gpu_type: str, days: float) -> Decimal:
        """Dollars for a GPU-hour of a reservation that is this long."""
        tiers = self.reserved_gpu_hour_usd.get(gpu_type, {})
        reached = [least for least in tiers if least <= days]
        return tiers[max(reached)] if reached else self.on_demand(gpu_type)


class BillingRules(BaseModel):
    """From when until when a GPU is charged. The provider documents neither; a scenario chooses.

    ``bill_from``: `Created` counts from the order (of the cluster, or of the node by a scale-up), `Ready` from when the
    cluster is ready first and the node runs. ``bill_until``: `DeleteRequested` ends with the customer's request (that
    the cluster goes, or for fewer nodes), `Gone` when the machine has left.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bill_from: Literal["Created", "Ready"] = "Created"
    bill_until: Literal["DeleteRequested", "Gone"] = "Gone"


FROM_ORDER_TO_END = BillingRules()
