"""Handlers of what people attest of systems, and of what the rules of the decrees say of each."""

import asyncio
from typing import Final

from pydantic import BaseModel

from catalog.access import Role
from catalog.attestations import Claim, JudgedSystem, NoSuchSystem, attest, attest_all, judged_systems
from catalog.fact_file import read_facts
from catalog.model.compliance import FactInvalid
from catalog.reading import local_day
from gateway.api import verbs
from gateway.api.acting import REFUSALS, TABLE_TYPES, acting
from gateway.api.compliance_schemas import (
    AttestationBody,
    AttestedAnswer,
    ComplianceAnswer,
    ComplianceQuery,
    JudgedSystemAnswer,
)
from gateway.api.problem import ApiProblem, Code
from gateway.api.reads import look, number_of
from gateway.api.registry import Call, NoQuery, Registry
from gateway.api.verbs import Acting

registry: Final = Registry()


@registry.operation(
    "GET",
    "/api/v1/compliance",
    tag="compliance",
    region_rule="rows of the token's region",
    answers={Role.OPERATOR: ComplianceAnswer},
    query=ComplianceQuery,
    problems=(Code.CURSOR_INVALID, Code.REGION_FORBIDDEN),
)
async def get_compliance(call: Call[ComplianceQuery, None]) -> BaseModel:
    """List systems with what was attested of them, and what each rule of the decrees says, its article beside it."""
    query = call.query
    view = look(call, query.region)
    page = await judged_systems(
        call.services.database, view, cursor=query.cursor, limit=query.limit, system_id=query.system_id
    )
    items = tuple(JudgedSystemAnswer.of(each) for each in page.items)
    return ComplianceAnswer(as_of=view.now, items=items, next_cursor=page.next_cursor)


@registry.operation(
    "POST",
    "/api/v1/systems/{system_id}/attestations",
    tag="compliance",
    region_rule="404 outside the token's region",
    answers={Role.OPERATOR: JudgedSystemAnswer},
    body=AttestationBody,
    status=201,
    problems=REFUSALS,
)
async def attest_fact(call: Call[NoQuery, AttestationBody]) -> BaseModel:
    """Attest a fact of a system; the last attestation of a fact counts, and all of them are kept."""
    number = number_of(call.path["system_id"])
    call.scope = f"system {number} {call.body.fact}"
    return JudgedSystemAnswer.of(await attest_of(acting(call), number, call.body))


@registry.operation(
    "POST",
    "/api/v1/attestations",
    tag="compliance",
    region_rule="422 for a system outside the token's region",
    answers={Role.OPERATOR: AttestedAnswer},
    body_types=TABLE_TYPES,
    body_limit=verbs.ROLL_LIMIT,
    status=201,
    problems=(Code.INVALID, Code.TOO_LARGE, Code.MEDIA_TYPE),
)
async def attest_facts(call: Call[NoQuery, None]) -> BaseModel:
    """Attest the facts of a CSV or XLSX file, all of them or none: unit, system, fact, value, document."""
    call.scope = f"{len(call.raw)} bytes"
    return await attest_file(acting(call), call.raw)


# -- the verbs, for the API and the operator's page --------------------------------------------------------------------


async def attest_file(who: Acting, data: bytes) -> AttestedAnswer:
    """Attest the facts of a file, of systems of the caller's region."""
    services = who.services
    view = services.view(who.principal.region)
    with verbs.rules():
        rows = await asyncio.to_thread(read_facts, data, local_day(view.now))
        systems = await attest_all(services.database, view, rows, who.principal.name)
    return AttestedAnswer(facts=len(rows), systems=systems)


async def attest_of(who: Acting, system_id: int, body: AttestationBody) -> JudgedSystem:
    """Attest a fact of a system of the caller's region."""
    services = who.services
    try:
        return await attest(
            services.database,
            services.view(who.principal.region),
            system_id,
            Claim(body.fact, body.value, body.document.strip(), who.principal.name),
        )
    except NoSuchSystem as error:
        raise ApiProblem(Code.NOT_FOUND, str(error)) from error
    except FactInvalid as error:
        raise ApiProblem(Code.INVALID, str(error)) from error
