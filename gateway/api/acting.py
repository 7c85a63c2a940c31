"""Handlers of the acting operations on the roll, its sources and their relays: parse, call the verb, render."""

import re
from typing import Any, Final
from urllib.parse import unquote

from pydantic import BaseModel

from catalog import proposals
from catalog.access import Role
from catalog.model.secret import Secret
from catalog.roll_import import RollDifference
from gateway.api import bodies, verbs
from gateway.api.problem import ApiProblem, Code
from gateway.api.reads import number_of
from gateway.api.registry import Call, NoQuery, Registry
from gateway.opening import jurisdiction_of
from gateway.serving.grants import LIFETIME

registry: Final = Registry()

_OPERATOR: Final = Role.OPERATOR
WHOLE: Final = "only without a region: it concerns the whole installation"
_ONE: Final = "404 outside the token's region"
REFUSALS: Final = (Code.NOT_FOUND, Code.CONFLICT, Code.INVALID, Code.REGION_FORBIDDEN)
_SHOWN: Final = 200
_REF: Final = re.compile(r"[^\x00-\x1f]{1,300}")

TABLE_TYPES: Final = (
    "text/csv",
    "application/octet-stream",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
)


def acting(call: Call[Any, Any]) -> verbs.Acting:
    """Return who acts in a call."""
    return verbs.Acting(call.services, call.principal)


def roll_answer(difference: RollDifference, *, dry_run: bool) -> bodies.RollAnswer:
    """Return what an import does, without the content of confidential columns."""
    return bodies.RollAnswer(
        dry_run=dry_run,
        added=len(difference.added),
        changed=len(difference.changed),
        retired=len(difference.retired),
        unchanged=difference.unchanged,
        rejected=len(difference.rejected),
        retires_too_many=difference.retires_too_many,
        changes=tuple(
            bodies.RollChangeAnswer(
                row=change.row.row,
                source_id=change.source_id,
                columns=tuple(field.column for field in change.fields),
            )
            for change in difference.changed[:_SHOWN]
        ),
        retired_source_ids=tuple(source.source_id for source in difference.retired[:_SHOWN]),
    )


@registry.operation(
    "POST",
    "/api/v1/rolls",
    tag="roll",
    region_rule=WHOLE,
    answers={_OPERATOR: bodies.RollAnswer},
    query=bodies.RollQuery,
    body_types=TABLE_TYPES,
    body_limit=verbs.ROLL_LIMIT,
    problems=(Code.CONFLICT, Code.INVALID, Code.TOO_LARGE, Code.MEDIA_TYPE, Code.REGION_FORBIDDEN),
)
async def import_roll(call: Call[bodies.RollQuery, None]) -> BaseModel:
    """Import a roll, all or nothing; `dry_run` (the default) only tells the difference."""
    query = call.query
    call.scope = f"{len(call.raw)} bytes"
    difference = await verbs.import_roll(
        acting(call), call.raw, dry_run=query.dry_run, allow_mass_retirement=query.allow_mass_retirement
    )
    return roll_answer(difference, dry_run=query.dry_run)


@registry.operation(
    "POST",
    "/api/v1/editions",
    tag="roll",
    region_rule=WHOLE,
    answers={_OPERATOR: bodies.EditionAnswer},
    body=bodies.EditionBody,
    status=201,
    problems=(*REFUSALS, Code.REFUSED_BY_LAW),
)
async def publish_edition(call: Call[NoQuery, bodies.EditionBody]) -> BaseModel:
    """Compile the roll into an edition and publish it (WX-21.3)."""
    published = await verbs.publish(
        acting(call), effective_from=call.body.effective_from, dry_run=call.body.dry_run
    )
    return bodies.EditionAnswer(
        number=published.edition.number if published.edition is not None else None,
        effective_from=published.draft.effective_from,
        entries=len(published.draft.entries),
        withheld=len(published.draft.withheld),
    )


