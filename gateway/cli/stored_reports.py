"""`muster report store|revise|list|show|verify`: reports that are signed, numbered and never changed."""

from dataclasses import astuple, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from catalog.database import Database
from catalog.period_report import ToldBy
from catalog.reading import LOCAL, Page, Region, Selection
from catalog.report_document import require_report
from catalog.signing import verify
from catalog.stored_reports import ReportHead, list_reports, read_report
from gateway.cli.command import (
    ConfigOption,
    Language,
    PersonOption,
    console,
    person_or_login,
    run,
    say,
    told,
)
from gateway.cli.evidence import KeyOption, verified_file
from gateway.cli.proof import FirstOption, LastOption, days, settings_view
from gateway.cli.reports import ClassOption, EditionOption, RegionOption, UnitOption
from gateway.config import Config
from gateway.reporting.making import make_report, remake_report

_SHOWN = 1000


class Written(StrEnum):
    """How a stored report is written."""

    JSON = "json"
    PDF = "pdf"
    XLSX = "xlsx"


NumberArgument = Annotated[
    str, typer.Argument(help="Number of the report, as `muster report list` shows it.")
]


def store_report(
    first: FirstOption = None,
    last: LastOption = None,
    region: RegionOption = "",
    told_by: Annotated[
        ToldBy | None,
        typer.Option(
            "--by", help="A line for each source, or each site; by site in a region of over 100,000 sources."
        ),
    ] = None,
    place_class: ClassOption = None,
    unit: UnitOption = None,
    edition: EditionOption = None,
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Tell a period whole, sign it and store it under the next number; it never changes."""

    async def work(database: Database, settings: Config) -> ReportHead:
        selection = Selection(place_class, unit, edition)
        view = replace(settings_view(settings, region), selection=selection)
        who = person_or_login(person)
        return await make_report(database, settings, view, days(first, last), who, told_by)

    _say_stored(run(config, work))


def revise_report(
    number: NumberArgument,
    reason: Annotated[str, typer.Option(help="Why it is told anew; shown with the revision.")],
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Tell a stored report anew as its next revision; refused where nothing would change."""

    async def work(database: Database, settings: Config) -> ReportHead:
        view = settings_view(settings, "")
        who = person_or_login(person)
        return await remake_report(database, settings, view, number, person=who, reason=reason)

    _say_stored(run(config, work))


def list_stored_reports(region: RegionOption = "", config: ConfigOption = None) -> None:
    """List the stored reports, the newest first."""

    async def work(database: Database, _: Config) -> Page[ReportHead]:
        return await list_reports(database, Region(region), limit=_SHOWN)

    page = run(config, work)
    table = Table(
        *(
            "number",
            "revision",
            "region",
            "a line for each",
            "first",
            "last",
            "made",
            "by",
            "told anew because",
        ),
        box=None,
    )
    for head in page.items:
        table.add_row(
            head.number,
            str(head.revision),
            " ".join(filter(None, (head.region.prefix or "all", *astuple(head.selection)))),
            head.told_by.value,
            head.first.isoformat(),
            head.last.isoformat(),
            f"{head.made_at.astimezone(LOCAL):%Y-%m-%d %H:%M}",
            head.made_by,
            head.reason or "",
        )
    console().print(table)
    if page.next_cursor is not None:
        say(f"the newest {_SHOWN}; there are more: name a --region")


def show_report(
    number: NumberArgument,
    output: Annotated[Path, typer.Option(help="Write the report to this file.", dir_okay=False)],
    revision: Annotated[int | None, typer.Option(help="The last one by default.")] = None,
    form: Annotated[
        Written, typer.Option("--format", help="pdf, xlsx, or json: the signed document.")
    ] = Written.PDF,
    language: Annotated[Language, typer.Option("--lang", help="Language of pdf and xlsx.")] = Language.ZH,
    config: ConfigOption = None,
) -> None:
    """Write a stored report as PDF for printing, as workbook, or as the signed document itself."""

    async def work(database: Database, settings: Config) -> None:
        head, signed = await read_report(database, Region(), number, revision)
        try:
            output.write_bytes(_written(signed, form, language, settings.reports.font))
        except OSError as error:
            raise ValueError(f"{output}: {error.strerror}") from None
        say(f"{output}: {head.number} revision {head.revision}")

    run(config, work)


def _written(signed: bytes, form: Written, language: Language, font: Path) -> bytes:
    # Here, so that the other commands need not load what draws pages.
    from gateway.reporting.pdf import write_pdf
    from gateway.reporting.tables import lay_out
    from gateway.reporting.workbook import write_workbook

    match form:
        case Written.JSON:
            return signed
        case Written.PDF:
            return write_pdf(lay_out(verify(signed), language.value), font)
        case Written.XLSX:
            return write_workbook(lay_out(verify(signed), language.value))


def verify_report(
    file: Annotated[
        Path, typer.Argument(help="From `muster report show --format json`.", exists=True, dir_okay=False)
    ],
    key: KeyOption = None,
) -> None:
    """Check the signature of a stored report; needs nothing but the file."""

    def work() -> None:
        verified = verified_file(file, key)
        found = require_report(verified.document)
        scope = found["scope"]
        say(
            f"{file}: {found['number']} revision {found['revision']}, {scope['first']} to {scope['last']}, "
            "unchanged since it was signed"
        )
        say(
            f"key {verified.fingerprint}: "
            + ("the one expected" if key else "compare it with the publisher's")
        )

    told(work)


def _say_stored(head: ReportHead) -> None:
    say(f"{head.number} revision {head.revision}: {head.first} to {head.last}, signed and stored")
    say(f"muster report show {head.number} --output report.pdf prints it")
