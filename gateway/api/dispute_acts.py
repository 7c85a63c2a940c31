"""Handlers of what units object to of a source's status, and of what is answered."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from pydantic import BaseModel

from catalog.access import Role
from catalog.disputes import (
    Asked,
    Dispute,
    DisputeRefused,
    NoSuchDispute,
    Objection,
    answer_dispute,
    list_disputes,
    raise_dispute,
)
from gateway.api.acting import REFUSALS, acting
from gateway.api.dispute_schemas import (
    DisputeAnswer,
    DisputeAnswerBody,
    DisputeBody,
    DisputesAnswer,
    DisputesQuery,
)
from gateway.api.problem import ApiProblem, Code
from gateway.api.reads import look, number_of
from gateway.api.registry import Call, NoQuery, Registry
from gateway.api.verbs import Acting

registry: Final = Registry()

_OPERATOR: Final = Role.OPERATOR
_OWN: Final = "404 outside the token's region"


@registry.operation(
    "GET",
    "/api/v1/disputes",
    tag="disputes",
    region_rule="rows of the token's region",
    answers={_OPERATOR: DisputesAnswer},
    query=DisputesQuery,
    problems=(Code.CURSOR_INVALID, Code.REGION_FORBIDDEN),
)
async def get_disputes(call: Call[DisputesQuery, None]) -> BaseModel:
    """List what units object to, the newest first."""
    query = call.query
    view = look(call, query.region)
    page = await list_disputes(
        call.services.database, view, Asked(open_only=query.open), cursor=query.cursor, limit=query.limit
    )
    items = tuple(DisputeAnswer.of(each) for each in page.items)
    return DisputesAnswer(as_of=view.now, items=items, next_cursor=page.next_cursor)


@registry.operation(
    "GET",
    "/api/v1/sources/{source_id}/disputes",
    tag="disputes",
    region_rule="rows of the token's region",
    answers={_OPERATOR: DisputesAnswer},
)
async def get_source_disputes(call: Call[NoQuery, None]) -> BaseModel:
    """List what is objected to of one source, the newest first."""
    view = look(call)
    asked = Asked(source_id=number_of(call.path["source_id"]))
    page = await list_disputes(call.services.database, view, asked)
    items = tuple(DisputeAnswer.of(each) for each in page.items)
    return DisputesAnswer(as_of=view.now, items=items, next_cursor=page.next_cursor)


@registry.operation(
    "POST",
    "/api/v1/sources/{source_id}/disputes",
    tag="disputes",
    region_rule=_OWN,
    answers={_OPERATOR: DisputeAnswer},
    body=DisputeBody,
    status=201,
    problems=REFUSALS,
)
async def dispute_status(call: Call[NoQuery, DisputeBody]) -> BaseModel:
    """Enter a unit's objection: it stands on each sheet of these days, and nothing is ordered before its answer."""
    number = number_of(call.path["source_id"])
    call.scope = f"source {number}"
    return DisputeAnswer.of(await object_to(acting(call), number, call.body))


@registry.operation(
    "POST",
    "/api/v1/disputes/{dispute_id}/answer",
    tag="disputes",
    region_rule=_OWN,
    answers={_OPERATOR: DisputeAnswer},
    body=DisputeAnswerBody,
    problems=REFUSALS,
)
async def answer_objection(call: Call[NoQuery, DisputeAnswerBody]) -> BaseModel:
    """Answer an objection, once; whoever entered it does not."""
    number = number_of(call.path["dispute_id"])
    call.scope = f"dispute {number}"
    return DisputeAnswer.of(await settle(acting(call), number, call.body))


# -- the verbs, for the API and the operator's page --------------------------------------------------------------------


@contextmanager
def _rules() -> Iterator[None]:
    try:
        yield
    except NoSuchDispute as error:
        raise ApiProblem(Code.NOT_FOUND, str(error)) from error
    except DisputeRefused as error:
        raise ApiProblem(Code.CONFLICT, str(error)) from error


async def object_to(who: Acting, source_id: int, body: DisputeBody) -> Dispute:
    """Enter an objection about a source of the caller's region."""
    services = who.services
    objection = Objection(
        body.first,
        body.last,
        body.raised_by.strip(),
        body.text.strip(),
        body.document.strip(),
        body.running,
    )
    with _rules():
        return await raise_dispute(
            services.database,
            services.view(who.principal.region),
            source_id,
            objection,
            person=who.principal.name,
        )


async def settle(who: Acting, dispute_id: int, body: DisputeAnswerBody) -> Dispute:
    """Answer an objection of the caller's region."""
    services = who.services
    with _rules():
        return await answer_dispute(
            services.database,
            services.view(who.principal.region),
            dispute_id,
            is_upheld=body.upheld,
            text=body.text.strip(),
            person=who.principal.name,
        )
