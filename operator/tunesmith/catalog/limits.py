"""A model's limits for one method: what of SFT's and DPO's columns holds for a job."""

from dataclasses import dataclass

from tunesmith.resources.catalog_model import CatalogModelSpec, Limits
from tunesmith.resources.fine_tune_job_inputs import MethodType


@dataclass(frozen=True)
class MethodLimits:
    """The limits of a model for one method; None where the model's row sets none."""

    context_length: int | None
    min_batch_size: int | None
    max_batch_size: int | None
    max_lora_rank: int | None

    def allows_context(self, tokens: int) -> bool:
        """Whether rows may be so long."""
        return self.context_length is None or tokens <= self.context_length

    def allows_batch(self, rows: int) -> bool:
        """Whether a step may have so many rows."""
        enough = self.min_batch_size is None or rows >= self.min_batch_size
        return enough and (self.max_batch_size is None or rows <= self.max_batch_size)

    def allows_rank(self, rank: int) -> bool:
        """Whether an adapter may have that rank."""
        return self.max_lora_rank is None or rank <= self.max_lora_rank


def limits_for(model: CatalogModelSpec, method: MethodType) -> MethodLimits:
    """The limits that hold when `model` is tuned by `method`."""
    limits = model.limits or Limits()
    is_sft = method is MethodType.SFT
    return MethodLimits(
        context_length=limits.context_length_sft if is_sft else limits.context_length_dpo,
        min_batch_size=limits.min_batch_size,
        max_batch_size=limits.max_batch_size_sft if is_sft else limits.max_batch_size_dpo,
        max_lora_rank=limits.max_lora_rank,
    )
