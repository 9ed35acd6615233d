"""The volumes of one pod: where each lies on the host, and where a container sees it."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tunesmith_devcluster.nodes.api import Api, Json
from tunesmith_devcluster.nodes.atomic_directory import AtomicDirectory
from tunesmith_devcluster.nodes.environment import ConfigurationError, Keyed, PodAddress, expand
from tunesmith_devcluster.nodes.pod_object import PodObject
from tunesmith_devcluster.nodes.projected_files import ProjectedFiles
from tunesmith_devcluster.nodes.sandbox import Mount

_MEMORY = Path("/dev/shm")  # noqa: S108 - memory is what `medium: Memory` asks for
_WRITTEN = ("configMap", "secret", "downwardAPI", "projected")


@dataclass(frozen=True)
class MountedClaim:
    """A claim as a pod mounts it. `size` is its PersistentVolume's, in Kubernetes' words."""

    namespace: str
    name: str
    path: Path
    size: str


class PodVolumes:
    """Makes, refreshes and removes one pod's volumes."""

    def __init__(self, directory: Path, api: Api, source: Keyed) -> None:
        self._directory = directory
        self._api = api
        self._files = ProjectedFiles(api, source)
        self._places: dict[str, Path] = {}
        self._written: dict[str, AtomicDirectory] = {}
        self._read_only: set[str] = set()
        self._memory: Path | None = None
        self._claims: dict[str, MountedClaim] = {}

    @property
    def claims(self) -> Mapping[str, MountedClaim]:
        """The claims among the volumes, by the volume's name in the pod."""
        return self._claims

    async def prepare(self, pod: PodObject, address: PodAddress) -> None:
        """Make every volume. ConfigurationError, ApiError or Unreachable say what is still missing: call again."""
        for volume in pod.spec.get("volumes") or []:
            if volume["name"] not in self._places:
                self._places[volume["name"]] = await self._place(pod, volume, address)

    async def refresh(self, pod: PodObject, address: PodAddress) -> None:
        """Write again what changed meanwhile (rotated keys, tokens at 80 % of their life)."""
        for volume in pod.spec.get("volumes") or []:
            directory = self._written.get(volume["name"])
            if directory is not None:
                directory.write(await self._files.gather(pod, volume, address))

    def mounts(self, container: Json, variables: Mapping[str, str]) -> list[Mount]:
        """The bind mounts of one container."""
        found = []
        for mount in container.get("volumeMounts") or []:
            source = self._places[mount["name"]]
            sub_path = expand(mount.get("subPathExpr") or mount.get("subPath") or "", variables)
            if sub_path:
                source = self._sub_path(source, sub_path)
            read_only = bool(mount.get("readOnly")) or mount["name"] in self._read_only
            found.append(Mount(str(source), mount["mountPath"].rstrip("/") or "/", read_only))
        return found

    def remove(self) -> None:
        """Remove what the pod owned; claims and host paths stay as they are."""
        shutil.rmtree(self._directory, ignore_errors=True)
        if self._memory is not None:
            shutil.rmtree(self._memory, ignore_errors=True)

    async def _place(self, pod: PodObject, volume: Json, address: PodAddress) -> Path:
        name = volume["name"]
        if any(kind in volume for kind in _WRITTEN):
            directory = AtomicDirectory(self._directory / name)
            directory.write(await self._files.gather(pod, volume, address))
            self._written[name] = directory
            self._read_only.add(name)
            return directory.path
        if "emptyDir" in volume:
            return self._empty(pod, name, in_memory=volume["emptyDir"].get("medium") == "Memory")
        if "hostPath" in volume:
            return _host_path(volume["hostPath"])
        if "persistentVolumeClaim" in volume:
            claim = volume["persistentVolumeClaim"]
            if claim.get("readOnly"):
                self._read_only.add(name)
            return await self._claimed(pod.namespace, claim["claimName"], name)
        kind = next(iter(key for key in volume if key != "name"), "nothing")
        raise ConfigurationError(f"volume {name!r} is of kind {kind}, which process nodes do not have")

    def _empty(self, pod: PodObject, name: str, *, in_memory: bool) -> Path:
        directory = self._directory / name
        if in_memory and _MEMORY.is_dir():
            self._memory = memory_directory(pod.uid)
            directory = self._memory / name
        directory.mkdir(parents=True, exist_ok=True)
        directory.chmod(0o777)
        return directory

    async def _claimed(self, namespace: str, name: str, volume_in_pod: str) -> Path:
        claim = await self._api.get(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}")
        volume_name = claim["spec"].get("volumeName")
        if not volume_name or (claim.get("status") or {}).get("phase") != "Bound":
            raise ConfigurationError(f'persistentvolumeclaim "{name}" is not bound')
        volume = await self._api.get(f"/api/v1/persistentvolumes/{volume_name}")
        place = volume["spec"].get("hostPath") or volume["spec"].get("local")
        if place is None:
            raise ConfigurationError(
                f'persistentvolume "{volume_name}" is neither hostPath nor local: process nodes have no other kind'
            )
        path = _host_path(place)
        size = str((volume["spec"].get("capacity") or {}).get("storage", "0"))
        self._claims[volume_in_pod] = MountedClaim(namespace, name, path, size)
        return path

    @staticmethod
    def _sub_path(volume: Path, sub_path: str) -> Path:
        """The place below a volume, made if missing; a link out of the volume is refused."""
        if Path(sub_path).is_absolute() or ".." in Path(sub_path).parts:
            raise ConfigurationError(f"subPath {sub_path!r} must be a relative path without '..'")
        place = volume / sub_path
        if not place.exists():
            place.mkdir(parents=True)
        if not place.resolve().is_relative_to(volume.resolve()):
            raise ConfigurationError(f"subPath {sub_path!r} leads out of its volume")
        return place.resolve()


def memory_directory(pod_uid: str) -> Path:
    """Where a pod's `emptyDir` volumes of medium Memory lie."""
    return _MEMORY / f"tunesmith-pod-{pod_uid}"


def _host_path(place: Json) -> Path:
    path, kind = Path(place["path"]), place.get("type") or ""
    if kind in ("", "DirectoryOrCreate") and not path.exists():
        path.mkdir(parents=True)
    if kind == "FileOrCreate" and not path.exists():
        path.touch()
    expected = {"Directory": path.is_dir, "File": path.is_file}.get(kind, path.exists)
    if not expected():
        raise ConfigurationError(f"hostPath type check failed: {path} is not {kind or 'there'}")
    return path
