"""A stored report laid out for people: a head of labelled values, then tables, in Chinese or English.

What is printed and what a workbook holds is the same; both start here. Everything comes from the signed document.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import partial
from typing import Any, Final, TypeAlias

from catalog.period_report import ToldBy
from catalog.profiles.load import effective_profile
from catalog.reading import LOCAL
from catalog.report_document import lines_of, require_report
from catalog.signing import Verified
from gateway.console.messages import text, word
from gateway.console.rendering import SHAPES

Cell: TypeAlias = str | int | Decimal | date | datetime | None
"""What a cell holds; a `Share` is a share of 1."""

Said: TypeAlias = Callable[[str], str]


class Share(Decimal):
    """A rate; None stands where there is no number, never 0 of an empty denominator."""


@dataclass(frozen=True)
class Column:
    """A column: its heading and how wide it is beside the others."""

    heading: str
    width: int
    is_number: bool = False


@dataclass(frozen=True)
class ReportTable:
    """A table."""

    key: str
    "Short name, the sheet of a workbook."
    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    last_is_total: bool = False


@dataclass(frozen=True)
class LaidOut:
    """A report for people."""

    title: str
    number: str
    head: Sequence[tuple[str, str]]
    tables: Sequence[ReportTable]
    foot: Sequence[str]
    made_at: datetime
    language: str


_RATES: Final = (
    "access_rate",
    "online_rate",
    "online_rate_of_connected",
    "raw24_rate",
    "online_rate_by_count",
    "online_of_required",
    "intact_rate",
    "coverage",
)
_TIMES: Final = ("bound", "counted", "online", "intact", "offline", "never_connected")
_BY: Final = {"district": "district", "class": "by_class", "unit": "by_unit"}


def lay_out(verified: Verified, language: str) -> LaidOut:
    """Return a report whose signature holds, for people.

    Args:
        verified: the signed report.
        language: `zh` or `en`.

    Raises:
        SignatureInvalid: it is signed, but no report.
    """
    report = require_report(verified.document)
    say, read = partial(text, language=language), partial(word, language=language)
    made, scope, content = report["made"], report["scope"], report["content"]
    by_site = scope.get("told_by") == ToldBy.SITE
    number = _numbered(report, say)
    titles = _class_titles(made["profile"], language)
    tables = [
        *(_rates(by, content, titles, say) for by in _BY if by in content["rates"]),
        _time(content["all"]["milliseconds"], say, read),
        _never(lines_of(content["never_connected"]), say, read, by_site=by_site),
        _offline(lines_of(content["offline"]), say, by_site=by_site),
        *(
            (_removals(lines_of(content["suspected_removals"]), say),)
            if "suspected_removals" in content
            else ()
        ),
        *((_incidents(content["incidents"], say),) if "incidents" in content else ()),
        _not_seen(content["not_seen"], say, read),
    ]
    return LaidOut(
        title=f"{made['jurisdiction']['name']} {say('report_title')}",
        number=number,
        head=list(_head(made, scope, number, say)),
        tables=tables,
        foot=[
            say("report_terms"),
            f"Ed25519 {verified.fingerprint}",
            *([f"{say('report_supersedes')} {report['supersedes']}"] if report["supersedes"] else ()),
        ],
        made_at=_instant(made["at"]),
        language=language,
    )


def _numbered(report: Mapping[str, Any], say: Said) -> str:
    return f"{report['number']} {say('revision')} {report['revision']}"


def _head(
    made: Mapping[str, Any], scope: Mapping[str, Any], number: str, say: Said
) -> Iterator[tuple[str, str]]:
    yield say("report_number"), number
    until = _shown(_instant(scope["until"]))
    yield say("report_period"), f"{scope['first']} – {scope['last']} ({say('until')} {until})"
    yield say("region"), scope["region"] or say("everything")
    for name in ("class", "unit"):
        if scope.get(name):
            yield say(name), scope[name]
    if scope.get("edition"):
        yield say("listed_by"), scope["edition"]
    yield say("told_by"), say(f"told_by.{scope.get('told_by', ToldBy.SOURCE)}")
    yield say("report_edition"), made["edition"] or say("no_edition")
    yield say("profile"), made["profile"]
    yield say("made_at"), f"{_shown(_instant(made['at']))} · {made['by']} · Muster {made['muster']}"
    watermark = made["watermark"]
    yield say("watermark"), _shown(_instant(watermark)) if watermark else "–"
    waiting = made.get("quarantine")
    if waiting is not None:
        yield (
            say("report_quarantine"),
            f"{say('sightings')} {waiting['sightings']} · {say('quarantine')} {waiting['registrations']}",
        )
    if made["reason"]:
        yield say("revised_because"), made["reason"]


def _rates(by: str, content: Mapping[str, Any], titles: Mapping[str, str], say: Said) -> ReportTable:
    columns = (
        Column(say(_BY[by]), 30),
        Column(say("required"), 9, is_number=True),
        *(Column(say(rate), 10, is_number=True) for rate in _RATES),
        Column(say("outages"), 9, is_number=True),
        Column(say("counted_hours"), 12, is_number=True),
    )

    def row_of(row: Mapping[str, Any], label: str) -> Sequence[Cell]:
        mark = f" ({say('insufficient_data')})" if row["insufficient_data"] else ""
        shares = (row["rates"][rate] for rate in _RATES)
        return (
            f"{label}{mark}",
            row["required"],
            *(None if share is None else Share(share) for share in shares),
            row["outages"],
            _hours(row["milliseconds"]["counted"]),
        )

    rows = [
        row_of(row, f"{row['key']} {titles.get(row['key'], '')}".rstrip()) for row in content["rates"][by]
    ]
    total = [row_of(content["all"], say("all_together"))] if rows else []
    return ReportTable(
        f"rates_{by}", f"{say('rates')} ({say(_BY[by])})", columns, [*rows, *total], last_is_total=bool(rows)
    )


def _time(milliseconds: Mapping[str, Any], say: Said, read: Said) -> ReportTable:
    rows: list[Sequence[Cell]] = [(say(f"time_{name}"), _hours(milliseconds[name])) for name in _TIMES]
    rows += [
        (f"{say('time_excluded')}: {read(reason)}", _hours(time))
        for reason, time in milliseconds["excluded"].items()
    ]
    rows += [
        (say(f"time_{name}"), _hours(milliseconds[name]))
        for name in ("retroactive", "over_cap")
        if milliseconds[name]
    ]
    columns = (Column(say("counted_time"), 60), Column(say("device_hours"), 20, is_number=True))
    return ReportTable("time", say("counted_time"), columns, rows)


def _never(lines: Iterable[Mapping[str, Any]], say: Said, read: Said, *, by_site: bool) -> ReportTable:
    columns = (
        *_place_columns(say, by_site=by_site),
        Column(say("basis"), 10),
        Column(say("due_on"), 11),
        Column(say("days_overdue"), 9, is_number=True),
        Column(say("site_never"), 13, is_number=True),
        Column(say("site_seen"), 9, is_number=True) if by_site else Column(say("state"), 14),
    )

    def state(line: Mapping[str, Any]) -> Cell:
        if by_site:
            seen: int = line["site_seen"]
            return seen
        if line["hidden"]:
            return read(line["hidden"])
        shown = say("never_connected") if "substate" not in line else say(f"substate.{line['substate']}")
        return f"{SHAPES['never_connected']} {shown}"

    rows = [
        (
            *_place(line, by_site=by_site),
            line["basis"],
            date.fromisoformat(line["due_on"]),
            line["days_overdue"],
            f"{line['site_never_connected']} / {line['site_required']}",
            state(line),
        )
        for line in lines
    ]
    return ReportTable("never_connected", say("never_connected"), columns, rows)


def _offline(lines: Iterable[Mapping[str, Any]], say: Said, *, by_site: bool) -> ReportTable:
    columns = (
        *_place_columns(say, by_site=by_site),
        Column(say("outages"), 9, is_number=True),
        Column(say("offline_hours"), 11, is_number=True),
        Column(say("counted_hours"), 12, is_number=True),
        Column(say("online_at_end"), 13, is_number=True) if by_site else Column(say("offline_at_end"), 18),
    )

    def at_end(line: Mapping[str, Any]) -> Cell:
        if by_site:
            return f"{line['online']} / {line['required']}"
        return _instant(line["offline_since"]) if line["offline_since"] else None

    rows = [
        (
            *_place(line, by_site=by_site),
            line["outages"],
            _hours(line["offline_milliseconds"]),
            _hours(line["counted_milliseconds"]),
            at_end(line),
        )
        for line in lines
    ]
    return ReportTable("offline", say("offline_in_period"), columns, rows)


def _removals(lines: Iterable[Mapping[str, Any]], say: Said) -> ReportTable:
    columns = (
        *_place_columns(say),
        Column(say("offline_at_end"), 18),
        Column(say("days_offline"), 9, is_number=True),
    )
    rows = [(*_place(line), _instant(line["offline_since"]), line["days"]) for line in lines]
    return ReportTable("suspected_removals", say("suspected_removals"), columns, rows)


def _incidents(lines: Sequence[Mapping[str, Any]], say: Said) -> ReportTable:
    columns = (
        Column(say("incident"), 24),
        Column(say("silent_from"), 20),
        Column(say("decided_at"), 20),
        Column(say("fault"), 20),
        *(
            Column(say(name), 11, is_number=True)
            for name in ("were_silent", "lost_sources", "sites", "came_back")
        ),
    )
    rows = [
        (
            f"{line['gateway']} {line['name']}",
            _instant(line["silent_from"]),
            _instant(line["decided_at"]),
            f"{say('fault.' + line['fault'])} ({say('basis.' + line['basis'])})",
            *(line[name] for name in ("silent", "lost", "sites", "back")),
        )
        for line in lines
    ]
    return ReportTable("incidents", say("incidents"), columns, rows)


def _not_seen(lines: Sequence[Mapping[str, Any]], say: Said, read: Said) -> ReportTable:
    columns = (
        Column(say("cause"), 30),
        Column(say("since"), 20),
        Column(say("until"), 20),
        Column(say("sources_concerned"), 14, is_number=True),
    )
    rows = [
        (read(line["reason"]), _instant(line["from"]), _instant(line["until"]), line["sources"])
        for line in lines
    ]
    return ReportTable("not_seen", say("not_seen"), columns, rows)


def _place_columns(say: Said, *, by_site: bool = False) -> Sequence[Column]:
    return (
        *(() if by_site else (Column(say("source"), 8, is_number=True),)),
        Column(say("unit"), 24),
        Column(say("site"), 24),
        Column(say("by_class"), 11),
        Column(say("district"), 10),
    )


def _place(line: Mapping[str, Any], *, by_site: bool = False) -> Sequence[Cell]:
    place = (line["unit"], line["site"], line["class"], line["district"])
    return place if by_site else (line["source"], *place)


def _class_titles(profile: str, language: str) -> Mapping[str, str]:
    classes = effective_profile(*profile.split("+")).place_classes
    return {each.code: each.title.en if language == "en" else each.title.zh for each in classes}


def _hours(milliseconds: int) -> Decimal:
    return (Decimal(milliseconds) / 3_600_000).quantize(Decimal("0.01"))


def _instant(at: str) -> datetime:
    return datetime.fromisoformat(at).astimezone(LOCAL)


def _shown(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


def shown(cell: Cell) -> str:
    """Return a cell as people read it."""
    match cell:
        case None:
            return "–"
        case Share():
            return f"{cell * 100:.2f} %"
        case datetime():
            return _shown(cell)
        case date():
            return cell.isoformat()
        case _:
            return str(cell)
