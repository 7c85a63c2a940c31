"""`muster case`: who must connect and never did, from a candidate to the end of the case (WX-21, WX-34)."""

from collections.abc import Mapping
from typing import Annotated

import typer
from rich.table import Table

from catalog.cases import Candidate, Case, NoSuchCase, candidates, list_cases, open_case, take_step
from catalog.database import Database
from catalog.model.case import CaseStep, Standing, allowed
from catalog.model.profile import Offence, Profile, conflicts
from catalog.profiles.load import effective_profile
from catalog.reading import LOCAL
from gateway.cli.command import ConfigOption, PersonOption, console, now, person_or_login, run, say
from gateway.cli.profile import penalty_words
from gateway.cli.proof import settings_view
from gateway.config import Config
from gateway.opening import connected_when, jurisdiction_of

case = typer.Typer(no_args_is_help=True, help="Cases of what must connect and never did.")

NumberArgument = Annotated[str, typer.Argument(help="Number of the case, e.g. 990100-2026-C0001.")]
RegionOption = Annotated[str, typer.Option("--region", help="Prefix of the administrative code.")]
TextOption = Annotated[str, typer.Option("--text", help="Reason, answer or outcome, in words.")]
ByOption = Annotated[
    str, typer.Option("--by", help="Who raises it: the unit's person, or the operator for it.")
]
OrganOption = Annotated[str, typer.Option("--organ", help="The police organ whose act it is.")]
DeadlineOption = Annotated[str, typer.Option("--deadline", help="Last day to fulfil the order, 2026-12-31.")]
DocumentOption = Annotated[str, typer.Option("--document", help="Number of the document.")]


@case.command("find")
def find(
    opening: Annotated[bool, typer.Option("--open", help="Open a case for each that may have one.")] = False,
    region: RegionOption = "",
    config: ConfigOption = None,
) -> None:
    """Find sites that are overdue with sources that never connected, and have no open case."""

    async def work(database: Database, settings: Config) -> None:
        view = settings_view(settings, region)
        found = await candidates(database, view, rule=connected_when(settings))
        console().print(_candidates(found))
        opened = []
        if opening:
            for candidate in found:
                if candidate.could_accept:
                    number = await open_case(database, candidate, at=view.now)
                    opened += [number] if number else []
        say(
            f"{len(found)} sites, {sum(not each.could_accept for each in found)} of them not yet: the platform could "
            f"not have accepted a connection for a day without a break"
        )
        if opening:
            say(f"opened {len(opened)}: {', '.join(opened) or '–'}")

    run(config, work)


@case.command("list")
def list_all(
    every: Annotated[bool, typer.Option("--all", help="Those that have ended, too.")] = False,
    region: RegionOption = "",
    config: ConfigOption = None,
) -> None:
    """Show cases as they stand today, the newest first."""

    async def work(database: Database, settings: Config) -> None:
        table = Table("number", "unit", "site", "state", "deadline", "days past", "next", box=None)
        shown = await list_cases(database, settings_view(settings, region), with_ended=every)
        for each in shown:
            table.add_row(each.number, each.unit, each.site, *_standing_cells(each.standing))
        console().print(table)
        say(f"{len(shown)} cases")

    run(config, work)


@case.command("show")
def show(number: NumberArgument, config: ConfigOption = None) -> None:
    """Show a case whole: its evidence, its steps, where it stands, and what the texts threaten."""

    async def work(database: Database, settings: Config) -> None:
        found = await list_cases(database, settings_view(settings, ""), number=number)
        if not found:
            raise NoSuchCase(f"there is no case {number!r}: `muster case list` shows them")
        _show(found[0])
        here = jurisdiction_of(settings)
        _show_bands(effective_profile(here.profile, here.base_profile))

    run(config, work)


