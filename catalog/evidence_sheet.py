"""The evidence sheet of one source and period: everything its status follows from, to be signed and checked anywhere.

The sheet holds the dated facts themselves, so whoever has it can tell the history anew and count its seconds again,
without Muster's database: `check` does. It names no address, endpoint, device or position (WX-29.1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from catalog.disputes import Dispute
from catalog.histories import FOREVER, SourceHistory
from catalog.jurisdictions import Jurisdiction
from catalog.model.connectivity import State
from catalog.model.display import SuspendedReason, UnknownReason
from catalog.model.history import Difference, Fact, Span, differences, recompute
from catalog.model.late import revised
from catalog.model.period import Period
from catalog.model.rates import CountingRules, Duty, Laid, account
from catalog.reading import LOCAL
from catalog.signed_parts import MILLISECOND, cap_of, instant_text, milliseconds_of
from catalog.signing import Document, SignatureInvalid

KIND: Final = "muster evidence sheet"
FORM: Final = 3
"""Of the sheets that are made; form 1, without disputes and late evidence, and form 2, without what other
gateways saw, are read as well."""

_READ: Final = (1, 2, FORM)

EVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True)
class Made:
    """Under which circumstances a sheet was made."""

    at: datetime
    first: date
    last: date
    watermark: datetime | None
    "Until when the gateway had seen and stored."
    muster: str
    "Version."
    rules: CountingRules


def evidence_sheet(
    history: SourceHistory,
    period: Period,
    jurisdiction: Jurisdiction,
    made: Made,
    disputes: Sequence[Dispute] = (),
) -> Document:
    """Return the sheet of a source: text, whole numbers and lists alone, as a signature needs it.

    Args:
        history: with its facts.
        period: what the sheet is about; facts are told from the source's birth on, for the state rests on them.
        jurisdiction: whose catalog.
        made: when, of which days and by what.
        disputes: what the unit objects to of these days.
    """
    facts = [fact for fact in history.facts if fact.at < period.end]
    laid = history.laid(period.end)
    return {
        "kind": KIND,
        "form": FORM,
        "made": {
            "at": instant_text(made.at),
            "watermark": instant_text(made.watermark),
            "muster": made.muster,
            "jurisdiction": {"civil_code": jurisdiction.district, "name": jurisdiction.name},
            "maintenance_cap_milliseconds": cap_of(made.rules),
        },
        "period": {
            "first": made.first.isoformat(),
            "last": made.last.isoformat(),
            "from": instant_text(period.start),
            "until": instant_text(period.end),
        },
        "source": {
            "number": history.source_id,
            "code": history.gb_id,
            "unit": history.unit,
            "system": history.system,
            "site": history.site,
            "class": history.place_class,
            "district": history.district,
            "gateway": history.gateway_id,
            "lifecycle": history.lifecycle.value,
            "on_roll_from": instant_text(history.existed.start),
            "retired_at": instant_text(history.existed.end) if history.existed.end < FOREVER else None,
        },
        "duties": [
            {
                "effective_from": duty.effective_from.isoformat(),
                "due_on": duty.due_on.isoformat(),
                "withdrawn_on": duty.withdrawn_on.isoformat() if duty.withdrawn_on else None,
                "basis": duty.basis,
            }
            for duty in history.duties
        ],
        "facts": [_fact(fact) for fact in facts],
        "states": [
            {"state": span.what.value, "from": instant_text(part.start), "until": instant_text(part.end)}
            for span in history.states
            if (part := span.within(period)) is not None
        ],
        "not_seen": _laid(laid, period, UnknownReason),
        # From their beginnings: the month's cap counts from there.
        "suspended": _laid(laid, Period(EVER, period.end), SuspendedReason),
        "milliseconds": milliseconds_of(
            account(history.duties, history.existed, history.states, laid, period, made.rules)
        ),
        "late": [
            {"from": instant_text(each.start), "until": instant_text(each.end)} for each in history.late
        ],
        "seen_elsewhere": [
            {
                "gateway": each.gateway_id,
                "from": instant_text(each.period.start),
                "until": instant_text(each.period.end),
            }
            for each in history.elsewhere
            if each.period.start < period.end and period.start < each.period.end
        ],
        "disputes": [_dispute(each) for each in disputes],
    }


@dataclass(frozen=True)
class Checked:
    """What a sheet tells when it is told anew."""

    code: str
    period: Period
    facts: int
    differences: Sequence[Difference]
    "Where the states in it are not those that its facts tell."
    miscounted: Mapping[str, tuple[int, int]]
    "Milliseconds that the sheet gives and those that are counted, where they are not the same."

    @property
    def holds(self) -> bool:
        """Tell whether the sheet follows from its own facts."""
        return not self.differences and not self.miscounted


def check(document: Document) -> Checked:
    """Tell a sheet's history anew from the facts in it, and count its seconds again.

    Raises:
        SignatureInvalid: it is no evidence sheet, or one of a form that is not known.
    """
    sheet: Any = document
    if sheet.get("kind") != KIND:
        raise SignatureInvalid("signed, but no evidence sheet")
    if sheet.get("form") not in _READ:
        raise SignatureInvalid(f"an evidence sheet of form {sheet.get('form')!r}: a newer Muster reads it")
    try:
        period = _period(sheet["period"])
        source = sheet["source"]
        retired = source["retired_at"]
        born = _read(source["on_roll_from"])
        existed = Period(born, _read(retired) if retired else FOREVER)
        facts = [_read_fact(each) for each in sheet["facts"]]
        states = [Span(State(each["state"]), *_edges(each)) for each in sheet["states"]]
        duties = [_read_duty(each) for each in sheet["duties"]]
        laid = [Laid(UnknownReason(each["reason"]), Period(*_edges(each))) for each in sheet["not_seen"]]
        laid += [
            Laid(SuspendedReason(each["reason"]), Period(*_edges(each)), bool(each["retroactive"]))
            for each in sheet["suspended"]
        ]
        cap = sheet["made"]["maintenance_cap_milliseconds"]
        rules = CountingRules(LOCAL, None if cap is None else int(cap) * MILLISECOND)
        given = {str(name): int(number) for name, number in _flat(sheet["milliseconds"])}
        late = [Period(*_edges(each)) for each in sheet.get("late", ())]
        elsewhere = [Period(*_edges(each)) for each in sheet.get("seen_elsewhere", ())]
        told = revised(revised(recompute(born, facts).states, late), elsewhere, is_open_too=True)
        lived = Period(max(period.start, born), period.end) if born < period.end else None
        found = differences(states, told, lived) if lived is not None else []
        counted = dict(_flat(milliseconds_of(account(duties, existed, told, laid, period, rules))))
        code = str(source["code"] or source["number"])
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise SignatureInvalid(f"no evidence sheet: {error!r}") from None
    wrong = {
        name: (given.get(name, 0), counted.get(name, 0))
        for name in sorted({*given, *counted})
        if given.get(name, 0) != counted.get(name, 0)
    }
    return Checked(code, period, len(facts), found, wrong)


def _flat(milliseconds: Mapping[str, Any]) -> list[tuple[str, int]]:
    excluded = milliseconds["excluded"]
    plain = [(name, number) for name, number in milliseconds.items() if name != "excluded"]
    return [*plain, *((f"excluded {name}", number) for name, number in excluded.items())]


def _laid(
    laid: Sequence[Laid], period: Period, kind: type[UnknownReason] | type[SuspendedReason]
) -> list[dict[str, object]]:
    parts = [
        (
            max(each.period.start, period.start),
            min(each.period.end, period.end),
            each.reason.value,
            each.is_retroactive,
        )
        for each in laid
        if isinstance(each.reason, kind)
    ]
    return [
        {
            "reason": reason,
            "from": instant_text(start),
            "until": instant_text(end),
            "retroactive": is_retroactive,
        }
        for start, end, reason, is_retroactive in sorted(parts)
        if start < end
    ]


def _dispute(dispute: Dispute) -> dict[str, object]:
    objection, answer = dispute.objection, dispute.answer
    return {
        "number": dispute.dispute_id,
        "first": objection.first.isoformat(),
        "last": objection.last.isoformat(),
        "by": objection.raised_by,
        "running_from": instant_text(objection.running.start) if objection.running else None,
        "running_until": instant_text(objection.running.end) if objection.running else None,
        "text": objection.text,
        "document": objection.document,
        "raised_at": instant_text(dispute.raised_at),
        "answer": None
        if answer is None
        else {
            "upheld": answer.is_upheld,
            "text": answer.text,
            "at": instant_text(answer.answered_at),
            "by": answer.answered_by,
        },
    }


def _fact(fact: Fact) -> dict[str, object]:
    return {
        "seq": fact.seq,
        "kind": fact.kind,
        "at": instant_text(fact.at),
        "received_at": instant_text(fact.received_at),
        "last_positive_at": instant_text(fact.last_positive_at),
        "reason": fact.reason,
        "unknown_after": fact.unknown_after.value if fact.unknown_after is not None else None,
        "gateway": fact.gateway_id,
        "incident": fact.incident,
    }


def _read_fact(each: Mapping[str, Any]) -> Fact:
    last, unknown = each["last_positive_at"], each["unknown_after"]
    return Fact(
        seq=int(each["seq"]),
        kind=str(each["kind"]),
        at=_read(each["at"]),
        received_at=_read(each["received_at"]),
        last_positive_at=_read(last) if last else None,
        reason=each["reason"],
        unknown_after=UnknownReason(unknown) if unknown else None,
        gateway_id=str(each["gateway"]),
        incident=each["incident"],
    )


def _read_duty(each: Mapping[str, Any]) -> Duty:
    withdrawn = each["withdrawn_on"]
    return Duty(
        date.fromisoformat(each["effective_from"]),
        date.fromisoformat(each["due_on"]),
        date.fromisoformat(withdrawn) if withdrawn else None,
        str(each["basis"]),
    )


def _period(of: Mapping[str, str]) -> Period:
    return Period(*_edges(of))


def _edges(of: Mapping[str, str]) -> tuple[datetime, datetime]:
    return _read(of["from"]), _read(of["until"])


def _read(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    return at
