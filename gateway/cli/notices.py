"""`muster notify`: who is told by webhook or mail what happens."""

from datetime import datetime
from typing import Annotated

import typer
from rich.table import Table

from catalog.database import Database
from catalog.model.notice import Digest, NoticeEvent
from catalog.notice_targets import (
    NewTarget,
    Target,
    TargetKind,
    TargetUnknown,
    add_target,
    list_targets,
    remove_target,
)
from catalog.reading import LOCAL, Region, local_day
from gateway.cli.command import ConfigOption, Language, PersonOption, console, now, person_or_login, run, say
from gateway.cli.reports import RegionOption
from gateway.config import Config
from gateway.opening import open_vault

notify = typer.Typer(no_args_is_help=True, help="Who is told by webhook or mail what happens.")

NameArgument = Annotated[str, typer.Argument(help="Name of the target.")]
EventsOption = Annotated[
    str, typer.Option(help="What to tell: offline, back, connected, overdue; separated by commas.")
]
CollectOption = Annotated[
    int, typer.Option(help="Seconds for which things are gathered into one notice; 86400 is a day.")
]
LanguageOption = Annotated[Language, typer.Option("--lang", help="Language of the mail.")]

_ALL = ",".join(NoticeEvent)


@notify.command("webhook")
def add_webhook(
    name: NameArgument,
    url: Annotated[str, typer.Argument(help="https://host/path; no secret in it.")],
    credential: Annotated[str, typer.Option(help="Name of the stored credential whose password signs.")],
    events: EventsOption = _ALL,
    region: RegionOption = "",
    collect: CollectOption = 60,
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Tell a webhook from now on, signed as the Standard Webhooks specification says."""

    async def work(database: Database, settings: Config) -> None:
        target = NewTarget(
            name=name,
            kind=TargetKind.WEBHOOK,
            address=url,
            credential_ref=credential,
            region=Region(region),
            events=_events(events),
            collect=collect,
        )
        await _add(database, settings, target, person)

    run(config, work)


@notify.command("mail")
def add_mail(
    name: NameArgument,
    server: Annotated[str, typer.Argument(help="smtps://host:465 or smtp://host:25.")],
    sender: Annotated[str, typer.Option(help="Address the mail comes from.")],
    to: Annotated[list[str], typer.Option(help="Recipient; may be given several times.")],
    credential: Annotated[
        str | None, typer.Option(help="Name of the stored credential that logs in, inside TLS alone.")
    ] = None,
    events: EventsOption = _ALL,
    region: RegionOption = "",
    collect: CollectOption = 300,
    language: LanguageOption = Language.ZH,
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Tell people by mail from now on."""

    async def work(database: Database, settings: Config) -> None:
        target = NewTarget(
            name=name,
            kind=TargetKind.MAIL,
            address=server,
            credential_ref=credential,
            sender=sender,
            recipients=to,
            region=Region(region),
            events=_events(events),
            collect=collect,
            language=language.value,
        )
        await _add(database, settings, target, person)

    run(config, work)


async def _add(database: Database, settings: Config, target: NewTarget, person: str | None) -> None:
    who = person_or_login(person)
    await add_target(database, settings.gateway.id, target, today=local_day(now()), person=who)
    say(f"target {target.name} is told what happens from now on; `muster notify test {target.name}` tries it")


@notify.command("list")
def list_all(config: ConfigOption = None) -> None:
    """List the targets, and which of them do not take what they are told."""

    async def work(database: Database, settings: Config) -> None:
        table = Table(
            *("name", "kind", "address", "to", "events", "region", "gathers", "last", "failing since", "why"),
            box=None,
        )
        for target in await list_targets(database, settings.gateway.id):
            table.add_row(
                target.name,
                target.kind.value,
                target.address,
                ", ".join(target.recipients),
                ", ".join(sorted(target.events)),
                target.region.prefix or "all",
                f"{target.collect} s",
                _local(target.sent_at),
                _local(target.failing_since),
                target.failure or "",
            )
        console().print(table)

    run(config, work)


@notify.command("remove")
def remove(name: NameArgument, person: PersonOption = None, config: ConfigOption = None) -> None:
    """Forget a target."""

    async def work(database: Database, settings: Config) -> None:
        await remove_target(database, settings.gateway.id, name, person=person_or_login(person))
        say(f"target {name} is removed")

    run(config, work)


@notify.command("test")
def try_target(name: NameArgument, config: ConfigOption = None) -> None:
    """Send a target an empty notice now, and say whether it was taken."""
    # Here, so that the other commands need not load a web client and a mail client.
    from gateway.notices.delivery import deliver
    from gateway.notices.errors import NoticeNotTaken
    from gateway.notices.message import Notice

    async def work(database: Database, settings: Config) -> None:
        target = await _named(database, settings, name)
        at = now()
        notice = Notice(
            notice_id=f"{settings.gateway.id}-{target.target_id}-test-{at:%Y%m%d%H%M%S}",
            gateway_id=settings.gateway.id,
            jurisdiction=settings.jurisdiction.name,
            made_at=at,
            digest=Digest(),
        )
        try:
            await deliver(notice, target, open_vault(settings), at=at)
        except NoticeNotTaken as error:
            raise ValueError(f"not taken: {error}") from None
        say(f"{name} took it")

    run(config, work)


async def _named(database: Database, settings: Config, name: str) -> Target:
    for target in await list_targets(database, settings.gateway.id):
        if target.name == name:
            return target
    raise TargetUnknown(f"there is no target {name!r}: `muster notify list` shows them")


def _events(words: str) -> tuple[NoticeEvent, ...]:
    try:
        return tuple(NoticeEvent(word.strip()) for word in words.split(",") if word.strip())
    except ValueError:
        raise ValueError(f"--events: write some of {_ALL}") from None


def _local(at: datetime | None) -> str:
    return "" if at is None else f"{at.astimezone(LOCAL):%Y-%m-%d %H:%M:%S}"
