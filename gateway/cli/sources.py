"""`muster source`, `muster credential`, `muster sink`: changes to what is relayed, with what, and whither."""

from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer
from rich.table import Table

from catalog.credentials import list_credentials, set_credential
from catalog.database import Database
from catalog.model.plan import RelayMode
from catalog.model.sighting import Protocol
from catalog.reading import Region
from catalog.reports import Reports, View
from catalog.sinks import NewSink, add_sink, enable_sink, list_sinks, remove_sink
from catalog.sources import (
    KEEP,
    NewEndpoint,
    SourceEdit,
    add_endpoint,
    confirm_endpoint,
    edit_source,
    pin_endpoint,
    remove_endpoint,
    retire_source,
)
from gateway.cli.command import (
    ConfigOption,
    ExitCode,
    PersonOption,
    console,
    now,
    person_or_login,
    read_password,
    run,
    say,
)
from gateway.config import Config
from gateway.credential_trial import try_credential
from gateway.opening import open_vault

source = typer.Typer(no_args_is_help=True, help="Sources of the roll: edit, endpoints, retire.")
credential = typer.Typer(no_args_is_help=True, help="User names and passwords of devices and superiors.")
sink = typer.Typer(no_args_is_help=True, help="Central platforms that take our streams by RTSP RECORD.")

_ALL = 1000


@source.command("list")
def list_sources(
    region: Annotated[str, typer.Option(help="Prefix of the administrative code.")] = "",
    config: ConfigOption = None,
) -> None:
    """Show sources with their state."""

    async def work(database: Database, _: Config) -> None:
        table = Table("id", "code", "unit", "site", "location", "state", "why", box=None)
        view = View(now=now(), region=Region(region))
        cursor: str | None = None
        while True:
            page = await Reports(database).sources(view, cursor=cursor, limit=_ALL)
            for row in page.items:
                table.add_row(
                    str(row.source_id),
                    row.gb_id or "",
                    row.place.unit,
                    row.place.site,
                    row.location_type or "",
                    row.status.shown,
                    row.obstacle or ", ".join(row.status.reasons),
                )
            cursor = page.next_cursor
            if cursor is None:
                break
        console().print(table)

    run(config, work)


