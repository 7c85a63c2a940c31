"""`muster status` and `muster report`: what is connected, what is offline, what never connected at all."""

import json
import sys
from contextlib import nullcontext
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated, Any, Final

import typer
from pydantic import BaseModel
from rich.table import Table

from catalog.database import Database
from catalog.day_closing import kept_days
from catalog.incidents import list_incidents
from catalog.rate_report import By, local_period, rate_report
from catalog.reading import LOCAL, Counts, NeverConnectedRow, OfflineRow, Page, Region, Selection
from catalog.reports import Reports, View
from catalog.selection import require_selection
from gateway.api import schemas
from gateway.api.export import MOST_ROWS, NEVER_CONNECTED, OFFLINE, Column, ReadPage, Sheet, write_file
from gateway.api.rate_schemas import RATES, RateAnswer, RatesAnswer, rates_answer
from gateway.cli.command import ConfigOption, ExitCode, Language, complain, console, now, run, say
from gateway.cli.proof import FirstOption, LastOption, days, settings_view
from gateway.config import Config
from gateway.opening import counting_rules

report = typer.Typer(no_args_is_help=True, help="Reports: never-connected, offline, rates.")

_PAGE: Final = 1000


class Form(StrEnum):
    """How a report is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    XLSX = "xlsx"


RegionOption = Annotated[str, typer.Option("--region", help="Prefix of the administrative code.")]
ClassOption = Annotated[
    str | None, typer.Option("--class", help="Only places of this class, such as WX8_07.")
]
UnitOption = Annotated[str | None, typer.Option("--unit", help="Only places of this unit, by its name.")]
EditionOption = Annotated[
    str | None, typer.Option("--edition", help="Only what this edition of the catalog lists, by its number.")
]
FormOption = Annotated[Form, typer.Option("--format", help="table, json, csv or xlsx.")]
OutputOption = Annotated[
    Path | None, typer.Option("--output", help="File to write; standard output otherwise.")
]
LanguageOption = Annotated[Language, typer.Option("--lang", help="Headings of csv and xlsx.")]


def status(region: RegionOption = "", config: ConfigOption = None) -> None:
    """Show the chain of counts: required, connected, online, offline, never connected."""

    async def work(database: Database, _: Config) -> None:
        view = View(now=now(), region=Region(region))
        districts = await Reports(database).counts(view)
        table = Table(
            *("district", "name", "required", "ever connected", "online", "degraded", "offline", "unknown"),
            *("suspended", "never connected", "online of required"),
            box=None,
        )
        for row in districts:
            table.add_row(row.district, row.name, *_chain(row.counts))
        if len(districts) != 1:
            table.add_row("all", "", *_chain(sum((row.counts for row in districts), Counts())))
        console().print(table)

    run(config, work)


async def _selected(database: Database, region: str, selection: Selection) -> View:
    await require_selection(database, selection)
    return View(now=now(), region=Region(region), selection=selection)


def _chain(counts: Counts) -> list[str]:
    share = counts.share(counts.online + counts.degraded)
    numbers = (
        *(counts.required, counts.connected_ever, counts.online, counts.degraded, counts.offline),
        *(counts.unknown, counts.suspended, counts.never_connected),
    )
    # No duty, no share: an empty denominator is "no data", never 0 %.
    return [*(str(number) for number in numbers), "–" if share is None else f"{share:.1%}"]


@report.command("never-connected")
def never_connected(
    region: RegionOption = "",
    place_class: ClassOption = None,
    unit: UnitOption = None,
    overdue: Annotated[bool, typer.Option("--overdue", help="Only what is overdue.")] = False,
    form: FormOption = Form.TABLE,
    output: OutputOption = None,
    language: LanguageOption = Language.ZH,
    config: ConfigOption = None,
) -> None:
    """Who must connect and never did, the longest due first."""

    async def work(database: Database, _: Config) -> None:
        view = await _selected(database, region, Selection(place_class, unit))

        async def read(cursor: str | None, limit: int) -> Any:
            return await Reports(database).never_connected(
                view, cursor=cursor, limit=limit, overdue_only=overdue
            )

        sheet = _sheet("never-connected", NEVER_CONNECTED, schemas.NeverConnectedAnswer, language)
        await _write(sheet, form, output, read, _never_table)

    run(config, work)


@report.command("offline")
def offline(
    region: RegionOption = "",
    place_class: ClassOption = None,
    unit: UnitOption = None,
    form: FormOption = Form.TABLE,
    output: OutputOption = None,
    language: LanguageOption = Language.ZH,
    config: ConfigOption = None,
) -> None:
    """What was connected and is offline now, the longest first."""

    async def work(database: Database, _: Config) -> None:
        view = await _selected(database, region, Selection(place_class, unit))

        async def read(cursor: str | None, limit: int) -> Any:
            return await Reports(database).offline(view, cursor=cursor, limit=limit)

        sheet = _sheet("offline", OFFLINE, schemas.OfflineAnswer, language)
        await _write(sheet, form, output, read, _offline_table)

    run(config, work)


@report.command("rates")
def rates(
    first: FirstOption = None,
    last: LastOption = None,
    by: Annotated[By, typer.Option("--by", help="What a row stands for.")] = By.DISTRICT,
    region: RegionOption = "",
    place_class: ClassOption = None,
    unit: UnitOption = None,
    edition: EditionOption = None,
    form: FormOption = Form.TABLE,
    output: OutputOption = None,
    language: LanguageOption = Language.ZH,
    config: ConfigOption = None,
) -> None:
    """Online, access and intact rates by every formula, with what was excluded and why."""

    async def work(database: Database, settings: Config) -> None:
        since, until = days(first, last)
        selection = Selection(place_class, unit, edition)
        await require_selection(database, selection)
        view = replace(settings_view(settings, region), selection=selection)
        period = local_period(since, until, view.now)
        found = await rate_report(database, view, period, by=by, rules=counting_rules(settings))
        answer = rates_answer(found, (since, until), most=MOST_ROWS)
        match form:
            case Form.TABLE:
                _no_output(output)
                console().print(_rates_table(answer))
                for line in _rates_notes(answer):
                    say(line)
            case Form.JSON:
                with _opened(output) as file:
                    text = json.dumps(answer.model_dump(mode="json"), ensure_ascii=False, indent=1)
                    file.write(f"{text}\n".encode())
            case Form.CSV | Form.XLSX:

                async def read(_cursor: str | None, _limit: int) -> Page[RateAnswer]:
                    return Page((*answer.items, answer.all.model_copy(update={"key": _ALL[language]})), None)

                await _write_file(_sheet("rates", RATES, RateAnswer, language), form, output, read)

    run(config, work)


@report.command("incidents")
def incidents(
    region: RegionOption = "",
    most: Annotated[int, typer.Option("--most", min=1, max=1000, help="So many at most.")] = 50,
    config: ConfigOption = None,
) -> None:
    """Sources that went silent together, the self-test's verdict, and what became of them; the newest first."""

    async def work(database: Database, settings: Config) -> None:
        page = await list_incidents(database, settings_view(settings, region), limit=most)
        table = Table(
            "incident", "silent from", "decided", "fault", "silent", "lost", "sites", "back", box=None
        )
        for row in page.items:
            found = row.incident
            times = (
                f"{at.astimezone(LOCAL):%Y-%m-%d %H:%M:%S}" for at in (found.silent_from, found.decided_at)
            )
            fault = f"{found.fault} ({found.basis})"
            table.add_row(
                *(f"{row.gateway_id} {found.name}", *times, fault),
                *(str(found.silent), str(row.lost), str(row.sites), str(row.back)),
            )
        console().print(table)

    run(config, work)


