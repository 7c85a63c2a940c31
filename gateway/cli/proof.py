"""`muster recompute`: is what was stored live what the evidence tells?"""

import statistics
from collections.abc import Sequence
from datetime import date
from typing import Annotated

import typer
from rich.table import Table

from catalog.database import Database
from catalog.model.history import Difference
from catalog.model.period import Period
from catalog.proof import Proof, prove
from catalog.rate_report import local_period, report_days
from catalog.reading import LOCAL, Region, local_day
from catalog.reports import View
from gateway.cli.command import ConfigOption, ExitCode, console, now, run, say
from gateway.config import Config

FirstOption = Annotated[
    str | None, typer.Option("--first", help="First local day, 2026-11-01; 29 days ago by default.")
]
LastOption = Annotated[
    str | None, typer.Option("--last", help="Last local day, itself included; today by default.")
]

_SHOWN = 50


def days(first: str | None, last: str | None) -> tuple[date, date]:
    """Return the days of a report; without any the last ones, today among them.

    Raises:
        ValueError: not a day.
    """
    until = day_of(last, "--last") if last is not None else None
    since = day_of(first, "--first") if first is not None else None
    return report_days(since, until, local_day(now()))


def settings_view(settings: Config, region: str) -> View:
    """Return the view of a region now, by the configuration's rule of when a silent gateway counts as blind."""
    return View(now=now(), region=Region(region), stale_after=settings.status.stale_after)


def day_of(text: str, option: str) -> date:
    """Return a day that somebody typed.

    Raises:
        ValueError: it is none; the message names the option.
    """
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{option}: {text!r} is no day, write 2026-11-30") from None


def recompute(
    region: Annotated[str, typer.Option("--region", help="Prefix of the administrative code.")] = "",
    source: Annotated[int | None, typer.Option("--source", help="Only this source, by its number.")] = None,
    first: FirstOption = None,
    last: LastOption = None,
    config: ConfigOption = None,
) -> None:
    """Tell the status history anew from the evidence and compare it with what is stored, second by second."""

    async def work(database: Database, settings: Config) -> Proof:
        view = settings_view(settings, region)
        period = local_period(*days(first, last), view.now)
        return await prove(database, view, period, source_id=source)

    proof = run(config, work)
    if source is not None and not proof.sources:
        raise typer.Exit(_nothing(source, proof.period))
    _show(proof)
    if not proof.holds:
        raise typer.Exit(ExitCode.FOUND)


def _nothing(source: int, period: Period) -> ExitCode:
    say(f"source {source} did not exist between {_local(period)}")
    return ExitCode.FOUND


def _show(proof: Proof) -> None:
    if proof.found:
        rows = [
            (str(each.source_id), each.gb_id or "", each.site, each.difference)
            for each in proof.found[:_SHOWN]
        ]
        console().print(difference_table(rows))
    say(f"{_local(proof.period)}: {proof.sources} sources, {proof.facts} facts")
    say(
        f"differing sources {proof.differing}, wrongly stored {proof.false_time.total_seconds():.3f} s, "
        f"not stored {proof.missing_time.total_seconds():.3f} s"
    )
    for reason, seconds in proof.unknown_per_device_hour().items():
        say(f"could not see ({reason}): {seconds:.3f} s of each device-hour")
    for what, delays in (("to detect a loss", proof.detection), ("to detect a return", proof.correction)):
        if delays:
            say(f"{what}: {_quantiles(delays)} ({len(delays)})")


def difference_table(rows: Sequence[tuple[str, str, str, Difference]]) -> Table:
    """Return a table of differences, each with its source's number, code and site."""
    table = Table("source", "code", "site", "from", "until", "stored", "the evidence tells", box=None)
    for number, code, site, difference in rows:
        period = difference.period
        table.add_row(
            number,
            code,
            site,
            f"{period.start.astimezone(LOCAL):%Y-%m-%d %H:%M:%S.%f}",
            f"{period.end.astimezone(LOCAL):%Y-%m-%d %H:%M:%S.%f}",
            difference.stored or "nothing",
            difference.told or "nothing",
        )
    return table


def _local(period: Period) -> str:
    start, end = period.start.astimezone(LOCAL), period.end.astimezone(LOCAL)
    return f"{start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"


def _quantiles(delays: Sequence[float]) -> str:
    ordered = sorted(delays)
    almost = ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
    return (
        f"median {statistics.median(ordered):.1f} s, 95 % within {almost:.1f} s, longest {ordered[-1]:.1f} s"
    )
