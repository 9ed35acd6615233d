"""What stands in the files of ConfigMap, Secret, downward API and projected volumes, tokens among them."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from tunesmith_devcluster.nodes.api import Api, Json
from tunesmith_devcluster.nodes.atomic_directory import DEFAULT_MODE, FileContent
from tunesmith_devcluster.nodes.environment import ConfigurationError, Keyed, PodAddress, field_of, resource_of
from tunesmith_devcluster.nodes.pod_object import PodObject

_REFRESH_AT = 0.8  # of a token's life, as kubelet does


@dataclass(frozen=True)
class _Token:
    text: str
    refresh_at: float


class ProjectedFiles:
    """Gathers the files of one pod's volumes; keeps its service account tokens until they must be renewed."""

    def __init__(self, api: Api, source: Keyed) -> None:
        self._api = api
        self._source = source
        self._tokens: dict[tuple[str, int], _Token] = {}

    async def gather(self, pod: PodObject, volume: Json, address: PodAddress) -> dict[str, FileContent]:
        """The files of one volume now; ConfigurationError when something it needs does not exist."""
        if "projected" in volume:
            projected = volume["projected"]
            mode = projected.get("defaultMode", DEFAULT_MODE)
            files: dict[str, FileContent] = {}
            for source in projected.get("sources") or []:
                files.update(await self._source_files(pod, source, mode, address))
            return files
        if "secret" in volume:  # a volume says secretName where a projected source says name
            secret = volume["secret"]
            volume = {"secret": {**secret, "name": secret["secretName"]}}
        mode = next(iter(volume[kind] for kind in ("configMap", "secret", "downwardAPI") if kind in volume))
        return await self._source_files(pod, volume, mode.get("defaultMode", DEFAULT_MODE), address)

    async def _source_files(
        self, pod: PodObject, source: Json, mode: int, address: PodAddress
    ) -> dict[str, FileContent]:
        if "serviceAccountToken" in source:
            wanted = source["serviceAccountToken"]
            token = await self._token(pod, wanted.get("audience") or "", int(wanted.get("expirationSeconds") or 3600))
            return {wanted["path"]: FileContent(token.encode(), mode)}
        if "downwardAPI" in source:
            items = source["downwardAPI"].get("items") or []
            return {item["path"]: _downward(pod, item, mode, address) for item in items}
        if "configMap" in source:
            reference = source["configMap"]
            keys = await self._source.config_map(pod.namespace, reference["name"])
            return _selected("configmap", reference, keys, mode)
        reference = source["secret"]
        return _selected("secret", reference, await self._source.secret(pod.namespace, reference["name"]), mode)

    async def _token(self, pod: PodObject, audience: str, expiration_seconds: int) -> str:
        """A token bound to the pod, asked for by TokenRequest."""
        known = self._tokens.get((audience, expiration_seconds))
        if known is not None and time.time() < known.refresh_at:
            return known.text
        account = pod.spec.get("serviceAccountName") or "default"
        body: Json = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {
                "audiences": [audience] if audience else [],
                "expirationSeconds": expiration_seconds,
                "boundObjectRef": {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid},
            },
        }
        answer = await self._api.post(f"/api/v1/namespaces/{pod.namespace}/serviceaccounts/{account}/token", body)
        expires = datetime.fromisoformat(answer["status"]["expirationTimestamp"]).timestamp()
        now = time.time()
        token = _Token(answer["status"]["token"], now + (expires - now) * _REFRESH_AT)
        self._tokens[(audience, expiration_seconds)] = token
        return token.text


def _downward(pod: PodObject, item: Json, mode: int, address: PodAddress) -> FileContent:
    if "fieldRef" in item:
        value = field_of(pod, item["fieldRef"]["fieldPath"], address)
    else:
        reference = item["resourceFieldRef"]
        container = next(one for one in pod.containers if one["name"] == reference["containerName"])
        value = resource_of(pod, container, reference)
    return FileContent(value.encode(), item.get("mode", mode))


def _selected(kind: str, reference: Json, keys: Mapping[str, bytes] | None, mode: int) -> dict[str, FileContent]:
    """All keys, or those that `items` names under the paths it gives them."""
    optional = bool(reference.get("optional"))
    if keys is None:
        if optional:
            return {}
        raise ConfigurationError(f'{kind} "{reference["name"]}" not found')
    items = reference.get("items")
    if not items:
        return {key: FileContent(value, mode) for key, value in keys.items()}
    missing = [item["key"] for item in items if item["key"] not in keys]
    if missing and not optional:
        raise ConfigurationError(f'{kind} "{reference["name"]}" references non-existent key: {missing[0]}')
    return {
        item["path"]: FileContent(keys[item["key"]], item.get("mode", mode)) for item in items if item["key"] in keys
    }