@report.command("days")
def closed_days(config: ConfigOption = None) -> None:
    """Which local days are closed: what rates of large regions are told from."""

    async def work(database: Database, _: Config) -> None:
        table = Table("day", "until", "sources", "cap of maintenance", "closed", box=None)
        for each in await kept_days(database):
            until = "its end" if each.is_over else f"{each.until.astimezone(LOCAL):%H:%M}"
            cap = each.maintenance_cap
            hours = "none" if cap is None else f"{cap.total_seconds() / 3600:g} h"
            closed_at = f"{each.closed_at.astimezone(LOCAL):%Y-%m-%d %H:%M}"
            table.add_row(str(each.day), until, str(each.sources), hours, closed_at)
        console().print(table)

    run(config, work)


_ALL: Final = {Language.ZH: "合计", Language.EN: "all"}


def _rates_table(answer: RatesAnswer) -> Table:
    table = Table(
        *(
            answer.by.value,
            "",
            "required",
            "counted h",
            "access",
            "online (adjusted)",
            "of connected",
            "24 h",
            "by count",
        ),
        *("of required", "intact", "coverage"),
        box=None,
    )
    for row in (*answer.items, answer.all):
        numbers = (
            *(row.access_rate, row.online_rate, row.online_rate_of_connected, row.raw24_rate),
            *(row.online_rate_by_count, row.online_of_required, row.intact_rate, row.coverage),
        )
        shares = ("–" if number is None else f"{number:.1%}" for number in numbers)
        hours = f"{row.counted_seconds / 3600:.2f}"
        table.add_row(row.key or "all", row.name, str(row.required), hours, *shares)
    return table


