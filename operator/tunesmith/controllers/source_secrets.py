"""The Secrets that open a job's sources or the way to them: whether they are there, and their copies beside pods."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote, urlsplit

from tunesmith.controllers.controller import ActionFailed
from tunesmith.controllers.ports import Ports
from tunesmith.kube.kinds import SECRET
from tunesmith.planning.actions import CopySecretKeys
from tunesmith.planning.decision import ErrorClass, Failure
from tunesmith.planning.sources import SecretKey


async def secret_has_key(ports: Ports, namespace: str, wanted: SecretKey) -> bool:
    """Whether the key is there and not empty. The value is remembered only so that no text shows it."""
    found = await ports.kube.get(SECRET, namespace, wanted.name)
    content = ((found or {}).get("data") or {}).get(wanted.key)
    if not content:
        return False
    _keep_out_of_texts(ports, content)
    return True


async def copy_secret_keys(ports: Ports, action: CopySecretKeys) -> None:
    """One read here, one write there. Raises `ActionFailed` when the Secret or one of its keys is not there."""
    found = await ports.kube.get(SECRET, action.namespace, action.name)
    data = (found or {}).get("data") or {}
    missing = [key for key in action.keys if not data.get(key)]
    if missing:
        keys = " and ".join(map(repr, missing))
        message = f"Secret '{action.namespace}/{action.name}' with key {keys} does not exist. Create it."
        raise ActionFailed(Failure(ErrorClass.NOT_FOUND, message))
    for key in action.keys:
        _keep_out_of_texts(ports, data[key])
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": action.owner_name, "uid": action.owner_uid}
    there = await ports.remotes.kube_for(action.where)
    await there.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "Opaque",
            "metadata": {
                "name": action.to_name,
                "namespace": action.to_namespace,
                "labels": dict(action.labels),
                "ownerReferences": [owner],
            },
            "data": {key: data[key] for key in action.keys},
        }
    )


def _keep_out_of_texts(ports: Ports, content: str) -> None:
    """As it is stored, and as a program would print it; of an address the password alone, too."""
    ports.secret(content)
    try:
        text = base64.b64decode(content, validate=True).decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        return  # not a text: nobody prints it as one
    ports.secret(text)
    for password in _passwords(text):
        ports.secret(password)


def _passwords(text: str) -> tuple[str, ...]:
    """Of an address with user and password: as it stands there, and as the other side reads it."""
    try:
        password = urlsplit(text).password
    except ValueError:
        return ()
    return (password, unquote(password)) if password else ()
