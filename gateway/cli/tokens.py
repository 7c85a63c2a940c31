"""`muster token`: who may use the API and the operator's page."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from catalog.access import Role, Tokens
from catalog.database import Database
from catalog.reading import Region
from gateway.cli.command import ConfigOption, ExitCode, PersonOption, complain, console, now, run, say
from gateway.cli.trial import write_private
from gateway.config import Config

token = typer.Typer(no_args_is_help=True, help="Access tokens, each of one named person.")


@token.command("create")
def create(
    role: Annotated[Role, typer.Option(help="operator or police_status.")],
    person: PersonOption = None,
    region: Annotated[str, typer.Option(help="Prefix of the administrative code it may see; '' = all.")] = "",
    days: Annotated[
        int | None, typer.Option(min=1, max=3660, help="Days until it expires; none = never.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write it to this file (mode 0600), not to the screen.")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Make a token; it is shown this once."""
    if not person:
        complain("a token belongs to a named person: --person NAME")
        raise typer.Exit(ExitCode.USAGE)

    async def work(database: Database, _: Config) -> None:
        at = now()
        made, secret = await Tokens(database).create(
            person=person,
            role=role,
            region=Region(region),
            created_at=at,
            expires_at=at + timedelta(days=days) if days else None,
        )
        if output is None:
            say(secret.reveal())
        else:
            write_private(output, f"{secret.reveal()}\n", replace=True)
            say(f"token {made.prefix}… of {made.person} ({made.role}) is in {output}")

    run(config, work)


@token.command("list")
def list_all(config: ConfigOption = None) -> None:
    """Show all tokens, without their secret."""

    async def work(database: Database, _: Config) -> None:
        at = now()
        table = Table("id", "begins with", "person", "role", "region", "expires (UTC)", "valid", box=None)
        for row in await Tokens(database).list():
            table.add_row(
                str(row.token_id),
                row.prefix,
                row.person,
                row.role,
                row.region.prefix or "all",
                f"{row.expires_at:%Y-%m-%d %H:%M}" if row.expires_at else "never",
                "yes" if row.is_valid(at) else "no",
            )
        console().print(table)

    run(config, work)


@token.command("revoke")
def revoke(token_id: int, config: ConfigOption = None) -> None:
    """End a token now."""

    async def work(database: Database, _: Config) -> bool:
        return await Tokens(database).revoke(token_id, at=now())

    if not run(config, work):
        complain(f"there is no token {token_id}")
        raise typer.Exit(ExitCode.FOUND)
    say(f"token {token_id} is revoked")
