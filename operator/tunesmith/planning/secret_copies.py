"""Which Secrets are copied to the bought cluster whose pods need them: for pulling images, and for variables."""

from __future__ import annotations

from tunesmith.planning.actions import CopyPullSecret, CopySecretKeys
from tunesmith.planning.attempt import Work
from tunesmith.planning.kube_facts import JobFact


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
