"""The acting verbs, once for the API and for the operator's page: rights by region, then the catalog's own functions.

Every verb takes who acts and raises `ApiProblem` or an error of the catalog.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from adapters.errors import AdapterError
from catalog import (
    credentials,
    networks,
    proposals,
    publication,
    roll_import,
    sighting_decisions,
    sinks,
    sources,
)
from catalog.access import AccessToken, Role, TokenInvalid
from catalog.errors import CredentialUnreadable
from catalog.jurisdictions import load_jurisdictions
from catalog.model.network import Authorisation
from catalog.model.secret import Secret
from catalog.publication import Imprint, PublicationRefused, PublicEdition
from catalog.rate_report import report_days
from catalog.reading import Region, Selection, local_day
from catalog.roll_file import read_roll
from catalog.roll_import import ImportOrder, MassRetirement, RollDifference
from catalog.roll_problem import RollInvalid
from catalog.stored_reports import NoSuchReport, ReportHead, RevisionRefused
from gateway.api.bodies import NetworkBody, SinkBody, SourceBody, TokenBody
from gateway.api.principal import Principal
from gateway.api.problem import ApiProblem, Code, Fault, LimitReached
from gateway.api.reads import look
from gateway.api.services import ApiServices, OnvifDesk
from gateway.api.stored_report_schemas import MakeReportBody
from gateway.discovery_plan import SweepRefused, SweepRequest
from gateway.onvif.devices import NoDevice
from gateway.onvif.steering import Steered, TooManySteered
from gateway.opening import jurisdiction_of
from gateway.relay.limits import SETTINGS, Shortage
from gateway.reporting import making
from gateway.serving.grants import LIFETIME, Grant, TooManyGrants, Viewer

LIMIT_PAUSE: Final = 10.0
"""Seconds after which it makes sense to ask again for a relay that found no room."""

ROLL_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of a roll file."""


_PROPOSALS: Final = {
    "second_person_needed": Code.CONFLICT,
    "proposal_decided": Code.CONFLICT,
    "proposal_outdated": Code.CONFLICT,
    "proposal_unknown": Code.NOT_FOUND,
    "proposal_invalid": Code.INVALID,
}
"""What a refused proposal is to a caller; other refusals are the law's."""


@dataclass(frozen=True)
class Acting:
    """Who acts, on what."""

    services: ApiServices
    principal: Principal

    def require_whole(self) -> None:
        """Refuse who may see a part only what concerns the whole installation.

        Raises:
            ApiProblem: the token has a region.
        """
        if self.principal.region.prefix:
            raise ApiProblem(Code.REGION_FORBIDDEN, "this concerns the whole installation")

    async def require_source(self, source_id: int) -> None:
        """Refuse a source outside the token's region as if there were none.

        Raises:
            ApiProblem: there is no such source in it.
        """
        view = self.services.view(self.principal.region)
        if await self.services.reports.source(view, source_id) is None:
            raise ApiProblem(Code.NOT_FOUND)


@contextmanager
def rules() -> Iterator[None]:
    """Turn what the catalog says about wrong content into problems."""
    try:
        yield
    except RollInvalid as error:
        faults = [
            Fault(
                pointer=f"row {item.row}, {item.column}".rstrip(", "),
                detail=f"{item.message.zh} {item.message.en}",
            )
            for item in error.problems[:200]
        ]
        raise ApiProblem(Code.INVALID, f"{error.total} mistakes", faults=faults) from error
    except SweepRefused as error:
        raise ApiProblem(Code.INVALID, f"{error.reason.zh} {error.reason.en}") from error
    except PublicationRefused as error:
        raise ApiProblem(_PROPOSALS.get(error.cause, Code.REFUSED_BY_LAW), str(error)) from error
    except (MassRetirement, RevisionRefused) as error:
        raise ApiProblem(Code.CONFLICT, str(error)) from error
    except NoSuchReport as error:
        raise ApiProblem(Code.NOT_FOUND, str(error)) from error
    except ValueError as error:
        # The catalog's own checks say what is wrong without repeating what was typed.
        raise ApiProblem(Code.INVALID, str(error)) from error


async def confirm_sighting(
    acting: Acting, sighting_id: int, path: str | None = None
) -> sighting_decisions.Decided:
    """Attest that a sighting is the source it was matched with."""
    acting.require_whole()
    services = acting.services
    return await sighting_decisions.confirm_sighting(
        services.database,
        sighting_id,
        person=acting.principal.name,
        at=services.clock.now(),
        path=path,
    )


async def accept_sighting(
    acting: Acting, sighting_id: int, source_id: int, path: str | None = None
) -> sighting_decisions.Decided:
    """Assign a sighting to a source of the roll."""
    acting.require_whole()
    services = acting.services
    return await sighting_decisions.accept_sighting(
        services.database,
        sighting_id,
        source_id,
        person=acting.principal.name,
        at=services.clock.now(),
        path=path,
    )