def _rates_notes(answer: RatesAnswer) -> list[str]:
    """Return what a reader of the rates must know beside them."""
    notes = [
        f"{answer.first} to {answer.last}, until {answer.until.astimezone(LOCAL):%Y-%m-%d %H:%M}; "
        f"computed {answer.as_of.astimezone(LOCAL):%Y-%m-%d %H:%M:%S}"
    ]
    if answer.stale_sites:
        notes.append(
            f"{answer.stale_sites} sites are to be counted anew: something was learned about a closed day"
        )
    if answer.watermark is not None:
        notes.append(f"seen and stored until {answer.watermark.astimezone(LOCAL):%Y-%m-%d %H:%M:%S}")
    excluded = answer.all.excluded.model_dump()
    notes += [
        f"not counted ({reason}): {seconds / 3600:.2f} device-hours"
        for reason, seconds in excluded.items()
        if seconds
    ]
    few = sum(row.insufficient_data for row in answer.items)
    if few:
        notes.append(f"insufficient data: {few} rows were seen for less than 95 % of the time")
    return notes


def _sheet(name: str, columns: tuple[Column, ...], model: type[BaseModel], language: Language) -> Sheet:
    return Sheet(name, columns, model, "zh" if language is Language.ZH else "en")


async def _write(sheet: Sheet, form: Form, output: Path | None, read: ReadPage, table_of: Any) -> None:
    match form:
        case Form.TABLE:
            _no_output(output)
            rows = await _all(read)
            console().print(table_of(rows))
            say(f"{len(rows)} sources")
        case Form.JSON:
            answers = [sheet.model.model_validate(row) for row in await _all(read)]
            text = json.dumps(
                [answer.model_dump(mode="json") for answer in answers], ensure_ascii=False, indent=1
            )
            with _opened(output) as file:
                file.write(f"{text}\n".encode())
        case Form.CSV | Form.XLSX:
            await _write_file(sheet, form, output, read)


def _no_output(output: Path | None) -> None:
    if output is not None:
        complain("a table goes to the screen: --format json, csv or xlsx with --output FILE")
        raise typer.Exit(ExitCode.USAGE)


async def _write_file(sheet: Sheet, form: Form, output: Path | None, read: ReadPage) -> None:
    if output is None and form is Form.XLSX and sys.stdout.isatty():
        complain("a workbook does not go to a terminal: --output FILE")
        raise typer.Exit(ExitCode.USAGE)
    with _opened(output) as file:
        await write_file(file, sheet, "csv" if form is Form.CSV else "xlsx", read)


def _opened(output: Path | None) -> Any:
    binary: IO[bytes] = sys.stdout.buffer
    return nullcontext(binary) if output is None else output.open("wb")


async def _all(read: ReadPage) -> list[Any]:
    rows: list[Any] = []
    cursor: str | None = None
    while True:
        page = await read(cursor, _PAGE)
        rows += page.items
        cursor = page.next_cursor
        if cursor is None:
            return rows


def _never_table(rows: list[NeverConnectedRow]) -> Table:
    table = Table("code", "unit", "site", "class", "due", "days overdue", "state", "why", box=None)
    for row in rows:
        table.add_row(
            row.gb_id or str(row.source_id),
            row.place.unit,
            row.place.site,
            row.place.place_class,
            row.due_on.isoformat(),
            str(row.days_overdue),
            row.substate,
            row.obstacle or "",
        )
    return table


def _offline_table(rows: list[OfflineRow]) -> Table:
    table = Table("code", "unit", "site", "offline since", "last evidence", "cause", box=None)
    for row in rows:
        last = row.last_positive_at
        table.add_row(
            row.gb_id or str(row.source_id),
            row.place.unit,
            row.place.site,
            f"{row.since.astimezone(LOCAL):%Y-%m-%d %H:%M:%S}",
            f"{last.astimezone(LOCAL):%Y-%m-%d %H:%M:%S}" if last else "",
            row.cause or "",
        )
    return table