@case.command("verify")
def verify(
    number: NumberArgument,
    addressee: Annotated[str, typer.Option(help="The responsible unit that an order would be addressed to.")],
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Confirm a candidate: a person has looked at the evidence."""
    _take(number, CaseStep.VERIFY, {"addressee": addressee}, person, config)


@case.command("dispute")
def dispute(
    number: NumberArgument,
    by: ByOption,
    text: TextOption,
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Enter the unit's objection; nothing is ordered until it is answered."""
    _take(number, CaseStep.DISPUTE, {"by": by, "text": text}, person, config)


@case.command("answer")
def answer(
    number: NumberArgument, text: TextOption, person: PersonOption = None, config: ConfigOption = None
) -> None:
    """Answer the objection; the case is a candidate again, to be verified anew or withdrawn."""
    _take(number, CaseStep.ANSWER, {"text": text}, person, config)


@case.command("order")
def order(
    number: NumberArgument,
    organ: OrganOption,
    order_number: Annotated[str, typer.Option(help="Number of the written order.")],
    served_on: Annotated[str, typer.Option(help="Day on which it was served, 2026-11-30.")],
    deadline: DeadlineOption,
    items: Annotated[str, typer.Option(help="What is to be corrected.")],
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Enter the police's order to connect by a day; the day is theirs, never computed."""
    detail = {
        "organ": organ,
        "order_number": order_number,
        "served_on": served_on,
        "deadline": deadline,
        "items": items,
    }
    _take(number, CaseStep.ORDER, detail, person, config)


@case.command("extend")
def extend(
    number: NumberArgument,
    organ: OrganOption,
    deadline: DeadlineOption,
    document: DocumentOption,
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Enter a later day that the police granted."""
    _take(
        number, CaseStep.EXTEND, {"organ": organ, "deadline": deadline, "document": document}, person, config
    )


@case.command("appeal")
def appeal(
    number: NumberArgument,
    by: ByOption,
    text: TextOption,
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Enter an appeal against the order; it freezes every onward step."""
    _take(number, CaseStep.APPEAL, {"by": by, "text": text}, person, config)


@case.command("resume")
def resume(
    number: NumberArgument,
    organ: OrganOption,
    text: TextOption,
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Enter that the appeal was decided and the order stands."""
    _take(number, CaseStep.RESUME, {"organ": organ, "text": text}, person, config)


@case.command("rectify")
def rectify(
    number: NumberArgument, organ: OrganOption, person: PersonOption = None, config: ConfigOption = None
) -> None:
    """Enter that the order was fulfilled; refused unless every required source has been connected for a day."""
    _take(number, CaseStep.RECTIFY, {"organ": organ}, person, config)


@case.command("refer")
def refer(
    number: NumberArgument,
    organ: OrganOption,
    document: DocumentOption,
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Enter that an overdue case was referred for a penalty; an amount is never proposed here."""
    _take(number, CaseStep.REFER, {"organ": organ, "document": document}, person, config)


@case.command("withdraw")
def withdraw(
    number: NumberArgument, text: TextOption, person: PersonOption = None, config: ConfigOption = None
) -> None:
    """Withdraw a case, with the reason; it stays on record."""
    _take(number, CaseStep.WITHDRAW, {"text": text}, person, config)


@case.command("close")
def close(
    number: NumberArgument, text: TextOption, person: PersonOption = None, config: ConfigOption = None
) -> None:
    """Close a case that was rectified or referred, with its outcome."""
    _take(number, CaseStep.CLOSE, {"text": text}, person, config)


def _take(
    number: str, step: CaseStep, detail: Mapping[str, str], person: str | None, config: ConfigOption
) -> None:
    async def work(database: Database, _: Config) -> Standing:
        who = person_or_login(person)
        return await take_step(database, number, step, at=now(), person=who, detail=detail)

    found = run(config, work)
    state, deadline, past, following = _standing_cells(found)
    say(f"{number}: {state}, deadline {deadline}, days past {past}; next: {following}")


def _standing_cells(of: Standing) -> tuple[str, str, str, str]:
    following = ", ".join(allowed(of.state)) or "–"
    return (of.state, str(of.deadline or "–"), str(of.days_overdue or "–"), following)


def _candidates(found: list[Candidate]) -> Table:
    table = Table("unit", "site", "due", "days overdue", "never connected", "could accept for", box=None)
    for each in found:
        hours = f"{each.longest_seen.total_seconds() / 3600:.1f} h"
        never = f"{each.never} of {each.required}"
        table.add_row(each.unit, each.site, str(each.due_on), str(each.days_overdue), never, hours)
    return table


def _show(found: Case) -> None:
    state, deadline, past, following = _standing_cells(found.standing)
    say(f"{found.number}: {state}; deadline {deadline}, days past {past}; next: {following}")
    say(f"{found.unit}, {found.site} ({found.district}); due {found.due_on} ({found.basis})")
    say(f"addressee: {found.standing.addressee or '–'}")
    table = Table(
        "source", "code", "state", "seen", "in the way", title="evidence", title_justify="left", box=None
    )
    for row in found.evidence["sources"]:
        seen, obstacle = row["seen_at"] or "–", row["obstacle"] or "–"
        table.add_row(str(row["number"]), row["code"] or "–", row["state"], seen, obstacle)
    console().print(table)
    stands = found.evidence.get("connected")
    if stands is not None:
        say(
            f"connected: {stands['connected']} of {stands['required']} required sources, {stands['needed']} needed "
            f"({stands['when']})"
        )
    platform = found.evidence["platform"]
    say(
        f"found {found.opened_at.astimezone(LOCAL):%Y-%m-%d %H:%M}; the platform could have accepted a connection for "
        f"{platform['longest_without_break_seconds'] / 3600:.1f} h without a break"
    )
    say(
        f"SHA-256 {found.evidence_sha256}: " + ("unchanged" if found.is_sound else "THE EVIDENCE WAS CHANGED")
    )
    steps = Table("when", "step", "entered by", "", title="steps", title_justify="left", box=None)
    for taken in found.steps:
        words = "; ".join(f"{name}: {text}" for name, text in taken.detail.items())
        steps.add_row(f"{taken.at.astimezone(LOCAL):%Y-%m-%d %H:%M}", taken.step, taken.person, words)
    console().print(steps)


def _show_bands(law: Profile) -> None:
    lower = {penalty for conflict in conflicts(law) for penalty in conflict.superseded}
    for penalty in law.penalties:
        if penalty.offence is Offence.NOT_CONNECTED:
            rank = f"{penalty.rank.name.lower()} rank"
            say(
                f"{penalty_words(penalty)}; {rank}"
                + (", superseded by a higher text" if penalty in lower else "")
            )
    say("the police decide; an amount is never proposed")
