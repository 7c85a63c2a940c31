"""`muster publish`, `muster catalog`: the public catalog's editions, published, compared, signed and verified."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from catalog.database import Database
from catalog.edition_difference import EditionDifference, edition_difference
from catalog.jurisdictions import Jurisdiction
from catalog.proposals import Actor, approve, list_proposals, propose, reject, review
from catalog.public_rendering import public_document
from catalog.publication import (
    Imprint,
    NoPublicCatalog,
    PublicEntry,
    Published,
    compile_edition,
    fetch_public,
    list_editions,
    publish,
    withdraw_edition,
)
from catalog.reading import LOCAL
from catalog.signing import LARGEST, SignatureInvalid, fingerprint, verify
from gateway.cli.command import (
    ConfigOption,
    PersonOption,
    console,
    now,
    person_or_login,
    read_config,
    run,
    say,
    told,
)
from gateway.cli.proof import day_of
from gateway.config import Config
from gateway.opening import jurisdiction_of, open_signing_key

editions = typer.Typer(no_args_is_help=True, help="The published editions of the catalog.")

NumberArgument = Annotated[str, typer.Argument(help="Number of an edition, e.g. 990100-2026-001.")]


def publish_catalog(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Compile and count, publish nothing.")] = False,
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Compile the roll into an edition and publish it."""

    async def work(database: Database, settings: Config) -> None:
        law = settings.jurisdiction
        if law.second_approver and not dry_run:
            raise ValueError(
                "an edition needs a second person here: `muster catalog propose`, and let another one approve it"
            )
        draft = await compile_edition(database, jurisdiction_of(settings), at=now())
        if dry_run:
            say(
                f"{len(draft.entries)} entries, {len(draft.withheld)} site names withheld; nothing was published"
            )
            return
        imprint = Imprint(law.issued_by, law.contact, person_or_login(person))
        edition = await publish(database, draft, imprint, at=now())
        say(
            f"edition {edition.number} with {len(draft.entries)} entries is public, "
            f"in effect from {edition.effective_from}; {len(draft.withheld)} site names withheld"
        )

    run(config, work)


