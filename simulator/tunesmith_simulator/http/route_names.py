"""What a request is about, told from its method and path alone, in every dialect of the API."""

from tunesmith_simulator.faults import Asked, Collection, Verb

_FIRST_OF_G0: dict[str, Collection] = {
    "gpu_cluster": "clusters",
    "gpu_clusters": "clusters",
    "shared_volume": "volumes",
    "shared_volumes": "volumes",
    "regions": "regions",
}
_VERBS: dict[str, Verb] = {"POST": "POST", "PUT": "PUT", "PATCH": "PUT", "DELETE": "DELETE"}


def asked_for(method: str, path: str, account: str | None = None) -> Asked:
    """The verb, the collection and the object of a request."""
    parts = [part for part in path.split("/") if part]
    while parts and parts[0] in {"api", "v1"}:
        parts.pop(0)
    collection, object_id = _collection(parts)
    verb = _VERBS.get(method) or ("GET" if object_id else "LIST")
    return Asked(verb, collection, object_id, account)


def _collection(parts: list[str]) -> tuple[Collection, str | None]:
    match parts:
        case ["compute", "regions"]:
            return "regions", None
        case ["compute", "clusters", "storage", "volumes", *rest]:
            return "volumes", _first(rest)
        case ["compute", "clusters", _, "instances", _, "remediations", *rest]:
            return "remediations", _first(rest)
        case ["compute", "clusters", *rest]:
            return "clusters", _first(rest)
        case [first, *rest] if first in _FIRST_OF_G0:
            return _FIRST_OF_G0[first], _first(rest)
    return "other", None


def _first(rest: list[str]) -> str | None:
    return rest[0] if rest else None
