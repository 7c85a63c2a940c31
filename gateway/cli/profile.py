"""`muster profile`: what a decree decides, as it stands in the data, for people to read and check."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from catalog.model.due_dates import filing_due, removal_due
from catalog.model.profile import Band, Penalty, Profile, Rank, conflicts
from catalog.model.terms import Term, TermValue, Value, disagreements, said
from catalog.profiles.load import (
    ProfileError,
    effective_profile,
    load_profile,
    location_types,
    parse_profile,
    profile_names,
)
from gateway.cli.command import ExitCode, complain, console, say, told

profile = typer.Typer(no_args_is_help=True, help="The decrees as data: each value with its article.")

NameArgument = Annotated[str, typer.Argument(help=f"One of {', '.join(profile_names())}.")]
BaseOption = Annotated[str | None, typer.Option("--base", help="National profile laid under it.")]
DayOption = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="A local day.")]


@profile.command("show")
def show(name: NameArgument, base: BaseOption = None) -> None:
    """Print what a decree decides, and where texts of different rank disagree."""
    law = told(lambda: effective_profile(name, base))
    say(f"{law.name}: {law.title.zh} ({law.title.en})")
    checked = law.verified_in_force_on
    say(f"in force from {law.effective_from}; checked by a person: {checked or 'never'}")
    say(f"connection duty: {law.connection_duty} ({_ids(law.connection_requirements)})")
    catalog = law.public_catalog
    say(f"public catalog: {'yes' if catalog.is_enabled else 'no'} ({_ids(catalog.requirements)})")
    places = Table("class", "place", "article", title="must build", title_justify="left", box=None)
    for place in law.place_classes:
        places.add_row(place.code, place.title.zh, place.requirement)
    locations = Table(
        "location",
        "forbidden",
        "by name",
        "a person decides",
        title="forbidden",
        title_justify="left",
        box=None,
    )
    for location in law.forbidden_locations:
        locations.add_row(
            location.value, location.title.zh, _ids(location.named_by), _ids(location.catch_all_by)
        )
    periods = Table("counted from", "days", "article", title="periods", title_justify="left", box=None)
    for deadline in law.deadlines:
        periods.add_row(deadline.event, str(deadline.days), deadline.requirement)
    fines = Table(
        "offence", "when", "unit", "persons", "individual", "article", "rank",
        title="bands in yuan; the police decide, an amount is never proposed", title_justify="left", box=None,
    )  # fmt: skip
    for penalty in law.penalties:
        fines.add_row(*_penalty_cells(penalty))
    terms = Table("term", "value", "article", "rank", title="further terms", title_justify="left", box=None)
    for term in law.terms:
        terms.add_row(term.term, value_words(term.value), term.requirement, Rank(term.rank).name.lower())
    for table in (places, locations, periods, terms, fines):
        console().print(table)
    _say_conflicts(law)


@profile.command("check")
def check(
    files: Annotated[list[Path], typer.Argument(help="Profile files (TOML).", exists=True, dir_okay=False)],
) -> None:
    """Read profile files and print every mistake with its line; changes nothing."""
    failed = False
    for file in files:
        try:
            law = parse_profile(file.read_bytes(), location_types())
        except ProfileError as error:
            complain(f"{file}: {error}")
            failed = True
        else:
            say(f"{file}: {law.name}, {len(law.requirements)} provisions, nothing wrong")
    if failed:
        raise typer.Exit(ExitCode.FOUND)


@profile.command("compare")
def compare(first: NameArgument, second: NameArgument) -> None:
    """Print two decrees side by side."""
    one, other = told(lambda: (load_profile(first), load_profile(second)))
    table = Table("", one.name, other.name, box=None)
    for label, left, right in _compared(one, other):
        table.add_row(label, left, right)
    console().print(table)


@profile.command("due")
def due(
    name: NameArgument, base: BaseOption = None, in_use: DayOption = None, removal: DayOption = None
) -> None:
    """Count the statutory days for a system's own dates, the strictest first, each with its article."""
    law = told(lambda: effective_profile(name, base))
    if in_use is None and removal is None:
        complain("give --in-use DAY, --removal DAY or both, as YYYY-MM-DD")
        raise typer.Exit(ExitCode.USAGE)
    for day, what, count in ((in_use, "file", filing_due), (removal, "report the removal", removal_due)):
        if day is None:
            continue
        found = told(lambda count=count, day=day: count(law, day.date()))  # type: ignore[misc]
        for item in found:
            say(f"{what} by {item.on} ({item.deadline.requirement}, {item.deadline.days} days)")
        if not found:
            say(f"{law.name} sets no day by which to {what}")


