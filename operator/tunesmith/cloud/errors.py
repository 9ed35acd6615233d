"""What went wrong at the provider, in our own closed set of classes. Text of a response never leaves this module."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from tunesmith.cloud.known_messages import Meaning, meaning_of
from tunesmith.planning.decision import ErrorClass, Failure

LONGEST_RETRY_AFTER_SECONDS = 3600.0

_CLASS_OF_STATUS = {
    400: ErrorClass.BAD_REQUEST,
    401: ErrorClass.UNAUTHENTICATED,
    402: ErrorClass.NO_CREDIT,
    403: ErrorClass.FORBIDDEN,
    404: ErrorClass.NOT_FOUND,
    422: ErrorClass.BAD_REQUEST,
    429: ErrorClass.RATE_LIMITED,
}

_WORDS = {
    ErrorClass.OUT_OF_STOCK: "the region has no such GPUs in stock",
    ErrorClass.BAD_REQUEST: "the provider refused the request as wrong",
    ErrorClass.UNAUTHENTICATED: "the provider does not know the API key",
    ErrorClass.FORBIDDEN: "the API key may not do this",
    ErrorClass.NO_CREDIT: "the provider wants payment first",
    ErrorClass.NOT_FOUND: "the provider does not know the object",
    ErrorClass.CONFLICT: "the object's present state does not allow this",
    ErrorClass.RATE_LIMITED: "the provider asks for fewer requests",
    ErrorClass.UNAVAILABLE: "the provider could not be reached or gave no clear answer",
    ErrorClass.AMBIGUOUS: "it is not known whether the provider did it",
    ErrorClass.NOT_SENT: "the request was never sent",
}


class CloudError(Exception):
    """A request to the provider failed. `failure` says how, in our words."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def error_of(
    error: ErrorClass,
    doing: str,
    *,
    status: int | None = None,
    retry_after: float | None = None,
    because: str | None = None,
) -> CloudError:
    """The error of one request: what we were doing, what it means, and the HTTP status if there was one.

    `because` takes the place of the usual words of the class.
    """
    code = "" if status is None else f" (HTTP {status})"
    return CloudError(Failure(error, f"Could not {doing}: {because or _WORDS[error]}{code}.", retry_after))


def error_of_answer(
    doing: str, *, method: str, creates: bool, status: int, text: str, retry_after: str | None
) -> CloudError:
    """The error that an answer other than 2xx means. For a create, what is not definite is ambiguous."""
    wait = retry_after_seconds(retry_after)
    meaning = meaning_of(status, text) if method in {"POST", "PUT"} else None
    if meaning is not None:
        return _known(meaning, doing, status, wait)
    if status in _CLASS_OF_STATUS:
        error = _CLASS_OF_STATUS[status]
    elif creates:
        error = ErrorClass.AMBIGUOUS
    else:
        error = ErrorClass.CONFLICT if status == 409 else ErrorClass.UNAVAILABLE
    return error_of(error, doing, status=status, retry_after=wait)


def _known(meaning: Meaning, doing: str, status: int, retry_after: float | None) -> CloudError:
    failure = error_of(meaning.error, doing, status=status, retry_after=retry_after, because=meaning.words).failure
    return CloudError(replace(failure, known=meaning.message))


def error_of_transport(doing: str, cause: Exception, *, creates: bool) -> CloudError:
    """The error of a request that got no answer. Only a connection that never stood proves that nothing was sent."""
    if not creates:
        return error_of(ErrorClass.UNAVAILABLE, doing)
    never_sent = isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
    return error_of(ErrorClass.NOT_SENT if never_sent else ErrorClass.AMBIGUOUS, doing)


def retry_after_seconds(header: str | None) -> float | None:
    """Seconds of a Retry-After header in either of its forms; None when absent, past or not understood."""
    if not header:
        return None
    if header.strip().isdecimal():
        seconds = float(header)
    else:
        try:
            seconds = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
        except (TypeError, ValueError):
            return None
    return min(seconds, LONGEST_RETRY_AFTER_SECONDS) if seconds > 0 else None
