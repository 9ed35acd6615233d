"""What is copied beside pods before they may start: Secrets for a bought cluster, and the installation's settings."""

from __future__ import annotations

from dataclasses import dataclass

from tunesmith.planning.actions import CopyConfigMapKey, CopyPullSecret, CopySecretKeys
from tunesmith.planning.attempt import Work
from tunesmith.planning.circumstances import Circumstances
from tunesmith.planning.kube_facts import JobFact
from tunesmith.planning.outbound import copies_of_settings

Copy = CopyPullSecret | CopySecretKeys | CopyConfigMapKey


@dataclass(frozen=True)
class Missing:
    """Why a copy could not be made: a reason, and what was said."""

    reason: str
    message: str


def copies_beside(work: Work, job: JobFact, around: Circumstances) -> tuple[Copy, ...]:
    """All copies that the pods of a piece of work need."""
    settings = copies_of_settings(work, job, around.installation.operator_namespace)
    return (*copies_of_pull_secrets(work, job), *copies_of_source_secrets(work, job), *settings)


def missing_copy(work: Work, copies: tuple[Copy, ...], around: Circumstances) -> Missing | None:
    """The first copy whose last try failed."""
    failed = ((copy, record) for copy in copies if (record := around.failure_of(copy)) is not None)
    return next((Missing(_reason(work, copy), record.failure.message) for copy, record in failed), None)


def _reason(work: Work, copy: Copy) -> str:
    if copy.to_name in {work.proxy_copy, work.certificates_copy}:
        return "OutboundSettingsMissing"
    return "PullSecretUnusable" if isinstance(copy, CopyPullSecret) else "SourceSecretNotFound"


def copies_of_pull_secrets(work: Work, job: JobFact) -> tuple[CopyPullSecret, ...]:
    """To where the pods are, if that is another cluster; they go with the batch Job."""
    if work.where is None:
        return ()
    return tuple(
        CopyPullSecret(
            work.where,
            work.job.namespace,
            name,
            work.namespace,
            copied,
            job.name,
            job.uid,
            tuple(work.labels.items()),
        )
        for name, copied in work.pull_secrets.items()
    )


def copies_of_source_secrets(work: Work, job: JobFact) -> tuple[CopySecretKeys, ...]:
    """Of each Secret only the keys that fill variables, likewise."""
    if work.where is None:
        return ()
    return tuple(
        CopySecretKeys(
            work.where,
            work.job.namespace,
            name,
            work.keys_of(name),
            work.namespace,
            copied,
            job.name,
            job.uid,
            tuple(work.labels.items()),
        )
        for name, copied in work.source_secrets.items()
    )
