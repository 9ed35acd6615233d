"""JSON bodies of requests, checked strictly: unknown fields are refused, numbers are numbers."""

from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from aiohttp import web
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from tunesmith_simulator.refusals import invalid

Time = Annotated[datetime, AfterValidator(lambda time: time if time.tzinfo else time.replace(tzinfo=UTC))]


class Sent(BaseModel):
    """What a client sends, or a part of it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


Body = TypeVar("Body", bound=Sent)


async def body_of(request: web.Request, kind: type[Body]) -> Body:
    """The request's JSON body. Raises RefusedError that names the first field that is wrong."""
    try:
        return kind.model_validate_json(await request.read() or b"{}")
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        raise invalid(f"{field}: {first['msg']}" if field else first["msg"]) from None


def given(part: BaseModel | None) -> dict[str, Any] | None:
    """What a part of a request says, without what it left out."""
    return None if part is None else part.model_dump(exclude_none=True)
