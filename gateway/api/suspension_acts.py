"""Handlers of suspensions: windows in which a site is not charged, asked for by one person and approved by others."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pydantic import BaseModel

from catalog.access import Role
from catalog.model.period import Period
from catalog.model.suspension import Acted, ActRefused, Window
from catalog.suspensions import NoSuchSuspension, Suspension, act, list_suspensions, request
from gateway.api import suspension_schemas as schemas
from gateway.api.acting import REFUSALS, WHOLE, acting
from gateway.api.problem import ApiProblem, Code
from gateway.api.reads import number_of
from gateway.api.registry import Call, NoQuery, Registry
from gateway.api.verbs import Acting

registry: Final = Registry()

_OPERATOR: Final = Role.OPERATOR


@registry.operation(
    "GET",
    "/api/v1/suspensions",
    tag="suspensions",
    region_rule=WHOLE,
    answers={_OPERATOR: schemas.SuspensionsAnswer},
    query=schemas.SuspensionsQuery,
    problems=(Code.REGION_FORBIDDEN,),
)
async def list_windows(call: Call[schemas.SuspensionsQuery, None]) -> BaseModel:
    """List windows in which a site is not charged, with who asked for them and who approved them."""
    acting(call).require_whole()
    services = call.services
    now = services.clock.now()
    found = await list_suspensions(services.database, after=None if call.query.past else now)
    return schemas.SuspensionsAnswer(
        as_of=now, items=tuple(schemas.SuspensionAnswer.of(each) for each in found)
    )


@registry.operation(
    "POST",
    "/api/v1/suspensions",
    tag="suspensions",
    region_rule=WHOLE,
    answers={_OPERATOR: schemas.SuspensionAnswer},
    body=schemas.SuspensionBody,
    status=201,
    problems=REFUSALS,
)
async def request_suspension(call: Call[NoQuery, schemas.SuspensionBody]) -> BaseModel:
    """Ask for a window; it counts once somebody else approves it, one that had begun once two people do."""
    body = call.body
    call.scope = f"site {body.site_id}" if body.site_id is not None else f"source {body.source_id}"
    return schemas.SuspensionAnswer.of(await ask_for_window(acting(call), body))


@registry.operation(
    "POST",
    "/api/v1/suspensions/{suspension_id}/acts",
    tag="suspensions",
    region_rule=WHOLE,
    answers={_OPERATOR: schemas.SuspensionAnswer},
    body=schemas.SuspensionActBody,
    problems=REFUSALS,
)
async def act_on_suspension(call: Call[NoQuery, schemas.SuspensionActBody]) -> BaseModel:
    """Approve a window that somebody else asked for, withdraw one, or end one that goes on."""
    number = number_of(call.path["suspension_id"])
    call.scope = f"suspension {number} {call.body.act}"
    return schemas.SuspensionAnswer.of(await act_on_window(acting(call), number, call.body))


# -- the verbs, for the API and the operator's page --------------------------------------------------------------------


@contextmanager
def _rules() -> Iterator[None]:
    """Turn what may not be done to a suspension into a problem of the API."""
    try:
        yield
    except NoSuchSuspension as error:
        raise ApiProblem(Code.NOT_FOUND, str(error)) from error
    except ActRefused as error:
        raise ApiProblem(Code.CONFLICT, str(error)) from error


async def ask_for_window(who: Acting, body: schemas.SuspensionBody) -> Suspension:
    """Ask for a window and return it."""
    who.require_whole()
    services = who.services
    period = Period(body.starts_at, body.ends_at)
    hours = body.hours.read() if body.hours is not None else None
    window = Window(body.reason, period, body.document, services.clock.now(), who.principal.name, hours)
    with _rules():
        number = await request(services.database, window, site_id=body.site_id, source_id=body.source_id)
    [found] = await list_suspensions(services.database, number=number)
    return found


async def act_on_window(who: Acting, number: int, body: schemas.SuspensionActBody) -> Suspension:
    """Do something to a window and return it as it stands then."""
    who.require_whole()
    services = who.services
    acted = Acted(body.act, services.clock.now(), who.principal.name, body.text.strip())
    with _rules():
        return await act(services.database, number, acted)
