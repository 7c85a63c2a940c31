"""`muster network`, `muster discover`, `muster sighting`: what may be asked, asking it, and deciding what was seen."""

from datetime import timedelta
from typing import Annotated

import typer
from rich.table import Table

from adapters.rtsp.client import probe
from catalog.database import Database
from catalog.discovery_runs import Run, RunOutcome
from catalog.networks import NewAuthorisation, authorise_network, list_networks, revoke_network
from catalog.reading import SightingRow
from catalog.reports import Reports, View
from catalog.sighting_decisions import accept_sighting, confirm_sighting, refuse_sighting
from gateway.cli.command import ConfigOption, ExitCode, PersonOption, console, now, person_or_login, run, say
from gateway.clock import SystemClock
from gateway.config import Config
from gateway.discovery import Discovery
from gateway.discovery_plan import SweepRequest
from gateway.discovery_sweep import Progress

network = typer.Typer(no_args_is_help=True, help="Networks that may be asked: authorisation records.")
sighting = typer.Typer(no_args_is_help=True, help="What was seen in them: confirm, accept or refuse it.")

_ALL = 1000


@network.command("authorise")
def authorise(
    cidr: Annotated[str, typer.Argument(help="Network, e.g. 10.1.2.0/24.")],
    document: Annotated[str, typer.Option(help="Number or title of the document that allows it.")],
    approver: Annotated[str, typer.Option(help="Who approved it.")],
    days: Annotated[int, typer.Option(min=1, max=3660, help="Days until it expires.")] = 365,
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Record that a network may be asked."""

    async def work(database: Database, _: Config) -> None:
        at = now()
        record = NewAuthorisation(
            cidr=cidr, document=document, approver=approver, expires_at=at + timedelta(days=days)
        )
        made = await authorise_network(database, record, authorised_by=person_or_login(person), at=at)
        say(
            f"record {made.network_id}: {made.network} may be asked until {made.expires_at:%Y-%m-%d %H:%M} UTC"
        )

    run(config, work)


@network.command("list")
def list_all(config: ConfigOption = None) -> None:
    """Show all authorisation records."""

    async def work(database: Database, _: Config) -> None:
        at = now()
        table = Table(
            "id", "network", "document", "approver", "entered by", "expires (UTC)", "live", box=None
        )
        for record in await list_networks(database):
            table.add_row(
                str(record.network_id),
                str(record.network),
                record.document,
                record.approver,
                record.authorised_by,
                f"{record.expires_at:%Y-%m-%d %H:%M}",
                "yes" if record.is_live(at) else "no",
            )
        console().print(table)

    run(config, work)


@network.command("revoke")
def revoke(network_id: int, person: PersonOption = None, config: ConfigOption = None) -> None:
    """End an authorisation record now."""

    async def work(database: Database, _: Config) -> None:
        await revoke_network(database, network_id, person=person_or_login(person), at=now())
        say(f"record {network_id} is revoked")

    run(config, work)


def discover(
    cidr: Annotated[str, typer.Argument(help="Network inside an authorised one, /20 at most.")],
    port: Annotated[list[int] | None, typer.Option(help="TCP port; may be given several times.")] = None,
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Ask every address of an authorised network for RTSP: OPTIONS, and nothing more."""

    async def work(database: Database, settings: Config) -> Run:
        def notice(progress: Progress) -> None:
            say(
                f"run {progress.run_id}: asked {progress.asked} of {progress.total}, {progress.answered} answered"
            )

        discovery = Discovery(
            database,
            settings.discovery,
            clock=SystemClock(),
            probe=probe,
            greeting_rate=settings.onvif.unicast_rate,
        )
        ports = tuple(port) if port else None
        return await discovery.sweep(SweepRequest(cidr, person_or_login(person), ports), notice=notice)

    finished = run(config, work)
    say(
        f"run {finished.run_id} {finished.outcome}: {finished.probed} asked, {finished.answered} answered; "
        "see muster sighting list"
    )
    if finished.outcome is not RunOutcome.FINISHED:
        raise typer.Exit(ExitCode.FOUND)


@sighting.command("list")
def list_sightings(
    state: Annotated[str | None, typer.Option(help="quarantined, awaiting_confirmation, matched …")] = None,
    config: ConfigOption = None,
) -> None:
    """Show what was seen, the newest first."""

    async def work(database: Database, _: Config) -> None:
        table = Table("id", "address", "server", "state", "source", "matched by", "last seen (UTC)", box=None)
        for row in (await Reports(database).sightings(View(now=now()), state=state, limit=_ALL)).items:
            table.add_row(*_cells(row))
        console().print(table)

    run(config, work)


def _cells(row: SightingRow) -> list[str]:
    return [
        str(row.sighting_id),
        f"{row.protocol}://{row.host}:{row.port}",
        row.server or "",
        row.state,
        row.source_gb_id or (str(row.source_id) if row.source_id else ""),
        row.match_rule or "",
        f"{row.last_seen_at:%Y-%m-%d %H:%M}",
    ]


@sighting.command("confirm")
def confirm(
    sighting_id: int,
    path: Annotated[str | None, typer.Option(help="RTSP path, where the roll does not say it.")] = None,
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Confirm that this address is the source it was matched with."""

    async def work(database: Database, _: Config) -> None:
        done = await confirm_sighting(
            database, sighting_id, person=person_or_login(person), at=now(), path=path
        )
        say(f"sighting {sighting_id} is source {done.source_id}")

    run(config, work)


@sighting.command("accept")
def accept(
    sighting_id: int,
    source_id: Annotated[int, typer.Argument(help="Source of the roll that this device is.")],
    path: Annotated[str | None, typer.Option(help="RTSP path, where the roll does not say it.")] = None,
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Say that a device in quarantine is this source of the roll."""

    async def work(database: Database, _: Config) -> None:
        await accept_sighting(
            database, sighting_id, source_id, person=person_or_login(person), at=now(), path=path
        )
        say(f"sighting {sighting_id} is source {source_id}")

    run(config, work)


@sighting.command("refuse")
def refuse(
    sighting_id: int,
    reason: Annotated[str, typer.Option(help="Why, for the record.")],
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Say that a device is none of ours."""

    async def work(database: Database, _: Config) -> None:
        await refuse_sighting(database, sighting_id, person=person_or_login(person), reason=reason, at=now())
        say(f"sighting {sighting_id} is refused")

    run(config, work)