@registry.operation(
    "GET",
    "/api/v1/editions/proposals",
    tag="roll",
    region_rule=WHOLE,
    answers={_OPERATOR: bodies.ProposalsAnswer},
    problems=(Code.REGION_FORBIDDEN,),
)
async def list_proposals(call: Call[NoQuery, None]) -> BaseModel:
    """List the proposed editions and what became of them."""
    acting(call).require_whole()
    config = call.services.config
    found = await proposals.list_proposals(call.services.database, jurisdiction_of(config))
    return bodies.ProposalsAnswer(
        second_approver=config.jurisdiction.second_approver,
        items=tuple(bodies.ProposalAnswer.model_validate(each) for each in found),
    )


@registry.operation(
    "POST",
    "/api/v1/editions/proposals",
    tag="roll",
    region_rule=WHOLE,
    answers={_OPERATOR: bodies.ProposalMadeAnswer},
    body=bodies.ProposalBody,
    status=201,
    problems=(*REFUSALS, Code.REFUSED_BY_LAW),
)
async def propose_edition(call: Call[NoQuery, bodies.ProposalBody]) -> BaseModel:
    """Compile the roll and propose it as the next edition, for somebody else to approve."""
    number, found = await verbs.propose_edition(acting(call), call.body.effective_from)
    return bodies.ProposalMadeAnswer(proposal_id=number, review=bodies.ReviewAnswer.model_validate(found))


@registry.operation(
    "POST",
    "/api/v1/editions/proposals/{proposal_id}/approve",
    tag="roll",
    region_rule=WHOLE,
    answers={_OPERATOR: bodies.ApprovedAnswer},
    status=201,
    problems=(*REFUSALS, Code.REFUSED_BY_LAW),
)
async def approve_edition(call: Call[NoQuery, None]) -> BaseModel:
    """Publish what somebody else proposed; 409 for whoever made it, or where the roll has changed since."""
    edition = await verbs.approve_edition(acting(call), number_of(call.path["proposal_id"]))
    return bodies.ApprovedAnswer(number=edition.number, effective_from=edition.effective_from)


@registry.operation(
    "POST",
    "/api/v1/editions/proposals/{proposal_id}/reject",
    tag="roll",
    region_rule=WHOLE,
    answers={_OPERATOR: bodies.DoneAnswer},
    body=bodies.RejectBody,
    problems=REFUSALS,
)
async def reject_edition(call: Call[NoQuery, bodies.RejectBody]) -> BaseModel:
    """Turn a proposal down; whoever made it may take it back so."""
    await verbs.reject_edition(acting(call), number_of(call.path["proposal_id"]), call.body.reason)
    return bodies.DoneAnswer()


@registry.operation(
    "PATCH",
    "/api/v1/sources/{source_id}",
    tag="catalog",
    region_rule=_ONE,
    answers={_OPERATOR: bodies.DoneAnswer},
    body=bodies.SourceBody,
    problems=REFUSALS,
)
async def edit_source(call: Call[NoQuery, bodies.SourceBody]) -> BaseModel:
    """Change a source and its endpoints; what is not named stays."""
    call.scope = f"changes {' '.join(sorted(call.body.model_fields_set))}"
    await verbs.edit_source(acting(call), number_of(call.path["source_id"]), call.body)
    return bodies.DoneAnswer()


@registry.operation(
    "POST",
    "/api/v1/sources/{source_id}/retire",
    tag="catalog",
    region_rule=_ONE,
    answers={_OPERATOR: bodies.DoneAnswer},
    problems=REFUSALS,
)
async def retire_source(call: Call[NoQuery, None]) -> BaseModel:
    """Take a source off the roll; it stays on record with its history."""
    await verbs.retire_source(acting(call), number_of(call.path["source_id"]))
    return bodies.DoneAnswer()


def _ref(call: Call[Any, Any]) -> str:
    ref = unquote(call.path["ref"])
    if _REF.fullmatch(ref) is None:
        raise ApiProblem(Code.NOT_FOUND)
    return ref


@registry.operation(
    "PUT",
    "/api/v1/credentials/{ref}",
    tag="credentials",
    region_rule=WHOLE,
    answers={_OPERATOR: bodies.CredentialAnswer},
    body=bodies.CredentialBody,
    problems=REFUSALS,
)
async def set_credential(call: Call[NoQuery, bodies.CredentialBody]) -> BaseModel:
    """Store user name and password under a name; nobody can read the password again."""
    ref = _ref(call)
    password = Secret(call.body.password.get_secret_value())
    version = await verbs.set_credential(acting(call), ref, call.body.username, password)
    return bodies.CredentialAnswer(ref=ref, version=version)


