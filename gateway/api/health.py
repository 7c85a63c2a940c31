"""Liveness, readiness and metrics: for monitors, not for people."""

from typing import Any, Final, Literal

from aiohttp import web
from pydantic import BaseModel

from catalog.access import Role
from gateway.api.problem import ApiProblem, Code
from gateway.api.registry import Answer, Call, Registry
from gateway.metrics import CONTENT_TYPE

registry: Final = Registry()


class HealthAnswer(Answer):
    """The process runs."""

    status: Literal["ok"] = "ok"


class ReadyAnswer(Answer):
    """Whether calls are answered in full, and what is missing."""

    ready: bool
    missing: tuple[Literal["database", "access_log"], ...]


@registry.operation(
    "GET",
    "/healthz",
    tag="health",
    region_rule="none",
    answers={Role.PUBLIC: HealthAnswer},
    survives_outage=True,
)
async def get_health(_call: Call[Any, None]) -> BaseModel:
    """Tell that the process answers."""
    return HealthAnswer()


@registry.operation(
    "GET",
    "/readyz",
    tag="health",
    region_rule="none",
    answers={Role.PUBLIC: ReadyAnswer},
    survives_outage=True,
)
async def get_readiness(call: Call[Any, None]) -> web.StreamResponse:
    """Tell whether calls are answered in full; 503 and what is missing otherwise."""
    missing: list[Literal["database", "access_log"]] = []
    if not await call.services.database.is_up():
        missing.append("database")
    if call.services.recorder.waiting:
        missing.append("access_log")
    answer = ReadyAnswer(ready=not missing, missing=tuple(missing))
    return web.json_response(status=503 if missing else 200, text=answer.model_dump_json())


@registry.operation(
    "GET",
    "/metrics",
    tag="health",
    region_rule="only without a region: figures of the whole gateway",
    answers={Role.OPERATOR: None},
    media=("text/plain",),
    survives_outage=True,
)
async def get_metrics(call: Call[Any, None]) -> web.StreamResponse:
    """Give the metrics in Prometheus's text format."""
    if call.principal.region.prefix:
        raise ApiProblem(Code.REGION_FORBIDDEN)
    return web.Response(body=call.services.metrics.render(), headers={"Content-Type": CONTENT_TYPE})
