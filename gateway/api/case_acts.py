"""Handlers that open cases and carry them on; whoever acts is noted with each step."""

from typing import Final

from pydantic import BaseModel

from catalog.access import Role
from catalog.cases import Case, NoSuchCase, candidates, list_cases, open_case, take_step
from catalog.model.case import StepRefused
from gateway.api.acting import REFUSALS, acting
from gateway.api.case_schemas import (
    CandidateAnswer,
    CandidatesAnswer,
    CandidatesQuery,
    CaseAnswer,
    CaseBody,
    CaseStepBody,
)
from gateway.api.problem import ApiProblem, Code
from gateway.api.reads import look
from gateway.api.registry import Call, NoQuery, Registry
from gateway.api.verbs import Acting
from gateway.opening import connected_when

registry: Final = Registry()

_OPERATOR: Final = Role.OPERATOR
_OWN: Final = "404 outside the token's region"


@registry.operation(
    "GET",
    "/api/v1/case-candidates",
    tag="cases",
    region_rule="rows of the token's region",
    answers={_OPERATOR: CandidatesAnswer},
    query=CandidatesQuery,
    problems=(Code.REGION_FORBIDDEN,),
)
async def list_candidates(call: Call[CandidatesQuery, None]) -> BaseModel:
    """List sites past their due day with sources that never connected, and without an open case (WX-21, WX-34)."""
    view = look(call, call.query.region)
    limit = call.query.limit
    rule = connected_when(call.services.config)
    found = await candidates(call.services.database, view, rule=rule, most=limit + 1)
    shown = tuple(CandidateAnswer.of(each) for each in found[:limit])
    return CandidatesAnswer(as_of=view.now, items=shown, more=len(found) > limit)


@registry.operation(
    "POST",
    "/api/v1/cases",
    tag="cases",
    region_rule=_OWN,
    answers={_OPERATOR: CaseAnswer},
    body=CaseBody,
    status=201,
    problems=REFUSALS,
)
async def begin_case(call: Call[NoQuery, CaseBody]) -> BaseModel:
    """Open a case for a site; refused where the platform could not have accepted the connection."""
    call.scope = f"site {call.body.site_id}"
    return CaseAnswer.of(await open_for(acting(call), call.body.site_id))


@registry.operation(
    "POST",
    "/api/v1/cases/{number}/steps",
    tag="cases",
    region_rule=_OWN,
    answers={_OPERATOR: CaseAnswer},
    body=CaseStepBody,
    problems=REFUSALS,
)
async def carry_case_on(call: Call[NoQuery, CaseStepBody]) -> BaseModel:
    """Take a step of a case: what the police alone do names the organ whose act it is."""
    call.scope = f"case {call.path['number']} {call.body.step}"[:200]
    return CaseAnswer.of(await carry_on(acting(call), call.path["number"], call.body))


# -- the verbs, for the API and the operator's page --------------------------------------------------------------------


async def open_for(who: Acting, site_id: int) -> Case:
    """Open a case for a site of the caller's region and return it."""
    services = who.services
    view = services.view(who.principal.region)
    rule = connected_when(services.config)
    found = await candidates(services.database, view, rule=rule, site_id=site_id)
    if not found:
        raise ApiProblem(
            Code.NOT_FOUND, f"site {site_id} is no candidate: not overdue, connected, or under a case"
        )
    try:
        number = await open_case(services.database, found[0], at=view.now)
    except StepRefused as error:
        raise ApiProblem(Code.CONFLICT, str(error)) from error
    if number is None:
        raise ApiProblem(Code.CONFLICT, f"site {site_id} has a case that has not ended")
    return await _case(who, number)


async def carry_on(who: Acting, number: str, body: CaseStepBody) -> Case:
    """Take a step of a case of the caller's region and return it as it stands then."""
    await _case(who, number)
    services = who.services
    try:
        await take_step(
            services.database,
            number,
            body.step,
            at=services.clock.now(),
            person=who.principal.name,
            detail=body.detail,
        )
    except NoSuchCase as error:
        raise ApiProblem(Code.NOT_FOUND, str(error)) from error
    except StepRefused as error:
        raise ApiProblem(Code.CONFLICT, str(error)) from error
    return await _case(who, number)


async def _case(who: Acting, number: str) -> Case:
    services = who.services
    found = await list_cases(services.database, services.view(who.principal.region), number=number)
    if not found:
        raise ApiProblem(Code.NOT_FOUND, "there is no such case")
    return found[0]
