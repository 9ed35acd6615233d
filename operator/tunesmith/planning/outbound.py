"""How a job's pods reach what lies outside their cluster: the installation's proxy and its bundle of certificates.

The administrator's ConfigMap and Secret lie in the operator's namespace. Pods run elsewhere, so both are copied beside
those that need them: the preparation, and attempts that speak to a store or a tracker. Copies go with the batch Job.
"""

from __future__ import annotations

from typing import Any

from tunesmith.planning.actions import CopyConfigMapKey, CopySecretKeys
from tunesmith.planning.attempt import Work
from tunesmith.planning.kube_facts import JobFact

HTTPS, HTTP, NEITHER = "HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY"
BUNDLE_DIRECTORY, BUNDLE_FILE = "/etc/tunesmith-certificates", "bundle.pem"
# The first is read by the trainer's own clients and by Weights & Biases, the second by MLflow's.
BUNDLE_VARIABLES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
VOLUME = "certificates"


def variables(work: Work) -> list[dict[str, Any]]:
    """Of the container; an address with a password comes by the copied Secret, and stands in no manifest."""
    out = work.outbound
    if out is None:
        return []
    written = [{"name": name, "value": f"{BUNDLE_DIRECTORY}/{BUNDLE_FILE}"} for name in BUNDLE_VARIABLES]
    found: list[dict[str, Any]] = [] if out.ca_config_map is None else [*written]
    if out.proxy_secret is not None:
        reference = {"name": work.proxy_copy}
        found += [{"name": name, "valueFrom": {"secretKeyRef": {**reference, "key": name}}} for name in (HTTP, HTTPS)]
    else:
        plain = ((HTTP, out.http_proxy), (HTTPS, out.https_proxy))
        found += [{"name": name, "value": address} for name, address in plain if address is not None]
    if out.has_proxy and out.no_proxy is not None:
        found.append({"name": NEITHER, "value": out.no_proxy})
    return found


def volumes(work: Work) -> list[dict[str, Any]]:
    """Of the pod."""
    if work.outbound is None or work.outbound.ca_config_map is None:
        return []
    return [{"name": VOLUME, "configMap": {"name": work.certificates_copy}}]


def mounts(work: Work) -> list[dict[str, Any]]:
    """Of the container."""
    return [{"name": one["name"], "mountPath": BUNDLE_DIRECTORY, "readOnly": True} for one in volumes(work)]


def copies_of_settings(
    work: Work, job: JobFact, operator_namespace: str
) -> tuple[CopySecretKeys | CopyConfigMapKey, ...]:
    """What must lie beside the pods before they start, in whichever cluster they are."""
    out, labels = work.outbound, tuple(work.labels.items())
    copies: list[CopySecretKeys | CopyConfigMapKey] = []
    if out is not None and out.ca_config_map is not None:
        copies.append(
            CopyConfigMapKey(
                where=work.where,
                namespace=operator_namespace,
                name=out.ca_config_map,
                key=out.ca_key,
                to_namespace=work.namespace,
                to_name=work.certificates_copy,
                to_key=BUNDLE_FILE,
                owner_name=job.name,
                owner_uid=job.uid,
                labels=labels,
            )
        )
    if out is not None and out.proxy_secret is not None:
        copies.append(
            CopySecretKeys(
                where=work.where,
                namespace=operator_namespace,
                name=out.proxy_secret,
                keys=(HTTP, HTTPS),
                to_namespace=work.namespace,
                to_name=work.proxy_copy,
                owner_name=job.name,
                owner_uid=job.uid,
                labels=labels,
            )
        )
    return tuple(copies)
