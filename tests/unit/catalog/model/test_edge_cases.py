"""The edge cases of the status model (4.7) that the model alone decides, by their numbers.

The others are tested where they are decided: E1 to E3 in `unit/gateway/test_liveness.py` and
`faults/test_many_sources.py`; E5 and E6 in `integration/gateway/test_status.py` and `interop/test_demo.py`; E8 in
`integration/catalog/test_stored_reports.py` and `unit/catalog/model/test_case.py`; E15 in
`integration/catalog/test_roll_import.py`; E17 in `contract/test_discovery.py` and
`integration/gateway/test_onvif_interrogation.py`; E18 in `unit/gateway/enrolment/test_admission.py`; E19 in
`unit/catalog/test_roll_file.py`; E4 in `unit/adapters/gb28181/test_registration.py`, as far as it can be: how often a
device means to speak changes nothing here, for a silent one is asked; E11 and E12 in
`unit/gateway/gb28181/test_standing.py`; E14 also in `integration/catalog/test_second_sight.py`; E21 in
`test_compliance.py`. E22 belongs to recordings, which do not exist yet.
"""

from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

from catalog.model.connectivity import Connectivity, DegradeReason, Evidence, EvidenceKind, State
from catalog.model.display import SuspendedReason, UnknownReason
from catalog.model.history import Span
from catalog.model.late import observable, revised
from catalog.model.operation import read_hours
from catalog.model.period import Period, without
from catalog.model.rates import Account, CountingRules, Duty, Laid, account

LOCAL = timezone(timedelta(hours=8))
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START, END = datetime(2026, 11, 1, tzinfo=LOCAL), datetime(2026, 12, 1, tzinfo=LOCAL)
NOVEMBER = Period(START, END)
EVER = Period(START - 365 * DAY, END + 365 * DAY)
ALWAYS = Duty(date(2026, 1, 1), date(2026, 6, 30))
ONLINE = (Span(State.ONLINE, EVER.start, None),)
PLANNED = SuspendedReason.PLANNED_MAINTENANCE


def of(*states: Span, laid: tuple[Laid, ...] = (), duty: Duty = ALWAYS, period: Period = NOVEMBER) -> Account:
    return account([duty], EVER, states or ONLINE, laid, period, CountingRules(LOCAL, 24 * HOUR))


def test_e7_what_an_edition_adds_mid_month_counts_from_the_day_it_takes_effect() -> None:
    added = of(duty=Duty(date(2026, 11, 16), date(2026, 11, 16)))
    never = of(
        Span(State.NEVER_CONNECTED, EVER.start, None), duty=Duty(date(2026, 11, 16), date(2026, 11, 20))
    )

    assert (added.bound, added.online_rate) == (15 * DAY, Decimal(1))
    # Bound from the 16th, overdue from the 21st: the due day itself is in time.
    assert (never.bound, never.counted, never.excluded) == (15 * DAY, 10 * DAY, {"not_due": 5 * DAY})


def test_e9_maintenance_approved_afterwards_is_told_apart() -> None:
    off = (Span(State.ONLINE, EVER.start, START), Span(State.OFFLINE, START, START + 2 * HOUR))
    back = Span(State.ONLINE, START + 2 * HOUR, None)
    asked_before = of(*off, back, laid=(Laid(PLANNED, Period(START, START + 2 * HOUR)),))
    afterwards = of(*off, back, laid=(Laid(PLANNED, Period(START, START + 2 * HOUR), is_retroactive=True),))

    assert (asked_before.offline, asked_before.retroactive) == (timedelta(), timedelta())
    assert (afterwards.offline, afterwards.retroactive) == (timedelta(), 2 * HOUR)
    assert afterwards.excluded == asked_before.excluded == {"planned_maintenance": 2 * HOUR}


def test_e10_maintenance_that_overruns_by_three_hours_is_charged_with_three() -> None:
    off = Span(State.OFFLINE, START, START + 5 * HOUR)
    found = of(
        Span(State.ONLINE, EVER.start, START),
        off,
        Span(State.ONLINE, START + 5 * HOUR, None),
        laid=(Laid(PLANNED, Period(START, START + 2 * HOUR)),),
    )

    assert (found.offline, found.outages) == (3 * HOUR, 1)


def test_e13_a_bus_that_is_parked_at_night_is_not_charged_for_the_night() -> None:
    nights = [
        Laid(SuspendedReason.OUTSIDE_OPERATION, night)
        for night in read_hours("22:00-06:00").within(NOVEMBER, LOCAL)
    ]
    parked = [
        Span(state, START + day * DAY + timedelta(hours=at), START + day * DAY + timedelta(hours=until))
        for day in range(30)
        for state, at, until in ((State.OFFLINE, 0, 6), (State.ONLINE, 6, 22), (State.OFFLINE, 22, 24))
    ]
    first_morning = (
        replace(parked[3], end=START + DAY + 8 * HOUR),
        replace(parked[4], start=START + DAY + 8 * HOUR),
    )
    stuck = [*parked[:3], *first_morning, *parked[5:]]

    by_day = of(*parked, laid=tuple(nights))
    late = of(*stuck, laid=tuple(nights))

    assert (by_day.offline, by_day.outages, by_day.online_rate) == (timedelta(), 0, Decimal(1))
    assert by_day.excluded == {"outside_operation": 30 * 8 * HOUR}
    # One morning it comes back two hours after it should have: these count.
    assert (late.offline, late.outages, late.counted) == (2 * HOUR, 1, 30 * 16 * HOUR)


def test_e14_what_a_second_gateway_sees_is_neither_unknown_nor_offline() -> None:
    """Ours is down for two days. It had lost the source four hours before; the other one sees it from hour 6 to 30."""
    stored = (Span(State.ONLINE, EVER.start, START - 4 * HOUR), Span(State.OFFLINE, START - 4 * HOUR, None))
    seen = [Period(START + 6 * HOUR, START + 30 * HOUR)]
    down = Period(START, START + 2 * DAY)
    told = revised(stored, seen, is_open_too=True)
    laid = tuple(Laid(UnknownReason.GATEWAY_DOWN, part) for part in without([down], observable(stored, seen)))

    both = of(*told, laid=laid, period=down)
    ours = of(*stored, laid=(Laid(UnknownReason.GATEWAY_DOWN, down),), period=down)

    assert (both.running, both.offline, both.unknown) == (24 * HOUR, timedelta(), 24 * HOUR)
    assert (ours.running, ours.offline, ours.unknown) == (timedelta(), timedelta(), 48 * HOUR)


def test_e16_keepalives_without_video_for_two_days_are_online_and_not_intact() -> None:
    at = START
    online = Connectivity(state=State.ONLINE, since=EVER.start, first_connected_at=EVER.start)
    impaired = online.after(Evidence(EvidenceKind.IMPAIRED, at, DegradeReason.NO_MEDIA))
    found = of(
        Span(State.ONLINE, EVER.start, at),
        Span(impaired.state, at, None),
        period=Period(START, START + 2 * DAY),
    )

    assert impaired.state is State.DEGRADED
    assert (found.online_rate, found.intact_rate) == (Decimal(1), Decimal(0))


def test_e20_a_period_wholly_inside_our_own_outage_has_no_rate() -> None:
    found = of(laid=(Laid(UnknownReason.GATEWAY_DOWN, Period(START - DAY, END + DAY)),))

    assert (found.counted, found.suffices) == (timedelta(), False)
    assert (found.online_rate, found.online_rate_of_connected, found.intact_rate) == (None, None, None)
    assert found.coverage == Decimal(0)
    assert found.excluded == {"gateway_down": 30 * DAY}