async def refuse_sighting(acting: Acting, sighting_id: int, reason: str) -> sighting_decisions.Decided:
    """Refuse a sighting: it is no source of ours."""
    acting.require_whole()
    services = acting.services
    return await sighting_decisions.refuse_sighting(
        services.database,
        sighting_id,
        person=acting.principal.name,
        reason=reason,
        at=services.clock.now(),
    )


async def authorise_network(acting: Acting, body: NetworkBody) -> Authorisation:
    """Enter an authorisation record."""
    acting.require_whole()
    services = acting.services
    record = networks.NewAuthorisation(body.cidr, body.document, body.approver, body.expires_at)
    with rules():
        return await networks.authorise_network(
            services.database, record, authorised_by=acting.principal.name, at=services.clock.now()
        )


async def revoke_network(acting: Acting, network_id: int) -> None:
    """End an authorisation record."""
    acting.require_whole()
    services = acting.services
    await networks.revoke_network(
        services.database, network_id, person=acting.principal.name, at=services.clock.now()
    )


async def start_sweep(acting: Acting, cidr: str, ports: tuple[int, ...] | None) -> int:
    """Begin a sweep of an authorised network and return its number."""
    acting.require_whole()
    if acting.services.sweeps is None:
        raise ApiProblem(Code.NOT_RUNNING, "no discovery runs in this process")
    with rules():
        return await acting.services.sweeps.start(SweepRequest(cidr, acting.principal.name, ports))


async def stop_sweep(acting: Acting, run_id: int) -> bool:
    """Stop a sweep."""
    acting.require_whole()
    if acting.services.sweeps is None:
        raise ApiProblem(Code.NOT_RUNNING, "no discovery runs in this process")
    return await acting.services.sweeps.stop(run_id, person=acting.principal.name)


async def import_roll(
    acting: Acting, data: bytes, *, dry_run: bool, allow_mass_retirement: bool
) -> RollDifference:
    """Bring the catalog up to a roll file, or tell what that would do."""
    acting.require_whole()
    services = acting.services
    known = await load_jurisdictions(services.database)
    order = ImportOrder(
        gateway_id=services.config.gateway.id,
        imported_by=acting.principal.name,
        at=services.clock.now(),
        allow_mass_retirement=allow_mass_retirement,
    )
    with rules():
        rows = await asyncio.to_thread(read_roll, data, known)
        if dry_run:
            return await roll_import.plan_import(services.database, rows, known)
        return await roll_import.apply_import(services.database, rows, known, order)


@dataclass(frozen=True)
class PublishedEdition:
    """An edition that was, or would be, published."""

    edition: PublicEdition | None
    draft: publication.Draft


async def publish(acting: Acting, *, effective_from: date | None, dry_run: bool) -> PublishedEdition:
    """Publish the roll as it stands as the next edition, or tell what that would be."""
    acting.require_whole()
    services, now = acting.services, acting.services.clock.now()
    if services.config.jurisdiction.second_approver and not dry_run:
        raise ApiProblem(
            Code.CONFLICT, "an edition needs a second person here: propose it, and let another approve"
        )
    with rules():
        draft = await _compiled(acting, effective_from)
        edition = (
            None if dry_run else await publication.publish(services.database, draft, _imprint(acting), at=now)
        )
    return PublishedEdition(edition, draft)


async def _compiled(acting: Acting, effective_from: date | None) -> publication.Draft:
    services = acting.services
    return await publication.compile_edition(
        services.database,
        jurisdiction_of(services.config),
        at=services.clock.now(),
        effective_from=effective_from,
    )


def _imprint(acting: Acting) -> Imprint:
    here = acting.services.config.jurisdiction
    return Imprint(
        issued_by=here.issued_by, contact=here.contact or here.issued_by, published_by=acting.principal.name
    )


def _actor(acting: Acting) -> proposals.Actor:
    return proposals.Actor(acting.principal.name, acting.principal.token_prefix)


async def propose_edition(acting: Acting, effective_from: date | None) -> tuple[int, proposals.Review]:
    """Propose the roll as it stands as the next edition, for somebody else to approve."""
    acting.require_whole()
    services = acting.services
    with rules():
        draft = await _compiled(acting, effective_from)
        number = await proposals.propose(services.database, draft, _actor(acting), at=services.clock.now())
    return number, proposals.review(draft)


async def approve_edition(acting: Acting, proposal_id: int) -> PublicEdition:
    """Publish what somebody else proposed."""
    acting.require_whole()
    services = acting.services
    with rules():
        return await proposals.approve(
            services.database,
            jurisdiction_of(services.config),
            proposal_id,
            _actor(acting),
            _imprint(acting),
            at=services.clock.now(),
        )


