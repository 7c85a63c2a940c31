"""Handlers of the acting operations of discovery: sightings, networks, sweeps."""

from typing import Final

from pydantic import BaseModel

from catalog import discovery_runs, networks
from catalog.access import Role
from catalog.model.network import Authorisation
from catalog.reading import decode_cursor, encode_cursor
from gateway.api import bodies, verbs
from gateway.api.acting import REFUSALS, WHOLE, acting
from gateway.api.problem import Code
from gateway.api.reads import number_of
from gateway.api.registry import Call, NoQuery, Registry
from gateway.api.schemas import PageQuery
from gateway.api.services import ApiServices

registry: Final = Registry()

_OPERATOR: Final = Role.OPERATOR


@registry.operation(
    "POST",
    "/api/v1/sightings/{sighting_id}/confirm",
    tag="discovery",
    region_rule=WHOLE,
    answers={_OPERATOR: bodies.DecidedAnswer},
    body=bodies.ConfirmBody,
    problems=REFUSALS,
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
    region_rule=WHOLE,
    answers={_OPERATOR: bodies.DecidedAnswer},
    body=bodies.AcceptBody,
    problems=REFUSALS,
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
    region_rule=WHOLE,
    answers={_OPERATOR: bodies.DecidedAnswer},
    body=bodies.RefuseBody,
    problems=REFUSALS,
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
    region_rule=WHOLE,
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
    region_rule=WHOLE,
    answers={_OPERATOR: bodies.NetworkAnswer},
    body=bodies.NetworkBody,
    status=201,
    problems=REFUSALS,
)
async def authorise_network(call: Call[NoQuery, bodies.NetworkBody]) -> BaseModel:
    """Authorise a network to be scanned: who, by which document, approved by whom, until when (CN-23.3)."""
    return network_answer(await verbs.authorise_network(acting(call), call.body), call.services)


@registry.operation(
    "DELETE",
    "/api/v1/networks/{network_id}",
    tag="discovery",
    region_rule=WHOLE,
    answers={_OPERATOR: bodies.DoneAnswer},
    problems=REFUSALS,
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
    region_rule=WHOLE,
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
    region_rule=WHOLE,
    answers={_OPERATOR: bodies.RunStartedAnswer},
    body=bodies.RunBody,
    status=202,
    problems=(*REFUSALS, Code.NOT_RUNNING),
)
async def start_run(call: Call[NoQuery, bodies.RunBody]) -> BaseModel:
    """Begin a sweep of an authorised network, /20 at most."""
    run_id = await verbs.start_sweep(acting(call), call.body.cidr, call.body.ports)
    return bodies.RunStartedAnswer(run_id=run_id)


@registry.operation(
    "POST",
    "/api/v1/discovery-runs/{run_id}/stop",
    tag="discovery",
    region_rule=WHOLE,
    answers={_OPERATOR: bodies.DoneAnswer},
    problems=(*REFUSALS, Code.NOT_RUNNING),
)
async def stop_run(call: Call[NoQuery, None]) -> BaseModel:
    """Stop a sweep; `done` tells whether it was running."""
    return bodies.DoneAnswer(done=await verbs.stop_sweep(acting(call), number_of(call.path["run_id"])))
