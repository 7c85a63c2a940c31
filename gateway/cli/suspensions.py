"""`muster suspension`: windows in which a site is not charged, asked for by one person and approved by others."""

from datetime import datetime
from typing import Annotated

import typer
from rich.table import Table

from catalog.database import Database
from catalog.model.display import SuspendedReason
from catalog.model.operation import read_hours
from catalog.model.period import Period
from catalog.model.suspension import Acted, SuspensionAct, SuspensionState, Window
from catalog.reading import LOCAL
from catalog.suspensions import Suspension, act, list_suspensions, request
from gateway.cli.command import ConfigOption, PersonOption, console, now, person_or_login, run, say
from gateway.config import Config

suspension = typer.Typer(no_args_is_help=True, help="Approved windows in which a site is not charged.")

NumberArgument = Annotated[int, typer.Argument(help="Number of the suspension.")]
TextOption = Annotated[str, typer.Option("--text", help="The reason, in words.")]
InstantOption = Annotated[
    datetime, typer.Option(formats=["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"], help="Local time, 2026-11-30 08:00.")
]


@suspension.command("request")
def request_window(
    reason: Annotated[SuspendedReason, typer.Option("--reason", help="Why it is not charged.")],
    start: InstantOption,
    end: InstantOption,
    document: Annotated[str, typer.Option(help="Number of the document that it rests on.")],
    site: Annotated[int | None, typer.Option(help="Number of a site: all of its sources.")] = None,
    source: Annotated[int | None, typer.Option(help="Number of one source.")] = None,
    hours: Annotated[
        str,
        typer.Option(
            help="With outside_operation: when it does not operate, local time, such as 22:30-05:30."
        ),
    ] = "",
    weekdays: Annotated[
        str,
        typer.Option(help="On which these hours begin, such as 1,2,3 (Monday is 1); every day by default."),
    ] = "",
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Ask for a window; one that has begun already is retroactive and needs two approvals."""

    async def work(database: Database, _: Config) -> None:
        if (site is None) == (source is None):
            raise ValueError("name a --site or a --source, one of them")
        begins, ends = start.replace(tzinfo=LOCAL), end.replace(tzinfo=LOCAL)
        if ends <= begins:
            raise ValueError(f"--end: {end:%Y-%m-%d %H:%M} is not after the start")
        rest = read_hours(hours, weekdays) if hours else None
        window = Window(reason, Period(begins, ends), document, now(), person_or_login(person), rest)
        number = await request(database, window, site_id=site, source_id=source)
        needed = (
            "two people approve it: it had begun" if window.is_retroactive else "somebody else approves it"
        )
        say(f"suspension {number} is asked for; {needed}")

    run(config, work)


@suspension.command("approve")
def approve(number: NumberArgument, person: PersonOption = None, config: ConfigOption = None) -> None:
    """Approve a window that somebody else asked for."""
    _act(number, SuspensionAct.APPROVE, "", person, config)


@suspension.command("withdraw")
def withdraw(
    number: NumberArgument, text: TextOption, person: PersonOption = None, config: ConfigOption = None
) -> None:
    """Take a window back whole; the time in it is charged again, in reports made from then on."""
    _act(number, SuspensionAct.WITHDRAW, text, person, config)


@suspension.command("end")
def end_now(
    number: NumberArgument, text: TextOption, person: PersonOption = None, config: ConfigOption = None
) -> None:
    """End a window that goes on; what has passed of it stays not charged."""
    _act(number, SuspensionAct.END, text, person, config)


@suspension.command("list")
def list_all(
    past: Annotated[bool, typer.Option("--past", help="Those that are over, too.")] = False,
    config: ConfigOption = None,
) -> None:
    """Show windows with who asked for them and who approved them, the newest first."""

    async def work(database: Database, _: Config) -> None:
        found = await list_suspensions(database, after=None if past else now())
        table = Table(
            "no.",
            "unit",
            "site",
            "source",
            "reason",
            "from",
            "until",
            "state",
            "asked by",
            "approved by",
            box=None,
        )
        for each in found:
            table.add_row(*_cells(each))
        console().print(table)
        say(f"{len(found)} suspensions")

    run(config, work)


def _act(number: int, what: SuspensionAct, text: str, person: str | None, config: ConfigOption) -> None:
    async def work(database: Database, _: Config) -> Suspension:
        return await act(database, number, Acted(what, now(), person_or_login(person), text))

    found = run(config, work)
    more = "; a second person must approve it" if found.state is SuspensionState.HALF_APPROVED else ""
    say(f"suspension {number}: {found.state}{more}")


def _cells(of: Suspension) -> tuple[str, ...]:
    window = of.window
    start, end = window.period.start.astimezone(LOCAL), window.period.end.astimezone(LOCAL)
    approvers = [acted.person for acted in of.acts if acted.act is SuspensionAct.APPROVE]
    source = "all" if of.source_id is None else of.gb_id or str(of.source_id)
    reason = str(window.reason) if window.hours is None else f"{window.reason} {window.hours}"
    if window.is_retroactive:
        reason += " (retroactive)"
    return (
        *(str(of.suspension_id), of.unit, of.site, source, reason),
        *(f"{start:%Y-%m-%d %H:%M}", f"{end:%Y-%m-%d %H:%M}", str(of.state)),
        *(window.requested_by, ", ".join(approvers) or "–"),
    )
