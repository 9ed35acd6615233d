"""What can go wrong with a request to a Kubernetes API, as one typed error.

The message is ours: an API server that is not trusted (a bought cluster's) must not be able to write into a status.
"""

from __future__ import annotations

from tunesmith.planning.decision import ErrorClass, Failure

_BY_STATUS = {
    400: (ErrorClass.BAD_REQUEST, "the API server did not understand the request"),
    401: (ErrorClass.UNAUTHENTICATED, "the API server does not accept the credentials"),
    403: (ErrorClass.FORBIDDEN, "the API server does not allow it to this identity; check its roles"),
    404: (ErrorClass.NOT_FOUND, "there is no such object, or its namespace or kind is missing"),
    409: (ErrorClass.CONFLICT, "somebody else changed the object first"),
    410: (ErrorClass.UNAVAILABLE, "the requested version is too old; a new list is needed"),
    413: (ErrorClass.INVALID, "the object is too large"),
    422: (ErrorClass.INVALID, "the API server refused the object as invalid"),
    429: (ErrorClass.RATE_LIMITED, "the API server asks for fewer requests"),
}


class KubeError(Exception):
    """A request that did not succeed. `failure` may be shown to users; `server_message` may only be logged."""

    def __init__(self, failure: Failure, *, status: int | None = None, server_message: str = "") -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.status = status
        self.server_message = server_message

    @property
    def expired(self) -> bool:
        """A watch or a continued list asked for a version that the server has forgotten."""
        return self.status == 410


def from_status(
    what: str, status: int, server_message: str = "", retry_after_seconds: float | None = None
) -> KubeError:
    """The error for an HTTP status. `what` names the request, such as 'get Pod a/b'."""
    error, why = _BY_STATUS.get(status, (ErrorClass.UNAVAILABLE, f"the API server answered {status}"))
    failure = Failure(error, f"Could not {what}: {why}.", retry_after_seconds)
    return KubeError(failure, status=status, server_message=server_message)


def unreachable(what: str, why: str) -> KubeError:
    """The error for a request that got no answer."""
    return KubeError(Failure(ErrorClass.UNAVAILABLE, f"Could not {what}: {why}."))