def _compared(one: Profile, other: Profile) -> list[tuple[str, str, str]]:
    rows = [
        ("in force from", str(one.effective_from), str(other.effective_from)),
        ("rank", one.rank.name.lower(), other.rank.name.lower()),
        ("connection duty", one.connection_duty, other.connection_duty),
        (
            "public catalog",
            str(one.public_catalog.is_enabled).lower(),
            str(other.public_catalog.is_enabled).lower(),
        ),
        ("place classes", str(len(one.place_classes)), str(len(other.place_classes))),
    ]
    locations = dict.fromkeys(item.value for law in (one, other) for item in law.forbidden_locations)
    rows += [
        (f"forbidden: {value}", _location_cell(one, value), _location_cell(other, value))
        for value in locations
    ]
    events = dict.fromkeys(item.event for law in (one, other) for item in law.deadlines)
    for event in events:
        left, right = (
            "; ".join(
                f"{item.days} days ({item.requirement})" for item in law.deadlines if item.event is event
            )
            or "–"
            for law in (one, other)
        )
        rows.append((f"period: {event}", left, right))
    for term in Term:
        left, right = (
            "; ".join(term_words(item) for item in said(law.terms, term)) or "–" for law in (one, other)
        )
        rows.append((f"term: {term}", left, right))
    offences = dict.fromkeys(item.offence for law in (one, other) for item in law.penalties)
    for offence in offences:
        left, right = (
            "; ".join(penalty_words(item) for item in law.penalties if item.offence is offence) or "–"
            for law in (one, other)
        )
        rows.append((f"fine: {offence}", left, right))
    return rows


def _say_conflicts(law: Profile) -> None:
    for conflict in conflicts(law):
        lower = "; ".join(f"{penalty_words(item)} [superseded?]" for item in conflict.superseded)
        say(
            f"conflict, a lawyer decides: {conflict.offence}: {penalty_words(conflict.prevailing)} above {lower}"
        )

    for disagreement in disagreements(law.terms):
        lower = "; ".join(f"{term_words(item)} [superseded?]" for item in disagreement.superseded)
        say(
            f"conflict, a lawyer decides: {disagreement.term}: {term_words(disagreement.prevailing)} above {lower}"
        )
    layers = [load_profile(name) for name in law.layers]
    if len({layer.connection_duty for layer in layers}) > 1:
        duties = " against ".join(f"{layer.connection_duty} in {layer.name}" for layer in layers)
        say(f"conflict, a lawyer decides: connection duty: {duties}; each duty keeps its own basis")


def term_words(item: TermValue) -> str:
    """Return what a text says of a term, with its article."""
    return f"{value_words(item.value)} ({item.requirement})"


def value_words(value: Value) -> str:
    """Return a value in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(value) if isinstance(value, tuple) else str(value)


def _location_cell(law: Profile, value: str) -> str:
    location = law.forbidden_location(value)
    if location is None:
        return "–"
    return _ids(location.named_by) or f"a person decides ({_ids(location.catch_all_by)})"


def penalty_words(penalty: Penalty) -> str:
    """Return a penalty in one line: when, bands in yuan, article."""
    bands = (("unit", penalty.unit), ("persons", penalty.persons), ("individual", penalty.individual))
    told_bands = ", ".join(f"{who} {_band(band)}" for who, band in bands if band is not None)
    return f"{penalty.step} {told_bands or 'no fine'} ({penalty.requirement})"


def _penalty_cells(penalty: Penalty) -> tuple[str, ...]:
    return (
        penalty.offence,
        penalty.step,
        _band(penalty.unit),
        _band(penalty.persons),
        _band(penalty.individual),
        penalty.requirement,
        penalty.rank.name.lower(),
    )


def _band(band: Band | None) -> str:
    if band is None:
        return "–"
    return f"{band.least:,}-{band.most:,}" if band.least else f"up to {band.most:,}"


def _ids(requirements: tuple[str, ...]) -> str:
    return " ".join(requirements)
