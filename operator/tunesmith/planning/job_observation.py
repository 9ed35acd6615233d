"""Everything that a decision about one FineTuneJob needs, as typed facts; and how such a decision is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tunesmith.planning.actions import RemoteCluster
from tunesmith.planning.attempt import JobIdentity
from tunesmith.planning.attempt_end import Workload
from tunesmith.planning.circumstances import Circumstances, Known, Unknown
from tunesmith.planning.decision import Action, Decision, EventNote
from tunesmith.planning.job_conditions import of_all
from tunesmith.planning.pool import PoolAnswer
from tunesmith.planning.progress import Report
from tunesmith.planning.sources import SecretKey
from tunesmith.planning.verdict import Standing, Summary, Verdict, told
from tunesmith.resources.catalog_model import CatalogModel
from tunesmith.resources.fine_tune_job import CONDITIONS, FineTuneJob, FineTuneJobSpec
from tunesmith.resources.fine_tune_job_running import PlacementType
from tunesmith.resources.fine_tune_job_status import FineTuneJobStatus
from tunesmith.resources.gpu_cluster import GPUCluster
from tunesmith.resources.references import ConfigMapKeyReference

FINALIZER = "tunesmith.dev/finalizer"
LOOK_AGAIN_SECONDS = 30.0
NOT_YET_SECONDS = 1.0
NOT_LOOKED = Unknown("Nobody has looked yet.")


@dataclass(frozen=True)
class JobObservation:
    """One FineTuneJob and the world round it.

    `model` is the row of the catalogue that speaks of the job's model, named by it or not.
    `files` are the ConfigMap keys that the dataset names, by role (`training`, `validation`); None: no such key.
    `answer` is what the job's pool says to its request; None: the pool has not judged it yet.
    `last_words` are the last lines of the log of a pod that failed, without secrets.
    `earlier` is the job that this one continues from, when there is one of the name.
    `secrets` says of the keys of Secrets that open the sources whether they are there, as long as that is asked.
    """

    around: Circumstances
    job: FineTuneJob
    model: CatalogModel | None = None
    files: Mapping[str, str | None] = field(default_factory=dict)
    cluster: GPUCluster | None = None
    workload: Known[Workload] | Unknown = NOT_LOOKED
    answer: Known[PoolAnswer | None] | Unknown = NOT_LOOKED
    report: Report | None = None
    last_words: tuple[str, ...] = ()
    secrets: Mapping[SecretKey, bool] = field(default_factory=dict)
    earlier: FineTuneJob | None = None

    @property
    def spec(self) -> FineTuneJobSpec:
        """What the user wants."""
        return self.job.spec

    @property
    def status(self) -> FineTuneJobStatus:
        """What was written down before."""
        return self.job.status

    @property
    def identity(self) -> JobIdentity:
        """Which job."""
        return identity_of(self.job)

    @property
    def cluster_name(self) -> str | None:
        """The GPUCluster that the job runs on; None: it runs where the operator runs."""
        return cluster_name_of(self.job)

    @property
    def where(self) -> RemoteCluster | None:
        """Where the job's objects are, as actions name it."""
        name = self.cluster_name
        return None if name is None else RemoteCluster(self.identity.namespace, name)

    @property
    def namespace(self) -> str:
        """The namespace of the job's pods."""
        return self.identity.namespace if self.where is None else self.around.installation.jobs_namespace

    @property
    def image(self) -> str:
        """The trainer's image."""
        return self.spec.image or self.around.installation.trainer_image

    @property
    def claim(self) -> str:
        """The PersistentVolumeClaim of the storage. A GPUCluster's plan names its one like the SharedVolume."""
        named = self.spec.storage.claim or self.spec.storage.shared_volume
        return named.name if named is not None else ""

    @property
    def attempt(self) -> int:
        """The number of the present or last attempt; 0 before the first."""
        return self.status.attempt or 0


def identity_of(job: FineTuneJob) -> JobIdentity:
    """Which job this is."""
    return JobIdentity(job.metadata.namespace or "", job.metadata.name, job.metadata.uid)


def cluster_name_of(job: FineTuneJob) -> str | None:
    """The GPUCluster that a job runs on, by its spec or as made for it; None: the local cluster."""
    placement = job.spec.placement
    if placement.type is PlacementType.LOCAL:
        return None
    if placement.type is PlacementType.TEMPLATE:
        return identity_of(job).template_cluster_name
    return placement.cluster.name if placement.cluster is not None else None


def config_maps_of(job: FineTuneJob) -> Mapping[str, ConfigMapKeyReference]:
    """The ConfigMap keys that the dataset is read from, by role."""
    dataset = job.spec.dataset
    sources = {"training": dataset.training, "validation": dataset.validation}
    return {
        role: source.config_map
        for role, source in sources.items()
        if source is not None and source.config_map is not None
    }


def working(seen: JobObservation, state: str, reason: str, message: str, *actions: Action, **more: Any) -> JobDecision:
    """It goes on by itself: not Ready, Reconciling."""
    return _told(seen, state, Summary(Standing.WORKING, reason, message), actions, **more)


def stalled(seen: JobObservation, state: str, reason: str, message: str, *actions: Action, **more: Any) -> JobDecision:
    """Somebody must do something: not Ready, Stalled."""
    return _told(seen, state, Summary(Standing.STALLED, reason, message), actions, **more)


def done(seen: JobObservation, state: str, reason: str, message: str, *actions: Action, **more: Any) -> JobDecision:
    """Nothing is left to do: Ready."""
    return _told(seen, state, Summary(Standing.DONE, reason, message), actions, **more)


JobDecision = Decision[FineTuneJobStatus]


def _told(
    seen: JobObservation,
    state: str,
    summary: Summary,
    actions: tuple[Action, ...],
    *,
    verdicts: Mapping[str, Verdict] | None = None,
    changes: Mapping[str, Any] | None = None,
    events: tuple[EventNote, ...] = (),
    again: float | None = LOOK_AGAIN_SECONDS,
) -> JobDecision:
    """`changes` are fields of the status; `verdicts` its conditions, by type."""
    changed = seen.status.model_copy(update={**(changes or {}), "state": state, "model_name": model_name(seen)})
    status = told(
        changed,
        summary,
        of_all(changed, verdicts or {}),
        order=CONDITIONS,
        generation=seen.job.metadata.generation,
        now=seen.around.now,
    )
    return Decision(status=status, actions=actions, events=events, look_again_seconds=again)


def as_it_was(seen: JobObservation) -> FineTuneJobStatus:
    """The status as it is; only that this generation of the spec was looked at is new."""
    return seen.status.model_copy(update={"observed_generation": seen.job.metadata.generation})


def model_name(seen: JobObservation) -> str:
    """The base model by the one name that its type uses: what the table of jobs shows."""
    model = seen.spec.model
    if model.hugging_face is not None:
        return model.hugging_face.repo
    if seen.model is not None:
        return seen.model.spec.id
    return model.path or (model.catalog.name if model.catalog is not None else "")
