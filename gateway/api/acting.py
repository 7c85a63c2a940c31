"""Handlers of the acting operations: parse, call the verb, render."""

import re
from typing import Any, Final
from urllib.parse import unquote

from pydantic import BaseModel

from catalog import discovery_runs, networks, sinks
from catalog.access import AccessToken, Role
from catalog.model.network import Authorisation
from catalog.model.secret import Secret
from catalog.reading import decode_cursor, encode_cursor
from catalog.roll_import import RollDifference
from gateway.api import bodies, verbs
from gateway.api.problem import ApiProblem, Code
from gateway.api.reads import number_of
from gateway.api.registry import Call, NoQuery, Registry
from gateway.api.schemas import PageQuery
from gateway.api.services import ApiServices

registry: Final = Registry()

_OPERATOR: Final = Role.OPERATOR
_WHOLE: Final = "only without a region: it concerns the whole installation"
_ONE: Final = "404 outside the token's region"
_REFUSALS: Final = (Code.NOT_FOUND, Code.CONFLICT, Code.INVALID, Code.REGION_FORBIDDEN)
_SHOWN: Final = 200
_REF: Final = re.compile(r"[^\x00-\x1f]{1,300}")

ROLL_TYPES: Final = (
    "text/csv",
    "application/octet-stream",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
)


def acting(call: Call[Any, Any]) -> verbs.Acting:
    """Return who acts in a call."""
    return verbs.Acting(call.services, call.principal)


@registry.operation(
    "POST",
    "/api/v1/sightings/{sighting_id}/confirm",
    tag="discovery",
    region_rule=_WHOLE,
    answers={_OPERATOR: bodies.DecidedAnswer},
    body=bodies.ConfirmBody,
    problems=_REFUSALS,
)
async def confirm_sighting(call: Call[NoQuery, bodies.ConfirmBody]) -> BaseModel:
    """Attest that a sighting is the source it was matched with."""
    sighting_id = number_of(call.path["sighting_id"])
    decided = await verbs.confirm_sighting(acting(call), sighting_id, call.body.path)
    return bodies.DecidedAnswer.model_validate(decided)


@registry.operation(
    "POST",
    "/api/v1/sightings/{sighting_id}/accept",
    tag="discovery",
    region_rule=_WHOLE,
    answers={_OPERATOR: bodies.DecidedAnswer},
    body=bodies.AcceptBody,
    problems=_REFUSALS,
)
async def accept_sighting(call: Call[NoQuery, bodies.AcceptBody]) -> BaseModel:
    """Assign a sighting to a source of the roll."""
    sighting_id = number_of(call.path["sighting_id"])
    decided = await verbs.accept_sighting(acting(call), sighting_id, call.body.source_id, call.body.path)
    return bodies.DecidedAnswer.model_validate(decided)


@registry.operation(
    "POST",
    "/api/v1/sightings/{sighting_id}/refuse",
    tag="discovery",
    region_rule=_WHOLE,
    answers={_OPERATOR: bodies.DecidedAnswer},
    body=bodies.RefuseBody,
    problems=_REFUSALS,
)
async def refuse_sighting(call: Call[NoQuery, bodies.RefuseBody]) -> BaseModel:
    """Refuse a sighting: it is no source of ours."""
    sighting_id = number_of(call.path["sighting_id"])
    decided = await verbs.refuse_sighting(acting(call), sighting_id, call.body.reason)
    return bodies.DecidedAnswer.model_validate(decided)


def network_answer(record: Authorisation, services: ApiServices) -> bodies.NetworkAnswer:
    """Return an authorisation record."""
    return bodies.NetworkAnswer(
        network_id=record.network_id,
        cidr=str(record.network),
        document=record.document,
        approver=record.approver,
        authorised_by=record.authorised_by,
        authorised_at=record.authorised_at,
        expires_at=record.expires_at,
        revoked_at=record.revoked_at,
        is_live=record.is_live(services.clock.now()),
    )


@registry.operation(
    "GET",
    "/api/v1/networks",
    tag="discovery",
    region_rule=_WHOLE,
    answers={_OPERATOR: bodies.NetworksAnswer},
    problems=(Code.REGION_FORBIDDEN,),
)
async def list_networks(call: Call[NoQuery, None]) -> BaseModel:
    """List the authorisation records, live or not."""
    acting(call).require_whole()
    records = await networks.list_networks(call.services.database)
    return bodies.NetworksAnswer(items=tuple(network_answer(record, call.services) for record in records))


@registry.operation(
    "POST",
    "/api/v1/networks",
    tag="discovery",
    region_rule=_WHOLE,
    answers={_OPERATOR: bodies.NetworkAnswer},
    body=bodies.NetworkBody,
    status=201,
    problems=_REFUSALS,
)
async def authorise_network(call: Call[NoQuery, bodies.NetworkBody]) -> BaseModel:
    """Authorise a network to be scanned: who, by which document, approved by whom, until when (CN-23.3)."""
    return network_answer(await verbs.authorise_network(acting(call), call.body), call.services)


