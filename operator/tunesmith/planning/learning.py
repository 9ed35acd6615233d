"""How a job learns, in the words of the trainer's configuration: method, tuning, what it goes on from."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from tunesmith.planning.continuing import continued_path
from tunesmith.planning.job_observation import JobObservation
from tunesmith.resources.fine_tune_job_inputs import DPO, MethodType, Tuning, TuningType

BETA = Decimal("0.1")  # provider: its server's default
# Divided by length, log-ratios are so small that the provider's default would be nearly flat.
BETA_PER_TOKEN = Decimal("2")


def learning(seen: JobObservation) -> dict[str, Any]:
    """The sections of the configuration that say how."""
    spec = seen.spec
    sections: dict[str, Any] = {"method": _method(seen), "tuning": _tuning(spec.tuning)}
    if spec.output.merge_model:
        sections["output"] = {"mergeModel": True}
    continued = continued_path(seen)
    return sections if continued is None else {**sections, "continueFrom": {"path": continued}}


def packs(seen: JobObservation, wanted: bool) -> bool:
    """Pairs are never packed: their two answers are compared row by row."""
    return wanted and seen.spec.method.type is MethodType.SFT


def _method(seen: JobObservation) -> dict[str, Any]:
    method = seen.spec.method
    if method.type is MethodType.SFT:
        return {"type": "SFT"}
    wanted = method.dpo or DPO()
    simpo = bool(wanted.simpo_gamma)
    # provider: its client sets both for SimPO
    per_token = wanted.normalize_logratios_by_length or simpo
    beta = wanted.beta if wanted.beta is not None else BETA_PER_TOKEN if per_token else BETA
    return {
        "type": "DPO",
        "dpo": {
            "beta": float(beta),
            "normalizeLogratiosByLength": per_token,
            "rpoAlpha": float(wanted.rpo_alpha or 0),
            "simpoGamma": float(wanted.simpo_gamma or 0),
            "referenceFree": wanted.reference_free or simpo,
        },
    }


def _tuning(tuning: Tuning) -> dict[str, Any]:
    if tuning.type is TuningType.FULL:
        return {"type": "Full"}
    adapter = tuning.adapter
    return {
        "type": "LoRA",
        "rank": adapter.rank,
        "alpha": adapter.scale_alpha,
        "dropout": float(adapter.dropout),
        "targetModules": list(adapter.target_modules) or ["all-linear"],
        "baseQuantization": adapter.base_quantization.value,
    }
