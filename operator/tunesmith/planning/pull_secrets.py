"""Which Secrets for pulling images are copied to the bought cluster that pulls them, beside which pods."""

from __future__ import annotations

from tunesmith.planning.actions import CopyPullSecret
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
