"""What every observation carries, whatever its kind: the time, the installation, and what came of earlier actions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar

from tunesmith.planning.decision import Action, Failure, Outcome
from tunesmith.planning.price_table import BillingRules, Prices

Fact = TypeVar("Fact")


@dataclass(frozen=True)
class Unknown:
    """A fact that could not be learned just now. Unknown never means "no"."""

    why: str


class NotYet(Unknown):
    """Unknown because this process has only just begun to look: no news, and nothing to tell."""


class Refused(Unknown):
    """Unknown because looking would mean to trust what is not to be trusted; somebody must change that."""


class Rejected(Unknown):
    """Unknown because the other side answers, and does not accept the credentials: newer ones are needed."""


class OtherCluster(Refused):
    """Unknown because what answers is not the cluster that was bought."""


@dataclass(frozen=True)
class Known(Generic[Fact]):
    """A fact that was learned. `as_of` is on the process's monotonic clock (seconds): when the question was *begun*."""

    value: Fact
    as_of: float


@dataclass(frozen=True)
class FailureRecord:
    """How often an action (by identity) failed in a row in this process, and when last (monotonic seconds)."""

    count: int
    last_monotonic: float
    failure: Failure


@dataclass(frozen=True)
class RepairTimes:
    """When broken nodes of bought clusters are repaired, in seconds.

    `cooldown_seconds` is between two repairs of one node; provider: about 30 minutes.
    """

    after_seconds: float = 600
    after_alert_seconds: float = 60
    replace_after_seconds: float = 600
    cooldown_seconds: float = 1800


@dataclass(frozen=True)
class PreparationNeeds:
    """What the pod that fetches and checks asks of its node, in Kubernetes' words for quantities. It gets no GPU."""

    cpu: str = "1"
    memory: str = "4Gi"


@dataclass(frozen=True)
class Outbound:
    """How pods reach what lies outside their cluster. Secret and ConfigMap lie in the operator's namespace.

    `proxy_secret` takes the place of both addresses: it holds them where they carry a password.
    """

    https_proxy: str | None = None
    http_proxy: str | None = None
    no_proxy: str | None = None
    proxy_secret: str | None = None
    ca_config_map: str | None = None
    ca_key: str = "ca.crt"

    @property
    def has_proxy(self) -> bool:
        """Whether any is set."""
        return any((self.https_proxy, self.http_proxy, self.proxy_secret))


@dataclass(frozen=True)
class Installation:
    """What the administrator set. Durations in seconds."""

    id: str
    previous_ids: tuple[str, ...] = ()
    operator_namespace: str = "tunesmith-system"
    release: str = "tunesmith"  # what the operator's own objects are called: its Lease, its ConfigMaps
    credential_namespaces: tuple[str, ...] | None = None  # None: every namespace may use the installation's credential
    has_credential: bool = True
    jobs_namespace: str = "tunesmith-jobs"
    trainer_image: str = ""
    allowed_images: tuple[str, ...] = ()  # patterns with * and ?; empty: only `trainer_image`
    simulated_gpus: bool = False
    preparation: PreparationNeeds = field(default_factory=PreparationNeeds)
    hub_endpoint: str | None = None  # None: the Hugging Face Hub itself
    outbound: Outbound = field(default_factory=Outbound)
    create_window_seconds: float = 30
    settle_seconds: float = 300
    absence_interval_seconds: float = 30  # "gone" is said twice, at least this far apart
    save_grace_seconds: int = 180
    idle_warn_after_seconds: int = 1800
    idle_delete_after_seconds: int | None = None  # None: only where a GPUCluster says so itself
    phase_deadline_seconds: Mapping[str, int] = field(default_factory=dict)  # by stage; see planning/deadlines.py
    prices: Prices = field(default_factory=Prices)
    billing: BillingRules = field(default_factory=BillingRules)
    repair: RepairTimes = field(default_factory=RepairTimes)
    orphans_are_deleted: bool = False
    orphans_delete_at_most: int = 1  # at once; when there are more, none is
    orphan_look_seconds: float = 600

    @property
    def orphan_grace_seconds(self) -> float:
        """How young something without an owner is left alone: twice the time in which a lost order may yet show."""
        return 2 * self.settle_seconds


@dataclass(frozen=True)
class Circumstances:
    """The frame of one pass.

    `now` is UTC wall time for what is written down; `monotonic` (seconds) is for waiting and comparing.
    `jitter` in [0, 1) and `fresh_nonce` are randomness handed in, so that deciding needs none of its own.
    """

    now: datetime
    monotonic: float
    jitter: float
    fresh_nonce: str
    installation: Installation
    outcomes: tuple[Outcome, ...] = ()
    failures: Mapping[str, FailureRecord] = field(default_factory=dict)

    def failure_of(self, action: Action) -> FailureRecord | None:
        """The record of this action's failures in a row, if its last try failed."""
        return self.failures.get(action.identity)
