"""How often something of a job may be begun anew: infrastructure faults and failures of no class are counted apart."""

from __future__ import annotations

from dataclasses import dataclass

from tunesmith.planning.attempt_end import Broke
from tunesmith.planning.contract import Retry
from tunesmith.resources.fine_tune_job_running import Recovery
from tunesmith.resources.fine_tune_job_status import Restarts

SUPERSEDED_CLASS = "Superseded"


@dataclass(frozen=True)
class GiveUp:
    """No further try. `whose` is the coarse class of the failure, `message` what the user reads first."""

    whose: str
    reason: str
    message: str


def counted(restarts: Restarts | None, recovery: Recovery, broke: Broke) -> Restarts | GiveUp:
    """The count with one more, or why there is none: user errors are never tried again."""
    restarts = restarts or Restarts()
    infrastructure, unclassified = restarts.infrastructure or 0, restarts.unclassified or 0
    match broke.retry:
        case Retry.NEVER:
            return GiveUp(_whose_fault(broke), broke.error_class, broke.message)
        case Retry.INFRASTRUCTURE if infrastructure >= recovery.max_infrastructure_restarts:
            return GiveUp("Infrastructure", "RestartsExhausted", _gave_up(infrastructure, broke))
        case Retry.UNCLASSIFIED if unclassified >= recovery.max_restarts:
            return GiveUp("Unclassified", "RestartsExhausted", _gave_up(unclassified, broke))
        case Retry.INFRASTRUCTURE:
            return restarts.model_copy(update={"infrastructure": infrastructure + 1})
        case Retry.UNCLASSIFIED:
            return restarts.model_copy(update={"unclassified": unclassified + 1})
        case Retry.UNCOUNTED:
            return restarts


def _whose_fault(broke: Broke) -> str:
    """A newer attempt that nobody here made is not the user's fault."""
    return "Infrastructure" if broke.error_class == SUPERSEDED_CLASS else "User"


def _gave_up(restarts: int, broke: Broke) -> str:
    return f"After {restarts} restart(s) of this kind the job gives up. Last: {broke.message}"