async def reject_edition(acting: Acting, proposal_id: int, reason: str) -> None:
    """Turn a proposal down."""
    acting.require_whole()
    services = acting.services
    with rules():
        await proposals.reject(
            services.database,
            jurisdiction_of(services.config),
            proposal_id,
            _actor(acting),
            reason,
            at=services.clock.now(),
        )


async def make_report(acting: Acting, asked: MakeReportBody) -> ReportHead:
    """Tell, sign and store a report of whole local days."""
    services, person = acting.services, acting.principal.name
    selection = Selection(asked.place_class, asked.unit, asked.edition)
    view = replace(look(acting, asked.region), selection=selection)
    with services.long_reports.turn(), rules():
        days = report_days(asked.first, asked.last, local_day(view.now))
        return await making.make_report(services.database, services.config, view, days, person, asked.told_by)


async def remake_report(acting: Acting, number: str, reason: str) -> ReportHead:
    """Tell a stored report anew and store it as its next revision."""
    services, view = acting.services, look(acting)
    with services.long_reports.turn(), rules():
        return await making.remake_report(
            services.database, services.config, view, number, person=acting.principal.name, reason=reason
        )


async def edit_source(acting: Acting, source_id: int, body: SourceBody) -> None:
    """Change a source and its endpoints, as far as the body names them."""
    await acting.require_source(source_id)
    if _names_credential(body):
        # Whoever lays a credential on an address of his own choice learns what it opens: never another region's.
        acting.require_whole()
    services, person = acting.services, acting.principal.name
    database, now = services.database, services.clock.now()
    names = ("location_type", "relay_mode", "audio_enabled", "allow_basic", "mac", "serial")
    named = {name: getattr(body, name) for name in names if name in body.model_fields_set}
    if any(named.get(name, False) is None for name in ("relay_mode", "audio_enabled", "allow_basic")):
        raise ApiProblem(Code.INVALID, "relay_mode, audio_enabled and allow_basic cannot be null")
    with rules():
        edit = sources.SourceEdit(**named)
        endpoint = (
            sources.NewEndpoint(**body.add_endpoint.model_dump()) if body.add_endpoint is not None else None
        )
    if edit.changed:
        await sources.edit_source(database, source_id, edit, person=person)
    if endpoint is not None:
        await sources.add_endpoint(database, source_id, endpoint, confirmed_by=person, at=now)
    if body.confirm_endpoint is not None:
        await sources.confirm_endpoint(database, source_id, body.confirm_endpoint, person=person, at=now)
    await _edit_endpoints(acting, source_id, body)


def _names_credential(body: SourceBody) -> bool:
    return any(
        part is not None and part.credential_ref is not None
        for part in (body.add_endpoint, body.endpoint_credential)
    )


async def _edit_endpoints(acting: Acting, source_id: int, body: SourceBody) -> None:
    database = acting.services.database
    if body.endpoint_credential is not None:
        named = body.endpoint_credential
        await sources.set_endpoint_credential(database, source_id, named.endpoint_id, named.credential_ref)
    if body.endpoint_pin is not None:
        await sources.pin_endpoint(
            database, source_id, body.endpoint_pin.endpoint_id, body.endpoint_pin.tls_pin_sha256
        )
    if body.remove_endpoint is not None:
        await sources.remove_endpoint(database, source_id, body.remove_endpoint)


async def retire_source(acting: Acting, source_id: int) -> None:
    """Take a source off the roll."""
    await acting.require_source(source_id)
    services = acting.services
    await sources.retire_source(
        services.database, source_id, person=acting.principal.name, at=services.clock.now()
    )


async def set_credential(acting: Acting, ref: str, username: str, password: Secret) -> int:
    """Store a credential and return its version."""
    acting.require_whole()
    services = acting.services
    if not password.reveal():
        raise ApiProblem(Code.INVALID, "the password is empty")
    return await credentials.set_credential(
        services.database,
        services.vault,
        ref=ref,
        login=(username, password),
        by=acting.principal.name,
        at=services.clock.now(),
    )


async def start_relay(acting: Acting, source_id: int) -> None:
    """Ask for a relay on demand."""
    await acting.require_source(source_id)
    if acting.services.on_demand is None:
        raise ApiProblem(Code.NOT_RUNNING, "no relays run in this process")
    obstacle = await acting.services.on_demand.start(source_id)
    if isinstance(obstacle, Shortage):
        raise _limit_problem(obstacle)
    if obstacle is not None:
        raise ApiProblem(Code.CONFLICT, obstacle)


def _limit_problem(shortage: Shortage) -> ApiProblem:
    said = shortage.explain()
    return ApiProblem(
        Code.RELAY_LIMIT,
        f"{said.zh} {said.en}",
        retry_after=LIMIT_PAUSE,
        limit=LimitReached(
            name=shortage.limit.value,
            setting=SETTINGS[shortage.limit],
            most=shortage.most,
            used=shortage.used,
            asked=shortage.asked,
            network=shortage.network,
        ),
    )


