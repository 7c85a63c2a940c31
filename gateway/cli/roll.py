"""`muster roll`, `muster check`: the roll in, the database verified."""

import asyncio
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from catalog.check import INVARIANTS, check
from catalog.database import Database
from catalog.jurisdictions import load_jurisdictions
from catalog.roll_file import RollInvalid, read_roll
from catalog.roll_import import ImportOrder, RollDifference, apply_import, plan_import
from gateway.cli.command import (
    ConfigOption,
    ExitCode,
    PersonOption,
    complain,
    console,
    now,
    person_or_login,
    run,
    say,
)
from gateway.config import Config

roll = typer.Typer(no_args_is_help=True, help="The roll of sources that must connect.")

_SHOWN = 50
"""Rows of a difference or problems of a file that are printed; the rest is counted."""


@roll.command("import")
def import_roll(
    file: Annotated[Path, typer.Argument(help="CSV or XLSX.", exists=True, dir_okay=False)],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")
    ] = False,
    allow_mass_retirement: Annotated[
        bool, typer.Option(help="The file really is meant to retire most of the roll.")
    ] = False,
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Bring the catalog up to the file: all of it, or nothing."""

    async def work(database: Database, settings: Config) -> RollDifference:
        jurisdictions = await load_jurisdictions(database)
        rows = await asyncio.to_thread(lambda: read_roll(file.read_bytes(), jurisdictions))
        if dry_run:
            return await plan_import(database, rows, jurisdictions)
        order = ImportOrder(
            gateway_id=settings.gateway.id,
            imported_by=person_or_login(person),
            at=now(),
            allow_mass_retirement=allow_mass_retirement,
        )
        return await apply_import(database, rows, jurisdictions, order)

    async def told(database: Database, settings: Config) -> RollDifference | None:
        try:
            return await work(database, settings)
        except RollInvalid as error:
            for problem in error.problems[:_SHOWN]:
                complain(str(problem))
            if error.total > _SHOWN:
                complain(f"… and {error.total - _SHOWN} more")
            return None

    difference = run(config, told)
    if difference is None:
        raise typer.Exit(ExitCode.FOUND)
    _print_difference(difference, dry_run=dry_run)


def _print_difference(difference: RollDifference, *, dry_run: bool) -> None:
    if dry_run:
        table = Table("", "unit", "site", "code", "change", box=None)
        for row in difference.added[:_SHOWN]:
            table.add_row("+", row.unit, row.site, str(row.gb_id or ""), "")
        for change in difference.changed[:_SHOWN]:
            words = "; ".join(f"{f.column}: {f.before or '–'} → {f.after or '–'}" for f in change.fields)
            table.add_row("~", change.row.unit, change.row.site, str(change.row.gb_id or ""), words)
        for gone in difference.retired[:_SHOWN]:
            table.add_row("-", gone.unit, gone.site, gone.gb_id or "", "retired")
        console().print(table)
    if dry_run:
        say("nothing was changed; an import would do this:")
    say(
        f"added {len(difference.added)}, changed {len(difference.changed)}, retired {len(difference.retired)}, "
        f"unchanged {difference.unchanged}"
    )
    if difference.rejected:
        say(f"{len(difference.rejected)} rows have a location that the law forbids: they are never relayed")


def check_database(config: ConfigOption = None) -> None:
    """Verify the invariants of the live database."""

    async def work(database: Database, _: Config) -> int:
        findings = await check(database)
        for finding in findings:
            say(f"{finding.subject}: {finding.text}  (must hold: {finding.invariant})")
        say(f"{len(INVARIANTS)} invariants checked, {len(findings)} findings")
        return len(findings)

    if run(config, work):
        raise typer.Exit(ExitCode.FOUND)