@source.command("edit")
def edit(
    source_id: int,
    location_type: Annotated[
        str | None, typer.Option(help="Attested location type; '' takes it back.")
    ] = None,
    relay_mode: Annotated[RelayMode | None, typer.Option(help="always, on_demand or off.")] = None,
    audio: Annotated[bool | None, typer.Option(help="Relay audio: needs a legal basis.")] = None,
    allow_basic: Annotated[bool | None, typer.Option(help="Allow Basic outside TLS for this source.")] = None,
    mac: Annotated[str | None, typer.Option(help="aa:bb:cc:dd:ee:ff; '' removes it.")] = None,
    serial: Annotated[str | None, typer.Option(help="Serial number; '' removes it.")] = None,
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Change a source; what is not given stays."""

    def given(text: str | None) -> object:
        return KEEP if text is None else (text or None)

    async def work(database: Database, _: Config) -> None:
        change = SourceEdit(
            location_type=given(location_type),  # type: ignore[arg-type]
            relay_mode=KEEP if relay_mode is None else relay_mode,
            audio_enabled=KEEP if audio is None else audio,
            allow_basic=KEEP if allow_basic is None else allow_basic,
            mac=given(mac),  # type: ignore[arg-type]
            serial=given(serial),  # type: ignore[arg-type]
        )
        await edit_source(database, source_id, change, person=person_or_login(person))
        say(f"source {source_id}: changed {', '.join(change.changed) or 'nothing'}")

    run(config, work)


@source.command("retire")
def retire(source_id: int, person: PersonOption = None, config: ConfigOption = None) -> None:
    """Take a source out of the roll; its history stays."""

    async def work(database: Database, _: Config) -> None:
        await retire_source(database, source_id, person=person_or_login(person), at=now())
        say(f"source {source_id} is retired")

    run(config, work)


@source.command("endpoints")
def endpoints(source_id: int, config: ConfigOption = None) -> None:
    """Show how a source is reached."""

    async def work(database: Database, _: Config) -> None:
        table = Table("id", "address", "transport", "credential", "confirmed by", "refusals", box=None)
        for row in await Reports(database).endpoints(source_id):
            table.add_row(
                str(row.endpoint_id),
                f"{row.protocol}://{row.host}:{row.port}{row.path}",
                row.transport,
                row.credential_ref or "",
                row.confirmed_by or "",
                str(row.refusals),
            )
        console().print(table)

    run(config, work)


@source.command("add-endpoint")
def add(
    source_id: int,
    url: Annotated[str, typer.Argument(help="rtsp://HOST:PORT/PATH without user and password.")],
    credential_ref: Annotated[str | None, typer.Option("--credential", help="Name of a credential.")] = None,
    transport: Annotated[str, typer.Option(help="tcp or udp.")] = "tcp",
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Say where a source is reached; giving the address confirms it."""

    async def work(database: Database, _: Config) -> None:
        protocol, host, port, path = _address(url)
        given = NewEndpoint(
            protocol=Protocol(protocol),
            host=host,
            port=port,
            path=path,
            transport=transport,
            credential_ref=credential_ref,
        )
        made = await add_endpoint(database, source_id, given, confirmed_by=person_or_login(person), at=now())
        say(f"endpoint {made} of source {source_id}")

    run(config, work)


@source.command("confirm-endpoint")
def confirm(
    source_id: int, endpoint_id: int, person: PersonOption = None, config: ConfigOption = None
) -> None:
    """Attest that an address is this source."""

    async def work(database: Database, _: Config) -> None:
        await confirm_endpoint(database, source_id, endpoint_id, person=person_or_login(person), at=now())
        say(f"endpoint {endpoint_id} is confirmed")

    run(config, work)


@source.command("remove-endpoint")
def remove(source_id: int, endpoint_id: int, config: ConfigOption = None) -> None:
    """Forget an address of a source."""

    async def work(database: Database, _: Config) -> None:
        await remove_endpoint(database, source_id, endpoint_id)
        say(f"endpoint {endpoint_id} is removed")

    run(config, work)


@source.command("pin")
def pin(
    source_id: int,
    endpoint_id: int,
    sha256: Annotated[str, typer.Argument(help="SHA-256 of its certificate, 64 hex digits; '' removes it.")],
    config: ConfigOption = None,
) -> None:
    """Pin the certificate of an RTSPS endpoint."""

    async def work(database: Database, _: Config) -> None:
        await pin_endpoint(database, source_id, endpoint_id, sha256 or None)
        say(f"endpoint {endpoint_id}: pin {'set' if sha256 else 'removed'}")

    run(config, work)


@credential.command("set")
def set_one(
    ref: Annotated[str, typer.Argument(help="Name under which the roll speaks of it.")],
    username: Annotated[str, typer.Option(help="User name at the device.")],
    password_file: Annotated[
        Path | None, typer.Option(help="File whose first line is the password; asked for when not given.")
    ] = None,
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Store user name and password, encrypted."""

    async def work(database: Database, settings: Config) -> None:
        vault = open_vault(settings)
        login = (username, read_password(password_file))
        version = await set_credential(
            database, vault, ref=ref, login=login, by=person_or_login(person), at=now()
        )
        say(f"credential {ref}: version {version}")

    run(config, work)


@credential.command("list")
def list_refs(config: ConfigOption = None) -> None:
    """Show which credentials are stored, never their passwords."""

    async def work(database: Database, _: Config) -> None:
        table = Table("name", "user name", "password", "version", "changed by", box=None)
        for row in await list_credentials(database):
            stored = "stored" if row.version else "never set"
            table.add_row(row.ref, row.username or "", stored, str(row.version), row.changed_by or "")
        console().print(table)

    run(config, work)


@credential.command("test")
def try_one(ref: str, config: ConfigOption = None) -> None:
    """Try a stored credential on the confirmed devices that ask for it: DESCRIBE once each."""

    async def work(database: Database, settings: Config) -> bool:
        outcomes = await try_credential(database, open_vault(settings), settings.gateway.id, ref, at=now())
        for address, outcome in outcomes:
            say(f"{address}: {outcome}")
        if not outcomes:
            say("no confirmed device inside an authorised network uses it")
        return bool(outcomes) and all(outcome == "accepted" for _, outcome in outcomes)

    if not run(config, work):
        raise typer.Exit(ExitCode.FOUND)


@sink.command("add")
def add_one(
    name: str,
    url: Annotated[str, typer.Argument(help="rtsp://HOST:PORT/PREFIX/ – the source's code follows.")],
    credential_ref: Annotated[str | None, typer.Option("--credential", help="Name of a credential.")] = None,
    pin_sha256: Annotated[str | None, typer.Option(help="SHA-256 of its certificate (rtsps).")] = None,
    allow_basic: Annotated[bool, typer.Option(help="Allow Basic outside TLS.")] = False,
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Add a central platform."""

    async def work(database: Database, _: Config) -> None:
        protocol, host, port, path = _address(url)
        given = NewSink(
            name=name,
            host=host,
            port=port,
            path_prefix=path,
            tls=protocol == "rtsps",
            tls_pin_sha256=pin_sha256,
            credential_ref=credential_ref,
            allow_basic=allow_basic,
        )
        await add_sink(database, given, person=person_or_login(person))
        say(f"streams go to {protocol}://{host}:{port}{path.rstrip('/')}/<code>")

    run(config, work)


@sink.command("list")
def list_all(config: ConfigOption = None) -> None:
    """Show the central platforms."""

    async def work(database: Database, _: Config) -> None:
        table = Table("name", "address", "enabled", "credential", box=None)
        for row in await list_sinks(database):
            scheme = "rtsps" if row.tls else "rtsp"
            table.add_row(
                row.name,
                f"{scheme}://{row.host}:{row.port}{row.path_prefix}",
                "yes" if row.enabled else "no",
                row.credential.ref if row.credential else "",
            )
        console().print(table)

    run(config, work)


@sink.command("remove")
def remove_one(name: str, person: PersonOption = None, config: ConfigOption = None) -> None:
    """Remove a central platform."""

    async def work(database: Database, _: Config) -> None:
        await remove_sink(database, name, person=person_or_login(person))
        say(f"sink {name} is removed")

    run(config, work)


@sink.command("enable")
def enable(
    name: str,
    on: Annotated[bool, typer.Option("--on/--off", help="Whether streams go there.")] = True,
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Switch a central platform on or off."""

    async def work(database: Database, _: Config) -> None:
        await enable_sink(database, name, enabled=on, person=person_or_login(person))
        say(f"sink {name} is {'on' if on else 'off'}")

    run(config, work)


def _address(url: str) -> tuple[str, str, int, str]:
    """Split an RTSP URL.

    Raises:
        ValueError: no RTSP URL, or one with a password in it; it is not repeated.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("rtsp", "rtsps") or not parts.hostname:
        raise ValueError("write rtsp://HOST:PORT/PATH or rtsps://HOST:PORT/PATH")
    if "@" in parts.netloc:
        raise ValueError(
            "leave user and password out of the URL: muster credential set stores them encrypted"
        )
    try:
        port = parts.port
    except ValueError:
        # urllib's own message repeats what stands there: the password of a URL that lacks its host.
        raise ValueError("the port is no number from 1 to 65535") from None
    path = parts.path or "/"
    default = 554 if parts.scheme == "rtsp" else 322
    return (
        parts.scheme,
        parts.hostname,
        port or default,
        f"{path}?{parts.query}" if parts.query else path,
    )
