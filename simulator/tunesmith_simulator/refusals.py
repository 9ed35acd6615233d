"""What the provider refuses, as one exception type. How a refusal looks on the wire is the dialect's business."""

from enum import Enum


class Reason(Enum):
    """Why the provider says no: the gRPC code it names and the HTTP status it answers with.

    The provider documents only 409 "Out of stock" and 400 for missing driver versions; the rest follows the
    usual mapping of gRPC codes to HTTP.
    """

    INVALID = (3, 400)
    NOT_FOUND = (5, 404)
    FORBIDDEN = (7, 403)
    OUT_OF_STOCK = (8, 409)
    CONFLICT = (9, 400)
    NO_CREDIT = (9, 402)
    UNAUTHENTICATED = (16, 401)
    METHOD_NOT_ALLOWED = (12, 405)

    @property
    def grpc_code(self) -> int:
        """The number in the answer's ``code``."""
        return self.value[0]

    @property
    def http_status(self) -> int:
        """The HTTP status of the answer."""
        return self.value[1]


class RefusedError(Exception):
    """The provider refuses, definitely: nothing was changed."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


def invalid(message: str) -> RefusedError:
    """The request itself is wrong."""
    return RefusedError(Reason.INVALID, message)


def not_found(kind: str, identifier: str) -> RefusedError:
    """There is no such object, or it belongs to somebody else: the two are told in the same words."""
    return RefusedError(Reason.NOT_FOUND, f"{kind} {identifier!r} not found")


def conflict(message: str) -> RefusedError:
    """The request is right, but not in the state that the object is in."""
    return RefusedError(Reason.CONFLICT, message)
