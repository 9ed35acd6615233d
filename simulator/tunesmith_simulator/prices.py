"""What things cost per hour, at the prices of the scenario."""

from collections.abc import Mapping
from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field

HOURS_PER_MONTH = 730
"""A storage month in hours: a year's hours over twelve. The provider does not say how it prorates."""


class Prices(BaseModel):
    """Dollars per GPU-hour by GPU type, and per TiB-month of shared storage. A GPU type without a price costs nothing.

    The defaults are the provider's on-demand prices as copies of its page showed them in 2026-09.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    gpu_hour_usd: Mapping[str, Decimal] = Field(
        default={"H100_SXM": Decimal("3.99"), "H200_SXM": Decimal("5.99"), "B200_SXM": Decimal("8.19")}
    )
    storage_tib_month_usd: Decimal = Decimal("163.84")

    def gpus_per_hour(self, gpu_type: str, num_gpus: int) -> Decimal:
        """Dollars an hour for ``num_gpus`` of ``gpu_type``."""
        return self.gpu_hour_usd.get(gpu_type, Decimal(0)) * num_gpus

    def storage_per_hour(self, size_tib: int) -> Decimal:
        """Dollars an hour for ``size_tib`` of shared storage."""
        return self.storage_tib_month_usd * size_tib / HOURS_PER_MONTH
