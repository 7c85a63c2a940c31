"""`muster evidence`: the signed evidence sheet of a source, checked and printed wherever it goes."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from catalog.database import Database
from catalog.disputes import Asked, Objection, answer_dispute, list_disputes, raise_dispute
from catalog.evidence_sheet import Checked, check
from catalog.model.period import Period
from catalog.reading import LOCAL
from catalog.signing import LARGEST, Verified, fingerprint, verify
from gateway.cli.command import (
    ConfigOption,
    ExitCode,
    Language,
    PersonOption,
    console,
    person_or_login,
    run,
    say,
    told,
)
from gateway.cli.proof import FirstOption, LastOption, day_of, days, difference_table, settings_view
from gateway.config import Config
from gateway.console.evidence_page import evidence_page
from gateway.evidence_sheets import signed_sheet
from gateway.opening import open_signing_key

evidence = typer.Typer(no_args_is_help=True, help="Evidence sheets: made, checked, printed.")

FileArgument = Annotated[
    Path, typer.Argument(help="From `muster evidence sheet`.", exists=True, dir_okay=False)
]
InstantOption = Annotated[
    datetime | None,
    typer.Option(
        formats=["%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"],
        help="Shown running then, local time, 2026-11-01 08:00; entered within 24 h.",
    ),
]
KeyOption = Annotated[
    Path | None,
    typer.Option("--key", help="File with the public key it must be of.", exists=True, dir_okay=False),
]


@evidence.command("sheet")
def sheet(
    source: Annotated[int, typer.Argument(help="Number of the source.")],
    output: Annotated[Path, typer.Option(help="Write the signed sheet to this file.", dir_okay=False)],
    first: FirstOption = None,
    last: LastOption = None,
    config: ConfigOption = None,
) -> None:
    """Write everything that a source's status in a period rests on, signed (Ed25519)."""

    async def work(database: Database, settings: Config) -> None:
        since, until = days(first, last)
        signed = await signed_sheet(database, settings, settings_view(settings, ""), source, (since, until))
        if signed is None:
            raise ValueError(
                f"there is no source {source}: `muster report never-connected --format json` names some"
            )
        key = open_signing_key(settings)
        try:
            output.write_bytes(signed)
        except OSError as error:
            raise ValueError(f"{output}: {error.strerror}") from None
        say(f"{output}: source {source}, {since} to {until}, key {fingerprint(key.public_key)}")

    run(config, work)


@evidence.command("verify")
def verify_sheet(file: FileArgument, key: KeyOption = None) -> None:
    """Check a sheet's signature, and whether its states and seconds follow from its facts; needs nothing else."""

    def work() -> tuple[Verified, Checked]:
        verified = verified_file(file, key)
        return verified, check(verified.document)

    verified, checked = told(work)
    start, end = checked.period.start.astimezone(LOCAL), checked.period.end.astimezone(LOCAL)
    say(
        f"{file}: source {checked.code}, {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}, unchanged since it was signed"
    )
    say(f"key {verified.fingerprint}: " + ("the one expected" if key else "compare it with the publisher's"))
    if checked.holds:
        say(f"its states and seconds follow from its {checked.facts} facts")
        return
    if checked.differences:
        console().print(difference_table([("", checked.code, "", each) for each in checked.differences]))
    for name, (given, counted) in checked.miscounted.items():
        say(f"{name}: the sheet says {given / 1000:.3f} s, its facts tell {counted / 1000:.3f} s")
    raise typer.Exit(ExitCode.FOUND)


@evidence.command("print")
def print_sheet(
    file: FileArgument,
    output: Annotated[Path, typer.Option(help="Write the page to this file.", dir_okay=False)],
    language: Annotated[Language, typer.Option("--lang", help="Language of the page.")] = Language.ZH,
    key: KeyOption = None,
) -> None:
    """Write a sheet as one HTML page that prints on A4; its signature is checked before."""

    def work() -> None:
        verified = verified_file(file, key)
        page = evidence_page(verified, check(verified.document), language.value)
        try:
            output.write_text(page, encoding="utf-8")
        except OSError as error:
            raise ValueError(f"{output}: {error.strerror}") from None
        say(f"{output}: written")

    told(work)


@evidence.command("dispute")
def dispute(
    source: Annotated[int, typer.Argument(help="Number of the source.")],
    by: Annotated[str, typer.Option("--by", help="The unit that objects.")],
    text: Annotated[str, typer.Option("--text", help="What it objects to.")],
    first: Annotated[str, typer.Option("--first", help="First local day, 2026-11-01.")],
    last: Annotated[str, typer.Option("--last", help="Last local day, itself included.")],
    running_from: InstantOption = None,
    running_until: InstantOption = None,
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Enter a unit's objection: it stands on every sheet of these days, and nothing is ordered before its answer."""

    async def work(database: Database, settings: Config) -> None:
        shown = None
        if running_from is not None and running_until is not None:
            shown = Period(running_from.replace(tzinfo=LOCAL), running_until.replace(tzinfo=LOCAL))
        elif running_from is not None or running_until is not None:
            raise ValueError("--running-from and --running-until go together")
        objection = Objection(day_of(first, "--first"), day_of(last, "--last"), by, text, running=shown)
        view = settings_view(settings, "")
        found = await raise_dispute(database, view, source, objection, person=person_or_login(person))
        say(f"dispute {found.dispute_id} about source {source} is entered; somebody else answers it")

    run(config, work)


@evidence.command("answer")
def answer(
    number: Annotated[int, typer.Argument(help="Number of the dispute.")],
    text: Annotated[str, typer.Option("--text", help="The answer.")],
    upheld: Annotated[bool, typer.Option("--upheld/--rejected", help="Whether the objection is right.")],
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Answer an objection, once; whoever entered it does not."""

    async def work(database: Database, settings: Config) -> None:
        view, who = settings_view(settings, ""), person_or_login(person)
        await answer_dispute(database, view, number, is_upheld=upheld, text=text, person=who)
        say(f"dispute {number} is answered: {'upheld' if upheld else 'rejected'}")

    run(config, work)


@evidence.command("disputes")
def disputes(
    open_only: Annotated[bool, typer.Option("--open", help="Only those that are not answered.")] = False,
    config: ConfigOption = None,
) -> None:
    """What units object to, the newest first."""

    async def work(database: Database, settings: Config) -> None:
        table = Table("#", "source", "unit", "days", "objection", "answer", box=None)
        cursor: str | None = None
        while True:
            page = await list_disputes(
                database, settings_view(settings, ""), Asked(open_only=open_only), cursor=cursor
            )
            for each in page.items:
                settled = each.answer
                told_answer = "–" if settled is None else settled.text
                verdict = "" if settled is None else "upheld: " if settled.is_upheld else "rejected: "
                days_told = f"{each.objection.first} to {each.objection.last}"
                table.add_row(
                    *(str(each.dispute_id), str(each.source_id), each.unit, days_told),
                    *(f"{each.objection.raised_by}: {each.objection.text}", f"{verdict}{told_answer}"),
                )
            cursor = page.next_cursor
            if cursor is None:
                break
        console().print(table)

    run(config, work)


def verified_file(file: Path, key: Path | None) -> Verified:
    """Return a signed file whose signature holds.

    Raises:
        SignatureInvalid: it is not signed, was changed, or is of another key than that in the file `key`.
    """
    expected = key.read_text(encoding="ascii").strip() if key is not None else None
    with file.open("rb") as signed:
        return verify(signed.read(LARGEST + 1), expected)
