"""How the sums in a status grow from look to look: what clusters and volumes share. Pure; times and rates come in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from tunesmith.planning.circumstances import Circumstances
from tunesmith.planning.money import SECONDS_PER_HOUR, Money, cents, stored
from tunesmith.resources.purchase import Cost, CostAccount, Spent

WRITE_EVERY = timedelta(hours=1)
"""How old the sums may get while nothing else is written."""


@dataclass(frozen=True)
class Prepaid:
    """What was newly paid at once for a reservation, and what is paid for now: so many GPUs until `until`.

    `days` is the length of the term as it was ordered.
    """

    usd: Decimal
    uncertain_usd: Decimal
    gpus: int
    until: datetime
    days: Decimal


@dataclass(frozen=True)
class Counting:
    """What was counted since the last time. `money` None: something has no price, so the sums stand still."""

    money: Money | None
    until: datetime
    held: int
    hourly_usd: Decimal | None
    idle_usd: Decimal = Decimal(0)
    prepaid: Prepaid | None = None


def account_of(cost: Cost | None) -> CostAccount:
    """The account in a cost; one that an earlier version wrote has only its rounded sum."""
    if cost is None:
        return CostAccount()
    if cost.account is not None:
        return cost.account
    return CostAccount(total=Spent(compute_usd=cost.compute_usd or Decimal(0)))


def grown(cost: Cost | None, counting: Counting) -> Cost:
    """The cost with what was counted since. Without a price nothing is added, and the time stays: it is added later."""
    before = account_of(cost)
    hourly = None if counting.hourly_usd is None else cents(counting.hourly_usd)
    if counting.money is None:
        kept = cost or Cost()
        return kept.model_copy(update={"hourly_usd": hourly, "account": before if cost is not None else None})
    total, money = before.total, counting.money
    uncertain = total.uncertain_usd + money.uncertain_usd
    compute = total.compute_usd + money.usd
    if counting.prepaid is not None:
        compute += counting.prepaid.usd
        uncertain += counting.prepaid.uncertain_usd
    after = Spent(
        compute_usd=stored(compute),
        idle_usd=stored(min(total.idle_usd + counting.idle_usd, compute)),
        uncertain_usd=stored(uncertain),
        held_hours=stored(total.held_hours + money.gpu_seconds / SECONDS_PER_HOUR),
        uncertain_hours=stored(total.uncertain_hours + money.uncertain_gpu_seconds / SECONDS_PER_HOUR),
    )
    update: dict[str, object] = {"total": after, "held": counting.held}
    if counting.prepaid is not None:
        paid = counting.prepaid
        update |= {"prepaid": paid.gpus, "prepaid_until": paid.until, "prepaid_days": stored(paid.days)}
    account = before.model_copy(update=update)
    return shown(account, hourly, counting.until)


def shown(account: CostAccount, hourly_usd: Decimal | None, as_of: datetime | None) -> Cost:
    """A cost as people read it: the sums in cents."""
    return Cost(
        hourly_usd=hourly_usd,
        compute_usd=cents(account.total.compute_usd),
        idle_usd=cents(account.total.idle_usd),
        uncertain_usd=cents(account.total.uncertain_usd),
        as_of_time=as_of,
        account=account,
    )


def opened(cost: Cost | None, since: datetime) -> Cost:
    """The cost at the purchase of an incarnation: what earlier ones came to, and nothing of this one yet.

    `since` is when it was ordered; nothing of an incarnation is counted from before it.
    """
    before = account_of(cost)
    account = CostAccount(total=before.total, earlier=before.total, since_time=since)
    kept = shown(account, None, since)
    return kept if cost is not None else kept.model_copy(update={"idle_usd": Decimal("0.00")})


def is_old(cost: Cost | None, until: datetime) -> bool:
    """Whether the sums are to be written although nothing else is."""
    return cost is None or cost.as_of_time is None or until - cost.as_of_time >= WRITE_EVERY


def gone_by(around: Circumstances) -> datetime:
    """By when all had gone that the newest look did not show: it was answered by now, which is cut to whole seconds."""
    return around.now + timedelta(seconds=1)


def wall_time(monotonic: float, around: Circumstances) -> datetime:
    """The wall time of a moment on the process's own clock, in whole seconds, never later than it was."""
    ago = max(around.monotonic - monotonic, 0.0)
    return (around.now - timedelta(seconds=ago)).replace(microsecond=0)