@registry.operation(
    "DELETE",
    "/api/v1/networks/{network_id}",
    tag="discovery",
    region_rule=_WHOLE,
    answers={_OPERATOR: bodies.DoneAnswer},
    problems=_REFUSALS,
)
async def revoke_network(call: Call[NoQuery, None]) -> BaseModel:
    """End an authorisation record before its expiry."""
    await verbs.revoke_network(acting(call), number_of(call.path["network_id"]))
    return bodies.DoneAnswer()


def run_answer(run: discovery_runs.Run) -> bodies.RunAnswer:
    """Return a sweep with its progress."""
    return bodies.RunAnswer(
        run_id=run.run_id,
        network_id=run.network_id,
        cidr=str(run.network),
        ports=run.ports,
        requested_by=run.requested_by,
        started_at=run.started_at,
        finished_at=run.finished_at,
        addresses=run.addresses,
        probed=run.probed,
        answered=run.answered,
        outcome=run.outcome.value,
    )


@registry.operation(
    "GET",
    "/api/v1/discovery-runs",
    tag="discovery",
    region_rule=_WHOLE,
    answers={_OPERATOR: bodies.RunsAnswer},
    query=PageQuery,
    problems=(Code.REGION_FORBIDDEN, Code.CURSOR_INVALID),
)
async def list_runs(call: Call[PageQuery, None]) -> BaseModel:
    """List sweeps with their progress, the newest first."""
    acting(call).require_whole()
    query = call.query
    before = int(decode_cursor(query.cursor, (int,))[0]) if query.cursor else None
    runs = await discovery_runs.list_runs(call.services.database, before=before, limit=query.limit)
    following = encode_cursor(runs[-1].run_id) if len(runs) == query.limit else None
    return bodies.RunsAnswer(items=tuple(run_answer(run) for run in runs), next_cursor=following)


@registry.operation(
    "POST",
    "/api/v1/discovery-runs",
    tag="discovery",
    region_rule=_WHOLE,
    answers={_OPERATOR: bodies.RunStartedAnswer},
    body=bodies.RunBody,
    status=202,
    problems=(*_REFUSALS, Code.NOT_RUNNING),
)
async def start_run(call: Call[NoQuery, bodies.RunBody]) -> BaseModel:
    """Begin a sweep of an authorised network, /20 at most."""
    run_id = await verbs.start_sweep(acting(call), call.body.cidr, call.body.ports)
    return bodies.RunStartedAnswer(run_id=run_id)


@registry.operation(
    "POST",
    "/api/v1/discovery-runs/{run_id}/stop",
    tag="discovery",
    region_rule=_WHOLE,
    answers={_OPERATOR: bodies.DoneAnswer},
    problems=(*_REFUSALS, Code.NOT_RUNNING),
)
async def stop_run(call: Call[NoQuery, None]) -> BaseModel:
    """Stop a sweep; `done` tells whether it was running."""
    return bodies.DoneAnswer(done=await verbs.stop_sweep(acting(call), number_of(call.path["run_id"])))


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
    region_rule=_WHOLE,
    answers={_OPERATOR: bodies.RollAnswer},
    query=bodies.RollQuery,
    body_types=ROLL_TYPES,
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
    region_rule=_WHOLE,
    answers={_OPERATOR: bodies.EditionAnswer},
    body=bodies.EditionBody,
    status=201,
    problems=(*_REFUSALS, Code.REFUSED_BY_LAW),
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
    "PATCH",
    "/api/v1/sources/{source_id}",
    tag="catalog",
    region_rule=_ONE,
    answers={_OPERATOR: bodies.DoneAnswer},
    body=bodies.SourceBody,
    problems=_REFUSALS,
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
    problems=_REFUSALS,
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
    region_rule=_WHOLE,
    answers={_OPERATOR: bodies.CredentialAnswer},
    body=bodies.CredentialBody,
    problems=_REFUSALS,
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
    region_rule=_WHOLE,
    answers={_OPERATOR: bodies.CredentialTestAnswer},
    problems=(*_REFUSALS, Code.NOT_RUNNING),
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
    problems=(*_REFUSALS, Code.NOT_RUNNING),
)
async def start_relay(call: Call[NoQuery, bodies.RelayBody]) -> BaseModel:
    """Ask for a relay on demand, or say that it is still wanted."""
    source_id = call.body.source_id
    call.scope = f"source {source_id}"
    await verbs.start_relay(acting(call), source_id)
    return bodies.RelayAskedAnswer(source_id=source_id, idle_stop=call.services.config.relay.idle_stop)


