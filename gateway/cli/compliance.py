"""`muster compliance`: what people attest of systems, and what the rules of the decrees say of each."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from catalog.attestations import Claim, JudgedSystem, attest, attest_all, judged_systems
from catalog.database import Database
from catalog.fact_file import read_facts
from catalog.model.compliance import DAYS, NAMES, NUMBERS, WORDS, Fact, Finding, Verdict
from catalog.reading import local_day
from catalog.roll_problem import RollInvalid
from gateway.cli.command import ConfigOption, PersonOption, console, person_or_login, run, say
from gateway.cli.proof import settings_view
from gateway.config import Config

compliance = typer.Typer(no_args_is_help=True, help="Rules of the decrees, judged from attested facts.")


@compliance.command("list")
def list_all(
    region: Annotated[str, typer.Option(help="Prefix of the administrative code.")] = "",
    system: Annotated[int | None, typer.Option(help="Number of one system.")] = None,
    met: Annotated[bool, typer.Option("--met", help="What is met, too.")] = False,
    config: ConfigOption = None,
) -> None:
    """What the rules say of each system, with the article; without --met only what is not met."""

    async def work(database: Database, settings: Config) -> None:
        view = settings_view(settings, region)
        table = Table("system", "unit", "sites", "rule", "verdict", "article", "", box=None)
        cursor: str | None = None
        systems = 0
        while True:
            page = await judged_systems(database, view, cursor=cursor, system_id=system)
            for found in page.items:
                systems += 1
                for finding in found.findings:
                    if met or finding.verdict is not Verdict.MET:
                        table.add_row(*_cells(found, finding))
            cursor = page.next_cursor
            if cursor is None:
                break
        console().print(table)
        say(f"{systems} systems")

    run(config, work)


@compliance.command("attest")
def attest_fact(
    system: Annotated[int, typer.Argument(help="Number of the system.")],
    fact: Annotated[Fact, typer.Argument(help="What is attested.")],
    value: Annotated[str, typer.Argument(help="A day, a word or a name: see `muster compliance facts`.")],
    document: Annotated[str, typer.Option(help="The document that it rests on.")],
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Attest a fact of a system; the last attestation counts, and all of them are kept."""

    async def work(database: Database, settings: Config) -> None:
        view = settings_view(settings, "")
        found = await attest(database, view, system, Claim(fact, value, document, person_or_login(person)))
        say(f"attested of {found.unit}, {found.system}: {fact} {value}")

    run(config, work)


@compliance.command("attest-file")
def attest_file(
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV or XLSX: unit, system, fact, value, document (单位, 系统, 事实, 内容, 依据文件).",
            exists=True,
            dir_okay=False,
        ),
    ],
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Attest the facts of a file, a row each; all of them, or none where one is wrong."""
    data = file.read_bytes()

    async def work(database: Database, settings: Config) -> None:
        view = settings_view(settings, "")
        try:
            rows = await asyncio.to_thread(read_facts, data, local_day(view.now))
            systems = await attest_all(database, view, rows, person_or_login(person))
        except RollInvalid as error:
            table = Table("row", "column", "mistake", box=None)
            for each in error.problems:
                table.add_row(str(each.row), each.column, f"{each.message.zh} {each.message.en}")
            console().print(table)
            raise ValueError(f"{file.name}: {error.total} mistakes, nothing was attested") from None
        say(f"{len(rows)} facts of {systems} systems attested")

    run(config, work)


@compliance.command("facts")
def facts() -> None:
    """What can be attested, and how it is said."""
    table = Table("fact", "said as", box=None)
    for fact in Fact:
        if fact in DAYS:
            table.add_row(fact, "a day, 2026-11-01")
        elif fact in NUMBERS:
            table.add_row(fact, "a whole number, 30")
        else:
            table.add_row(fact, "a name" if fact in NAMES else ", ".join(WORDS[fact]))
    console().print(table)


def _cells(found: JudgedSystem, finding: Finding) -> tuple[str, ...]:
    sites = ", ".join(found.sites[:3]) + (f" and {found.site_count - 3} more" if found.site_count > 3 else "")
    told = [f"to be attested: {', '.join(finding.missing)}"] if finding.missing else []
    if finding.party is not None:
        told.append(finding.party)
    if finding.due_on is not None:
        told.append(f"by {finding.due_on}")
    return (
        *(str(found.system_id), found.unit, sites, finding.rule, finding.verdict, finding.requirement),
        "; ".join(told),
    )