@registry.operation(
    "POST",
    "/api/v1/credentials/{ref}/test",
    tag="credentials",
    region_rule=WHOLE,
    answers={_OPERATOR: bodies.CredentialTestAnswer},
    problems=(*REFUSALS, Code.NOT_RUNNING),
)
async def test_credential(call: Call[NoQuery, None]) -> BaseModel:
    """Try a credential on the confirmed devices that ask for it."""
    acting(call).require_whole()
    desk = call.services.credential_desk
    if desk is None:
        raise ApiProblem(Code.NOT_RUNNING, "no enrolment runs in this process")
    tried = await desk.try_credential(_ref(call))
    return bodies.CredentialTestAnswer(
        items=tuple(bodies.TriedAnswer(address=address, outcome=outcome) for address, outcome in tried)
    )


@registry.operation(
    "POST",
    "/api/v1/relays",
    tag="relay",
    region_rule=_ONE,
    answers={_OPERATOR: bodies.RelayAskedAnswer},
    body=bodies.RelayBody,
    status=202,
    problems=(*REFUSALS, Code.NOT_RUNNING, Code.RELAY_LIMIT),
)
async def start_relay(call: Call[NoQuery, bodies.RelayBody]) -> BaseModel:
    """Ask for a relay on demand, or say that it is still wanted."""
    source_id = call.body.source_id
    call.scope = f"source {source_id}"
    await verbs.start_relay(acting(call), source_id)
    return bodies.RelayAskedAnswer(source_id=source_id, idle_stop=call.services.config.relay.idle_stop)


@registry.operation(
    "POST",
    "/api/v1/sources/{source_id}/looks",
    tag="relay",
    region_rule=_ONE,
    answers={_OPERATOR: bodies.LookAnswer},
    body=bodies.PlayBody,
    status=201,
    problems=(*REFUSALS, Code.NOT_RUNNING, Code.PURPOSE_MISSING, Code.TOO_MANY),
)
async def look_at_source(call: Call[NoQuery, bodies.PlayBody]) -> BaseModel:
    """Get a login for one look at a source in a browser (WHEP, or a single picture)."""
    source_id = number_of(call.path["source_id"])
    return look_answer(source_id, await verbs.look_at_source(acting(call), source_id, call.body.purpose))


def look_answer(source_id: int, look: Secret) -> bodies.LookAnswer:
    """Return a look with the addresses that take it; it is shown this once."""
    base = f"/api/v1/sources/{source_id}"
    return bodies.LookAnswer(
        source_id=source_id,
        token=look.reveal(),
        whep=f"{base}/whep",
        snapshot=f"{base}/snapshot",
        expires_in=LIFETIME,
    )


@registry.operation(
    "POST",
    "/api/v1/sources/{source_id}/play",
    tag="relay",
    region_rule=_ONE,
    answers={_OPERATOR: bodies.PlayAnswer},
    body=bodies.PlayBody,
    status=201,
    problems=(*REFUSALS, Code.NOT_RUNNING, Code.PURPOSE_MISSING),
)
async def play_source(call: Call[NoQuery, bodies.PlayBody]) -> BaseModel:
    """Get a login for one look at a source by RTSP; its password is shown this once."""
    source_id = number_of(call.path["source_id"])
    look = await verbs.play_source(acting(call), source_id, call.body.purpose)
    return bodies.PlayAnswer(
        source_id=source_id,
        addresses=tuple(look.addresses),
        username=look.grant.username,
        password=look.grant.password.reveal(),
        expires_in=LIFETIME,
    )


@registry.operation(
    "DELETE",
    "/api/v1/relays/{source_id}",
    tag="relay",
    region_rule=_ONE,
    answers={_OPERATOR: bodies.DoneAnswer},
    problems=(*REFUSALS, Code.NOT_RUNNING),
)
async def stop_relay(call: Call[NoQuery, None]) -> BaseModel:
    """Say that a relay on demand is wanted no more; `done` tells whether it was."""
    return bodies.DoneAnswer(done=await verbs.stop_relay(acting(call), number_of(call.path["source_id"])))