@registry.operation(
    "DELETE",
    "/api/v1/relays/{source_id}",
    tag="relay",
    region_rule=_ONE,
    answers={_OPERATOR: bodies.DoneAnswer},
    problems=(*_REFUSALS, Code.NOT_RUNNING),
)
async def stop_relay(call: Call[NoQuery, None]) -> BaseModel:
    """Say that a relay on demand is wanted no more; `done` tells whether it was."""
    return bodies.DoneAnswer(done=await verbs.stop_relay(acting(call), number_of(call.path["source_id"])))


@registry.operation(
    "GET",
    "/api/v1/sinks",
    tag="sinks",
    region_rule=_WHOLE,
    answers={_OPERATOR: bodies.SinksAnswer},
    problems=(Code.REGION_FORBIDDEN,),
)
async def list_sinks(call: Call[NoQuery, None]) -> BaseModel:
    """List the central platforms that take our streams."""
    acting(call).require_whole()
    return bodies.SinksAnswer(
        items=tuple(sink_answer(sink) for sink in await sinks.list_sinks(call.services.database))
    )


def sink_answer(sink: sinks.Sink) -> bodies.SinkAnswer:
    """Return a sink; of its credential only the name."""
    return bodies.SinkAnswer(
        name=sink.name,
        host=sink.host,
        port=sink.port,
        path_prefix=sink.path_prefix,
        tls=sink.tls,
        pinned=sink.tls_pin_sha256 is not None,
        allow_basic=sink.allow_basic,
        enabled=sink.enabled,
        credential_ref=sink.credential.ref if sink.credential is not None else None,
    )


@registry.operation(
    "POST",
    "/api/v1/sinks",
    tag="sinks",
    region_rule=_WHOLE,
    answers={_OPERATOR: bodies.DoneAnswer},
    body=bodies.SinkBody,
    status=201,
    problems=_REFUSALS,
)
async def add_sink(call: Call[NoQuery, bodies.SinkBody]) -> BaseModel:
    """Add a central platform."""
    await verbs.add_sink(acting(call), call.body)
    return bodies.DoneAnswer()


@registry.operation(
    "PATCH",
    "/api/v1/sinks/{name}",
    tag="sinks",
    region_rule=_WHOLE,
    answers={_OPERATOR: bodies.DoneAnswer},
    body=bodies.SinkEnabledBody,
    problems=_REFUSALS,
)
async def enable_sink(call: Call[NoQuery, bodies.SinkEnabledBody]) -> BaseModel:
    """Use a central platform, or leave it unused."""
    acting(call).require_whole()
    await sinks.enable_sink(
        call.services.database, call.path["name"], enabled=call.body.enabled, person=call.principal.name
    )
    return bodies.DoneAnswer()


@registry.operation(
    "DELETE",
    "/api/v1/sinks/{name}",
    tag="sinks",
    region_rule=_WHOLE,
    answers={_OPERATOR: bodies.DoneAnswer},
    problems=_REFUSALS,
)
async def remove_sink(call: Call[NoQuery, None]) -> BaseModel:
    """Forget a central platform."""
    acting(call).require_whole()
    await sinks.remove_sink(call.services.database, call.path["name"], person=call.principal.name)
    return bodies.DoneAnswer()


def token_answer(token: AccessToken) -> bodies.TokenAnswer:
    """Return a token, without its secret."""
    return bodies.TokenAnswer(
        token_id=token.token_id,
        prefix=token.prefix,
        person=token.person,
        role=token.role,
        region=token.region.prefix,
        created_at=token.created_at,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
    )


@registry.operation(
    "GET",
    "/api/v1/tokens",
    tag="access",
    region_rule=_WHOLE,
    answers={_OPERATOR: bodies.TokensAnswer},
    problems=(Code.REGION_FORBIDDEN,),
)
async def list_tokens(call: Call[NoQuery, None]) -> BaseModel:
    """List all tokens, revoked and expired ones too."""
    acting(call).require_whole()
    return bodies.TokensAnswer(
        items=tuple(token_answer(token) for token in await call.services.tokens.list())
    )


@registry.operation(
    "POST",
    "/api/v1/tokens",
    tag="access",
    region_rule=_WHOLE,
    answers={_OPERATOR: bodies.NewTokenAnswer},
    body=bodies.TokenBody,
    status=201,
    problems=_REFUSALS,
)
async def create_token(call: Call[NoQuery, bodies.TokenBody]) -> BaseModel:
    """Make a token for a named person; its secret is shown this once."""
    token, secret = await verbs.create_token(acting(call), call.body)
    call.scope = f"token {token.prefix}"
    return bodies.NewTokenAnswer(token=token_answer(token), secret=secret.reveal())


@registry.operation(
    "DELETE",
    "/api/v1/tokens/{token_id}",
    tag="access",
    region_rule=_WHOLE,
    answers={_OPERATOR: bodies.DoneAnswer},
    problems=_REFUSALS,
)
async def revoke_token(call: Call[NoQuery, None]) -> BaseModel:
    """Revoke a token for good."""
    await verbs.revoke_token(acting(call), number_of(call.path["token_id"]))
    return bodies.DoneAnswer()
