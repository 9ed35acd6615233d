"""Remembers every version of every Tunesmith resource and Event that the API server told of, as a watcher saw it."""

import json
import threading
from collections.abc import Callable
from typing import Any

import httpx

from tunesmith_demo.reader import Reader

Object = dict[str, Any]

GROUP = "/apis/tunesmith.dev/v1alpha1"
KINDS = {
    "GPUCluster": "gpuclusters",
    "SharedVolume": "sharedvolumes",
    "FineTuneJob": "finetunejobs",
    "CatalogModel": "catalogmodels",
    "GPURegion": "gpuregions",
}
EVENTS = "/api/v1/events"
WATCH_SECONDS = 3600


class Recorder:
    """Watches in threads of its own until `stop`."""

    def __init__(self, reader: Callable[[], Reader]) -> None:
        self._reader = reader
        self._seen: dict[str, dict[tuple[str, str], Object]] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        paths = {kind: f"{GROUP}/{plural}" for kind, plural in KINDS.items()} | {"Event": EVENTS}
        self._threads = [
            threading.Thread(target=self._follow, args=(kind, path), name=f"recorder-{kind}", daemon=True)
            for kind, path in paths.items()
        ]

    def start(self) -> None:
        """Begin to watch."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Watch no longer; the threads end with their connections."""
        self._stopped.set()

    def versions(self, kind: str, *, uid: str | None = None, namespace: str | None = None) -> list[Object]:
        """What was seen of a kind, in the order in which it came."""
        with self._lock:
            found = list(self._seen.get(kind, {}).values())
        return [
            each
            for each in found
            if (uid is None or each["metadata"]["uid"] == uid)
            and (namespace is None or each["metadata"].get("namespace") == namespace)
        ]

    def _follow(self, kind: str, path: str) -> None:
        while not self._stopped.is_set():
            try:
                with self._reader() as reader:
                    self._watch(reader, kind, path)
            except (httpx.HTTPError, json.JSONDecodeError):
                self._stopped.wait(0.2)

    def _watch(self, reader: Reader, kind: str, path: str) -> None:
        query = {"watch": "1", "timeoutSeconds": str(WATCH_SECONDS)}
        for line in reader.lines(path, query):
            if self._stopped.is_set():
                return
            news = json.loads(line)
            if news["type"] in {"ADDED", "MODIFIED", "DELETED"}:
                self._keep(kind, news["object"])

    def _keep(self, kind: str, resource: Object) -> None:
        metadata = resource["metadata"]
        with self._lock:
            self._seen.setdefault(kind, {}).setdefault((metadata["uid"], metadata["resourceVersion"]), resource)