async def stop_relay(acting: Acting, source_id: int) -> bool:
    """Say that a relay is wanted no more."""
    await acting.require_source(source_id)
    if acting.services.on_demand is None:
        raise ApiProblem(Code.NOT_RUNNING, "no relays run in this process")
    return await acting.services.on_demand.stop(source_id)


@dataclass(frozen=True)
class Look:
    """A login for one look at one source."""

    grant: Grant
    addresses: Sequence[str]


async def play_source(acting: Acting, source_id: int, purpose: str) -> Look:
    """Let the person look at a source once, soon."""
    await acting.require_source(source_id)
    desk, principal = acting.services.view_desk, acting.principal
    if desk is None:
        raise ApiProblem(Code.NOT_RUNNING, "nobody may pull from here: set a port in [rtsp_server]")
    addresses = desk.addresses(source_id)
    if not purpose.strip():
        raise ApiProblem(Code.PURPOSE_MISSING)
    viewer = Viewer(principal.name, principal.role, principal.token_prefix, purpose.strip())
    try:
        return Look(desk.grant(source_id, viewer), addresses)
    except TooManyGrants as error:
        raise ApiProblem(Code.TOO_MANY, str(error), retry_after=LIFETIME) from error


async def look_at_source(acting: Acting, source_id: int, purpose: str) -> Secret:
    """Let the person look at a source in a browser once, soon."""
    await acting.require_source(source_id)
    desk, principal = acting.services.live_desk, acting.principal
    if desk is None:
        raise ApiProblem(Code.NOT_RUNNING, "live pictures are switched off: set enabled in [viewing]")
    if not purpose.strip():
        raise ApiProblem(Code.PURPOSE_MISSING)
    desk.code_of(source_id)
    viewer = Viewer(principal.name, principal.role, principal.token_prefix, purpose.strip())
    try:
        return desk.look(source_id, viewer)
    except TooManyGrants as error:
        raise ApiProblem(Code.TOO_MANY, str(error), retry_after=LIFETIME) from error


async def interrogate(acting: Acting, source_id: int) -> None:
    """Ask the ONVIF device of a source now who it is and what it streams; what came of it is in the catalog."""
    await acting.require_source(source_id)
    async with told_by_devices():
        await onvif_desk(acting).interrogate(source_id)


def onvif_desk(acting: Acting) -> OnvifDesk:
    """Return the desk at which ONVIF devices are asked and turned.

    Raises:
        ApiProblem: there is none.
    """
    if acting.services.onvif_desk is None:
        raise ApiProblem(Code.NOT_RUNNING, "ONVIF is switched off: set enabled in [onvif]")
    return acting.services.onvif_desk


@asynccontextmanager
async def told_by_devices() -> AsyncIterator[None]:
    """Turn what ONVIF devices and their desk say into problems."""
    try:
        yield
    except NoDevice as error:
        raise ApiProblem(Code.CONFLICT, f"{error.cause}: {error}") from error
    except Steered as error:
        raise ApiProblem(Code.CONFLICT, str(error), retry_after=max(error.wait, 1.0)) from error
    except TooManySteered as error:
        raise ApiProblem(Code.TOO_MANY, str(error), retry_after=5) from error
    except CredentialUnreadable as error:
        raise ApiProblem(Code.DEVICE_FAILED, f"credential_unreadable: {error}") from error
    except AdapterError as error:
        raise ApiProblem(Code.DEVICE_FAILED, f"{error.cause}: {error}") from error


async def add_sink(acting: Acting, body: SinkBody) -> None:
    """Add a central platform."""
    acting.require_whole()
    with rules():
        sink = sinks.NewSink(**body.model_dump())
    await sinks.add_sink(acting.services.database, sink, person=acting.principal.name)


async def create_token(acting: Acting, body: TokenBody) -> tuple[AccessToken, Secret]:
    """Make a token for a person, for no more than the maker may see."""
    region = Region(body.region)
    if not acting.principal.region.covers(region):
        raise ApiProblem(Code.REGION_FORBIDDEN)
    acting.require_whole()
    try:
        return await acting.services.tokens.create(
            person=body.person,
            role=Role(body.role),
            region=region,
            created_at=acting.services.clock.now(),
            expires_at=body.expires_at,
        )
    except TokenInvalid as error:
        raise ApiProblem(Code.INVALID, str(error)) from error


async def revoke_token(acting: Acting, token_id: int) -> None:
    """Revoke a token."""
    acting.require_whole()
    if not await acting.services.tokens.revoke(token_id, at=acting.services.clock.now()):
        raise ApiProblem(Code.NOT_FOUND)