@editions.command("propose")
def propose_edition(
    effective_from: Annotated[
        str | None, typer.Option("--effective-from", help="Local day it takes effect; today by default.")
    ] = None,
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Compile the roll into an edition that another person approves, and say what he should look at."""

    async def work(database: Database, settings: Config) -> None:
        day = day_of(effective_from, "--effective-from") if effective_from is not None else None
        draft = await compile_edition(database, jurisdiction_of(settings), at=now(), effective_from=day)
        number = await propose(database, draft, Actor(person_or_login(person)), at=now())
        found = review(draft)
        say(f"proposal {number}: {found.entries} entries, in effect from {draft.effective_from}")
        for reason, count in found.withheld.items():
            say(f"site names withheld ({reason}): {count}")
        say(f"natural persons, not named: {found.natural_persons}; of sensitive classes: {found.sensitive}")
        say(f"due day still to come: {found.future_due}")
        say(f"another person publishes it: muster catalog approve {number} --person NAME")

    run(config, work)


@editions.command("proposals")
def proposals(config: ConfigOption = None) -> None:
    """List the proposed editions and what became of them."""

    async def work(database: Database, settings: Config) -> None:
        table = Table(
            "number", "in effect from", "entries", "by", "decision", "by", "edition", "why", box=None
        )
        for each in await list_proposals(database, jurisdiction_of(settings)):
            table.add_row(
                str(each.proposal_id),
                str(each.effective_from),
                str(each.entries),
                each.proposed_by,
                each.decision or "waits",
                each.decided_by or "",
                each.edition or "",
                each.reason or "",
            )
        console().print(table)

    run(config, work)


@editions.command("approve")
def approve_edition(
    number: Annotated[int, typer.Argument(help="Number of the proposal.")],
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Publish what somebody else proposed, if the roll still gives the same."""

    async def work(database: Database, settings: Config) -> None:
        law, who = settings.jurisdiction, person_or_login(person)
        imprint = Imprint(law.issued_by, law.contact, who)
        edition = await approve(database, jurisdiction_of(settings), number, Actor(who), imprint, at=now())
        say(f"edition {edition.number} is public, in effect from {edition.effective_from}")

    run(config, work)


@editions.command("reject")
def reject_edition(
    number: Annotated[int, typer.Argument(help="Number of the proposal.")],
    text: Annotated[str, typer.Option("--text", help="Why.")],
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Turn a proposal down; whoever made it may take it back so."""

    async def work(database: Database, settings: Config) -> None:
        who = Actor(person_or_login(person))
        await reject(database, jurisdiction_of(settings), number, who, text, at=now())
        say(f"proposal {number} is rejected")

    run(config, work)


@editions.command("list")
def list_all(config: ConfigOption = None) -> None:
    """Show the editions, the newest first; every earlier one stays."""

    async def work(database: Database, settings: Config) -> None:
        table = Table("number", "published", "in effect from", "until", "issued by", "withdrawn", box=None)
        for item in await list_editions(database, jurisdiction_of(settings)):
            published = f"{item.published_at.astimezone(LOCAL):%Y-%m-%d %H:%M}"
            until = str(item.effective_to or "")
            gone = f"{item.withdrawn_at.astimezone(LOCAL):%Y-%m-%d %H:%M}" if item.withdrawn_at else ""
            table.add_row(item.number, published, str(item.effective_from), until, item.issued_by, gone)
        console().print(table)

    run(config, work)


@editions.command("withdraw")
def withdraw(
    number: NumberArgument,
    text: Annotated[str, typer.Option("--text", help="The reason, which the public is told.")],
    person: PersonOption = None,
    config: ConfigOption = None,
) -> None:
    """Withdraw an edition: the one before counts again, and both stay readable."""

    async def work(database: Database, settings: Config) -> None:
        who = person_or_login(person)
        await withdraw_edition(database, jurisdiction_of(settings), number, reason=text, person=who, at=now())
        say(f"edition {number} is withdrawn")

    run(config, work)


@editions.command("diff")
def diff(earlier: NumberArgument, later: NumberArgument, config: ConfigOption = None) -> None:
    """Show which entries came, went and changed from one edition to another."""

    async def work(database: Database, settings: Config) -> EditionDifference:
        jurisdiction = jurisdiction_of(settings)
        first = await _published(database, jurisdiction, earlier)
        second = await _published(database, jurisdiction, later)
        return edition_difference(first.entries, second.entries)

    found = run(config, work)
    table = Table("", "entry", "holder", "site", "class", "due", "basis", "change", box=None)
    for mark, entries in (("+", found.added), ("-", found.removed)):
        for entry in entries:
            table.add_row(mark, *_cells(entry), "")
    for change in found.changed:
        words = "; ".join(
            f"{item.field}: {item.before or '–'} → {item.after or '–'}" for item in change.fields
        )
        table.add_row("~", *_cells(change.after), words)
    if table.row_count:
        console().print(table)
    say(
        f"{earlier} → {later}: added {len(found.added)}, removed {len(found.removed)}, "
        f"changed {len(found.changed)}, unchanged {found.unchanged}"
    )


@editions.command("sign")
def sign(
    number: NumberArgument,
    output: Annotated[Path, typer.Option(help="Write the signed document to this file.", dir_okay=False)],
    config: ConfigOption = None,
) -> None:
    """Write an edition as a signed JSON document (Ed25519), verifiable wherever it goes."""

    async def work(database: Database, settings: Config) -> None:
        view = await _published(database, jurisdiction_of(settings), number)
        key = open_signing_key(settings)
        try:
            output.write_bytes(key.sign(public_document(view)))
        except OSError as error:
            raise ValueError(f"{output}: {error.strerror}") from None
        say(f"{output}: edition {number}, {len(view.entries)} entries, key {fingerprint(key.public_key)}")

    run(config, work)


@editions.command("public-key")
def public_key(config: ConfigOption = None) -> None:
    """Print the public key that editions are signed with, for whoever verifies; made at first use."""
    say(told(lambda: open_signing_key(read_config(config))).public_key)


@editions.command("verify")
def verify_file(
    file: Annotated[Path, typer.Argument(help="From `muster catalog sign`.", exists=True, dir_okay=False)],
    key: Annotated[
        Path | None, typer.Option(help="File with the public key it must be of.", exists=True, dir_okay=False)
    ] = None,
) -> None:
    """Check a signed edition; needs neither the database nor a configuration."""

    def work() -> None:
        expected = key.read_text(encoding="ascii").strip() if key is not None else None
        with file.open("rb") as signed:
            found = verify(signed.read(LARGEST + 1), expected)
        match found.document:
            case {"edition": {"number": str(number)}, "entries": list(entries)}:
                pass
            case _:
                raise SignatureInvalid(f"{file}: signed, but no edition of a public catalog")
        say(f"{file}: edition {number}, {len(entries)} entries, unchanged since it was signed")
        say(
            f"key {found.fingerprint}: "
            + ("the one expected" if expected else "compare it with the publisher's")
        )

    told(work)


async def _published(database: Database, jurisdiction: Jurisdiction, number: str) -> Published:
    view = await fetch_public(database, jurisdiction, number)
    match view:
        case Published():
            return view
        case NoPublicCatalog() as none:
            raise ValueError(none.reason.en)
        case _:
            raise ValueError(
                f"no edition {number!r} of {jurisdiction.name}: `muster catalog list` shows the published ones"
            )


def _cells(entry: PublicEntry) -> tuple[str, ...]:
    site = entry.site_name or "–"
    return (str(entry.entry_id), entry.holder, site, entry.place_class, str(entry.due_on), entry.basis)
