"""The list of incidents: for operators alone."""

from typing import Final

from pydantic import BaseModel

from catalog.access import Role
from catalog.incidents import IncidentRow, list_incidents
from catalog.model.incident import Basis, Fault
from gateway.api.problem import Code
from gateway.api.reads import look
from gateway.api.registry import Answer, Call, Registry, Schema
from gateway.api.schemas import CursorText, Dated, Instant, Limit, RegionText

registry: Final = Registry()


class IncidentsQuery(Schema):
    """Parameters of the list of incidents."""

    region: RegionText = ""
    cursor: CursorText | None = None
    limit: Limit = 100


class IncidentAnswer(Answer):
    """Sources that went silent together, whose fault it was, and what became of them."""

    gateway: str
    name: str
    silent_from: Instant
    suspected_at: Instant
    decided_at: Instant
    fault: Fault
    basis: Basis
    silent: int
    "Sources that were silent when it was decided."
    lost: int
    "Sources of the region that were lost by it."
    sites: int
    back: int
    "Of `lost` those that came back."
    last_back: Instant | None
    districts: tuple[str, ...]

    @classmethod
    def of(cls, row: IncidentRow) -> "IncidentAnswer":
        """Return the answer for an incident."""
        incident = row.incident
        return cls(
            gateway=row.gateway_id,
            name=incident.name,
            silent_from=incident.silent_from,
            suspected_at=incident.suspected_at,
            decided_at=incident.decided_at,
            fault=incident.fault,
            basis=incident.basis,
            silent=incident.silent,
            lost=row.lost,
            sites=row.sites,
            back=row.back,
            last_back=row.last_back,
            districts=row.districts,
        )


class IncidentsAnswer(Dated):
    """Incidents, the newest first."""

    items: tuple[IncidentAnswer, ...]
    next_cursor: str | None


@registry.operation(
    "GET",
    "/api/v1/incidents",
    tag="reports",
    region_rule="rows of the token's region",
    answers={Role.OPERATOR: IncidentsAnswer},
    query=IncidentsQuery,
    problems=(Code.CURSOR_INVALID, Code.REGION_FORBIDDEN),
)
async def get_incidents(call: Call[IncidentsQuery, None]) -> BaseModel:
    """List sources that went silent together, newest first, with the self-test's verdict and what became of them."""
    query = call.query
    view = look(call, query.region)
    page = await list_incidents(call.services.database, view, cursor=query.cursor, limit=query.limit)
    items = tuple(IncidentAnswer.of(row) for row in page.items)
    return IncidentsAnswer(as_of=view.now, items=items, next_cursor=page.next_cursor)
