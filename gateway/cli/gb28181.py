"""`muster gb28181`: devices and lower platforms that may register, what they told, and who was refused."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from catalog import gb_devices
from catalog.database import Database
from catalog.gb_devices import GbDevice, NewDevice
from catalog.model.plan import MediaWay, StreamKind
from gateway.cli.command import (
    ConfigOption,
    PersonOption,
    console,
    now,
    person_or_login,
    read_password,
    run,
    say,
)
from gateway.config import Config
from gateway.opening import open_vault

gb28181 = typer.Typer(no_args_is_help=True, help="GB/T 28181: devices that register with us, and quarantine.")

CodeArgument = Annotated[str, typer.Argument(help="20-digit code of the device or lower platform.")]
MediaOption = Annotated[
    MediaWay | None, typer.Option(help="How its media come: it connects to us, we to it, or UDP.")
]
StreamOption = Annotated[StreamKind | None, typer.Option(help="Which stream of its channels is asked for.")]
PasswordOption = Annotated[
    Path | None, typer.Option("--password-file", help="First line of this file; asked for when left out.")
]


@gb28181.command("add")
def add(
    code: CodeArgument,
    name: Annotated[str, typer.Option(help="For people.")] = "",
    media: MediaOption = None,
    stream: StreamOption = None,
    password_file: PasswordOption = None,
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Let a device register, with a password of its own; this accepts one from quarantine, too."""

    async def work(database: Database, settings: Config) -> None:
        new = NewDevice(
            code,
            read_password(password_file),
            name,
            media or MediaWay.TCP_PASSIVE,
            stream or StreamKind.MAIN,
        )
        await gb_devices.add_device(
            database, open_vault(settings), settings.gateway.id, new, by=person_or_login(person), at=now()
        )
        gb = settings.gb28181
        say(f"device {code} may register with {gb.id or '(set gb28181.id)'} at {gb.host}, realm {gb.domain}")

    run(config, work)


@gb28181.command("list")
def list_all(config: ConfigOption = None) -> None:
    """List the devices with their registration, channels, and how many of these are on the roll."""

    async def work(database: Database, settings: Config) -> None:
        at = now()
        table = Table(
            "code",
            "name",
            "registered",
            "from",
            "media",
            "version",
            "channels",
            "on the roll",
            "catalog",
            box=None,
        )
        for each in await gb_devices.devices(database, settings.gateway.id):
            catalog = "" if each.catalog_at is None else f"{each.catalog_at:%Y-%m-%d %H:%M}Z"
            if each.catalog_whole is False:
                catalog += " (incomplete)"
            table.add_row(
                each.device_id,
                each.name,
                _registration(each, each.is_registered(at)),
                "" if each.host is None else f"{each.transport}:{each.host}:{each.port}",
                each.media.value,
                each.version,
                str(each.channels),
                str(each.matched),
                catalog,
            )
        console().print(table)

    run(config, work)


def _registration(device: GbDevice, is_registered: bool) -> str:
    if is_registered:
        return "yes"
    if device.registered_at is None:
        return "never"
    return device.left_why or "expired"


@gb28181.command("show")
def show(code: CodeArgument, config: ConfigOption = None) -> None:
    """Show what a device told: of itself, its channels, and what happened."""

    async def work(database: Database, settings: Config) -> None:
        device = await gb_devices.device(database, settings.gateway.id, code)
        say(
            f"{device.device_id} {device.name}  registered: {_registration(device, device.is_registered(now()))}"
        )
        if device.user_agent:
            say(f"  says it is {device.user_agent}")
        if device.clock_offset is not None:
            say(f"  clock {device.clock_offset:+.1f} s")
        for what, fields in sorted(device.told.items()):
            say(f"  {what}: " + ", ".join(f"{name}={text}" for name, text in fields.items()))
        table = Table("channel", "name", "says", "source", "seen", "remark", box=None)
        for channel in await gb_devices.channels(database, code):
            says = {True: "on", False: "off", None: ""}[channel.is_on]
            remarks = [
                "gone" if channel.missing_since else "",
                "no video" if not channel.is_video else "",
                "also told by another device" if channel.is_shared else "",
            ]
            table.add_row(
                channel.channel_id,
                channel.name,
                says,
                "not on the roll" if channel.source_id is None else str(channel.source_id),
                f"{channel.last_seen_at:%Y-%m-%d %H:%M:%S}Z",
                ", ".join(filter(None, remarks)),
            )
        console().print(table)
        for event in await gb_devices.events(database, code):
            detail = ", ".join(f"{name}={text}" for name, text in event.detail.items())
            say(f"  {event.at:%Y-%m-%d %H:%M:%S}Z {event.kind} {event.channel_id} {detail}".rstrip())

    run(config, work)


@gb28181.command("password")
def set_password(
    code: CodeArgument,
    password_file: PasswordOption = None,
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Change the password of a device; it counts from its next registration on."""

    async def work(database: Database, settings: Config) -> None:
        await gb_devices.set_device_password(
            database,
            open_vault(settings),
            settings.gateway.id,
            (code, read_password(password_file)),
            by=person_or_login(person),
            at=now(),
        )
        say(f"device {code} has a new password")

    run(config, work)


@gb28181.command("edit")
def edit(
    code: CodeArgument,
    name: Annotated[str | None, typer.Option(help="For people.")] = None,
    media: MediaOption = None,
    stream: StreamOption = None,
    config: ConfigOption = None,
) -> None:
    """Change the name of a device, how its media come, or which stream is asked for."""

    async def work(database: Database, settings: Config) -> None:
        await gb_devices.change_device(
            database, settings.gateway.id, code, name=name, media=media, stream=stream
        )
        say(f"device {code} was changed")

    run(config, work)


@gb28181.command("remove")
def remove(code: CodeArgument, person: PersonOption = None, config: ConfigOption = None) -> None:
    """Let a device register no more; its sources stay on the roll, its events on record."""

    async def work(database: Database, settings: Config) -> None:
        await gb_devices.remove_device(database, settings.gateway.id, code, by=person_or_login(person))
        say(f"device {code} may not register any more")

    run(config, work)


@gb28181.command("quarantine")
def quarantine(config: ConfigOption = None) -> None:
    """List who tried to register and was refused, and why; `add` accepts one, `refuse` settles it."""

    async def work(database: Database, _: Config) -> None:
        table = Table("code", "why", "from", "says it is", "times", "first", "last", "decided", box=None)
        for each in await gb_devices.strangers(database):
            table.add_row(
                each.device_id,
                each.why,
                f"{each.transport}:{each.host}:{each.port}",
                each.user_agent,
                str(each.times),
                f"{each.first_at:%Y-%m-%d %H:%M:%S}Z",
                f"{each.last_at:%Y-%m-%d %H:%M:%S}Z",
                "" if each.refused_by is None else f"refused by {each.refused_by}",
            )
        console().print(table)

    run(config, work)


@gb28181.command("refuse")
def refuse(code: CodeArgument, person: PersonOption = None, config: ConfigOption = None) -> None:
    """Decide that one in quarantine stays outside; its tries stay visible below the open ones."""

    async def work(database: Database, _: Config) -> None:
        await gb_devices.refuse_stranger(database, code, by=person_or_login(person), at=now())
        say(f"{code} stays outside")

    run(config, work)
