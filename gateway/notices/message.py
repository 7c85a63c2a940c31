"""A notice as it goes out: a JSON document for programs, a mail for people. No code, address or device is named."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

from catalog.model.notice import Digest, Place, Told
from catalog.notices import OverdueOrder, OverdueSite
from catalog.reading import LOCAL
from gateway.console.messages import text, word

KIND: Final = "muster notice"
FORM: Final = 1

MOST_LISTED: Final = 200
"""Sources, sites or orders of each list that are named; the rest is counted."""


@dataclass(frozen=True)
class Notice:
    """What one target is told at once."""

    notice_id: str
    "The same when it is sent again: who has it already can tell."
    gateway_id: str
    jurisdiction: str
    made_at: datetime
    digest: Digest
    overdue_sites: Sequence[OverdueSite] = ()
    overdue_orders: Sequence[OverdueOrder] = ()

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to tell."""
        return self.digest.is_empty and not self.overdue_sites and not self.overdue_orders


def document_of(notice: Notice) -> dict[str, object]:
    """Return the notice for programs."""
    of = notice.digest
    lists = {
        "offline": of.offline,
        "back": of.back,
        "interrupted": of.interrupted,
        "connected": of.connected,
    }
    return {
        "kind": KIND,
        "form": FORM,
        "id": notice.notice_id,
        "gateway": notice.gateway_id,
        "jurisdiction": notice.jurisdiction,
        "made_at": _instant(notice.made_at),
        "counts": {
            **{name: len(told) for name, told in lists.items()},
            "overdue_sites": len(notice.overdue_sites),
            "overdue_orders": len(notice.overdue_orders),
        },
        "incidents": [{"incident": each.name, "sources": each.sources} for each in of.incidents],
        **{name: [_told(each) for each in told[:MOST_LISTED]] for name, told in lists.items()},
        "overdue_sites": [
            {
                "site": each.site,
                "unit": each.unit,
                "class": each.place_class,
                "district": each.district,
                "due_on": each.due_on.isoformat(),
                "never_connected": each.never,
            }
            for each in notice.overdue_sites[:MOST_LISTED]
        ],
        "overdue_orders": [
            {
                "case": each.number,
                "site": each.site,
                "unit": each.unit,
                "district": each.district,
                "deadline": each.deadline.isoformat(),
            }
            for each in notice.overdue_orders[:MOST_LISTED]
        ],
    }


def subject_of(notice: Notice, language: str) -> str:
    """Return the subject of the mail: the counts, the worst first."""
    of = notice.digest
    counts = {
        "offline": len(of.offline),
        "overdue_sites": len(notice.overdue_sites),
        "overdue_orders": len(notice.overdue_orders),
        "interrupted": len(of.interrupted),
        "back": len(of.back),
        "connected": len(of.connected),
    }
    told = ", ".join(f"{text(f'notice.{name}', language)} {count}" for name, count in counts.items() if count)
    return f"[{text('product', language)}] {notice.jurisdiction}: {told}"


def body_of(notice: Notice, language: str) -> str:
    """Return the text of the mail."""
    of = notice.digest
    parts: list[str] = []
    for incident in of.incidents:
        parts.append(text("notice.incident", language).format(sources=incident.sources, name=incident.name))
    for name, told in (
        ("offline", of.offline),
        ("interrupted", of.interrupted),
        ("back", of.back),
        ("connected", of.connected),
    ):
        parts += _section(name, [_line(each, language) for each in told], language)
    parts += _section(
        "overdue_sites",
        [
            f"{each.site} · {each.unit} · {each.district} · {text('due_on', language)} {_day(each.due_on)} · "
            f"{text('never_connected', language)} {each.never}"
            for each in notice.overdue_sites
        ],
        language,
    )
    parts += _section(
        "overdue_orders",
        [
            f"{each.number} · {each.site} · {each.unit} · {text('deadline', language)} {_day(each.deadline)}"
            for each in notice.overdue_orders
        ],
        language,
    )
    made = f"{notice.made_at.astimezone(LOCAL):%Y-%m-%d %H:%M:%S}"
    parts.append(f"\n{text('times_local', language)} · {made} · {notice.gateway_id} · {notice.notice_id}")
    return "\n".join(parts).strip() + "\n"


def _section(name: str, lines: Sequence[str], language: str) -> list[str]:
    if not lines:
        return []
    listed = [f"  {line}" for line in lines[:MOST_LISTED]]
    if len(lines) > MOST_LISTED:
        listed.append(f"  {text('notice.more', language).format(count=len(lines) - MOST_LISTED)}")
    return [f"\n{text(f'notice.{name}', language)} ({len(lines)})", *listed]


def _line(told: Told, language: str) -> str:
    place = told.place
    parts = [
        f"{told.at.astimezone(LOCAL):%Y-%m-%d %H:%M:%S}",
        place.site,
        place.unit,
        place.district,
        f"#{place.source_id}",
        word(told.reason, language),
        text("suspended", language) if told.is_suspended else "",
        text("notice.changes", language).format(count=told.changes) if told.changes > 1 else "",
    ]
    return " · ".join(part for part in parts if part)


def _told(told: Told) -> dict[str, object]:
    return {
        **_place(told.place),
        "at": _instant(told.at),
        "reason": told.reason,
        "incident": told.incident,
        "changes": told.changes,
        "suspended": told.is_suspended,
    }


def _place(place: Place) -> dict[str, object]:
    return {
        "source": place.source_id,
        "site": place.site,
        "unit": place.unit,
        "class": place.place_class,
        "district": place.district,
    }


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _day(on: date) -> str:
    return on.isoformat()
