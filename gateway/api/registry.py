"""The operations of the API, declared once: route, rights, parsing and the OpenAPI document follow from it."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Generic, TypeAlias, TypeVar

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from catalog.access import Role
from gateway.api.principal import Principal
from gateway.api.problem import Code
from gateway.api.services import ApiServices

Query = TypeVar("Query")
Body = TypeVar("Body")

BODY_LIMIT: Final = 1024 * 1024
"""Bytes of a body, unless the operation says otherwise."""

JSON: Final = "application/json"


class Schema(BaseModel):
    """What every model of the API has in common: nothing unknown, never changed."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class NoQuery(Schema):
    """No parameters."""


class Answer(Schema):
    """What every answer of the API has in common."""

    model_config = ConfigDict(extra="forbid", frozen=True, from_attributes=True)


@dataclass
class Call(Generic[Query, Body]):
    """One call of an operation, checked: rights, parameters and body are right."""

    services: ApiServices
    principal: Principal
    query: Query
    body: Body
    path: Mapping[str, str] = field(default_factory=dict)
    raw: bytes = b""
    "The body as it came, for operations that take a file."
    media_type: str = ""
    request: web.Request | None = None
    "None when the gateway reads for itself, to keep its cache warm."
    scope: str = ""
    "What was asked for, for the access log."


Result: TypeAlias = BaseModel | web.StreamResponse
Handler: TypeAlias = Callable[[Call[Any, Any]], Awaitable[Result]]


@dataclass(frozen=True)
class Operation:
    """One operation."""

    method: str
    path: str
    operation_id: str
    summary: str
    tag: str
    region_rule: str
    "How the token's region limits it; every operation says so."
    answers: Mapping[Role, type[BaseModel] | None]
    "Which role may call it, and the allow-list it is answered with; None where the answer is a file or empty."
    handler: Handler
    query: type[BaseModel] = NoQuery
    body: type[BaseModel] | None = None
    body_types: Sequence[str] = ()
    "Media types of a body that is a file."
    body_limit: int = BODY_LIMIT
    status: int = 200
    media: Sequence[str] = (JSON,)
    problems: Sequence[Code] = ()
    cached: bool = False
    "Whether its last good answer may be given, marked stale, while the database is away."
    survives_outage: bool = False
    "Whether the handler answers by itself while the database is away."

    @property
    def writes(self) -> bool:
        """Whether it changes something."""
        return self.method != "GET" and not self.survives_outage


class Registry:
    """Holds the operations in the order of their declaration."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def operation(
        self, method: str, path: str, *, answers: Mapping[Role, type[BaseModel] | None], **more: Any
    ) -> Callable[[Handler], Handler]:
        """Declare the decorated function as the handler of an operation.

        Its name is the operation id, the first line of its docstring the summary.

        Raises:
            ValueError: the route is taken, or no region rule is given.
        """

        def declare(handler: Handler) -> Handler:
            name = getattr(handler, "__name__", "")
            summary = (handler.__doc__ or "").strip().splitlines()[0]
            if any((known.method, known.path) == (method, path) for known in self.operations):
                raise ValueError(f"{method} {path} is declared twice")
            self.operations.append(
                Operation(
                    method=method,
                    path=path,
                    operation_id=name,
                    summary=summary,
                    answers=answers,
                    handler=handler,
                    **more,
                )
            )
            return handler

        return declare
