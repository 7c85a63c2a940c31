"""The report of rates as the API and the command line give it: the allow-list, and the columns of its files."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Final, Literal

from pydantic import Field

from catalog.rate_report import By, RateReport, RateRow
from catalog.reading import Page
from gateway.api.export import Column
from gateway.api.registry import Answer, Schema
from gateway.api.schemas import ClassText, Dated, EditionText, Instant, RegionText, UnitText


class RatesQuery(Schema):
    """Parameters of the report of rates."""

    first: date | None = Field(None, description="First local day; without it 29 days before the last.")
    last: date | None = Field(None, description="Last local day, itself included; without it today.")
    by: By = By.DISTRICT
    region: RegionText = ""
    place_class: ClassText | None = None
    unit: UnitText | None = None
    edition: EditionText | None = None
    format: Literal["json", "csv", "xlsx"] = "json"
    lang: Literal["zh", "en"] = "zh"


class ExcludedAnswer(Answer):
    """Seconds that do not count, by reason; each stands under one reason alone."""

    planned_maintenance: int = 0
    force_majeure: int = 0
    municipal_works: int = 0
    ordered_by_authority: int = 0
    outside_operation: int = 0
    gateway_down: int = 0
    own_network_down: int = 0
    database_away: int = 0
    restart_grace: int = 0
    common_cause_suspected: int = 0
    no_samples: int = 0
    not_due: int = 0


class RateAnswer(Answer):
    """One row: counts at the end of the period, seconds in it, and the rates by every formula (null: no number)."""

    key: str
    name: str
    required: int
    connected: int
    hidden: int
    "Suspended or unknown at the end."
    online: int
    intact: int
    bound_seconds: int
    counted_seconds: int
    online_seconds: int
    "Online or degraded."
    intact_seconds: int
    offline_seconds: int
    outages: int
    "Times of being offline, each with a second that counts."
    never_connected_seconds: int
    excluded: ExcludedAnswer
    retroactive_seconds: int
    "Of `excluded`: suspensions that were asked for after they had begun."
    maintenance_over_cap_seconds: int
    "Planned maintenance beyond the cap of a source and month: it counts."
    coverage: float | None
    insufficient_data: bool
    online_rate: float | None
    "Σ online / Σ counted, what never connected among it."
    online_rate_of_connected: float | None
    intact_rate: float | None
    raw24_rate: float | None
    access_rate: float | None
    online_rate_by_count: float | None
    online_of_required: float | None

    @classmethod
    def of(cls, row: RateRow) -> "RateAnswer":
        """Return the answer for a row."""
        of = row.account
        return cls(
            key=row.key,
            name=row.name,
            required=of.sources,
            connected=of.connected,
            hidden=of.hidden,
            online=of.online,
            intact=of.intact,
            bound_seconds=_seconds(of.bound),
            counted_seconds=_seconds(of.counted),
            online_seconds=_seconds(of.running),
            intact_seconds=_seconds(of.whole),
            offline_seconds=_seconds(of.offline),
            outages=of.outages,
            never_connected_seconds=_seconds(of.never),
            excluded=ExcludedAnswer(**{reason: _seconds(time) for reason, time in of.excluded.items()}),
            retroactive_seconds=_seconds(of.retroactive),
            maintenance_over_cap_seconds=_seconds(of.over_cap),
            coverage=_number(of.coverage),
            insufficient_data=not of.suffices,
            online_rate=_number(of.online_rate),
            online_rate_of_connected=_number(of.online_rate_of_connected),
            intact_rate=_number(of.intact_rate),
            raw24_rate=_number(of.raw_rate),
            access_rate=_number(of.access_rate),
            online_rate_by_count=_number(of.online_rate_by_count),
            online_of_required=_number(of.online_of_required),
        )


class RatesAnswer(Dated):
    """Rates of a period."""

    first: date
    last: date
    until: Instant
    "The end of what is told: the end of the last day, or when it was computed."
    by: By
    watermark: Instant | None
    "Until when every gateway of the region had seen and stored; what came later may still change a later report."
    all: RateAnswer
    items: tuple[RateAnswer, ...]
    stale_sites: int = 0
    "Told from closed days: sites of which something was learned since, and which are told anew soon."
    is_cut: bool = False
    "There are more rows than an answer holds: ask for a file."


MOST_ITEMS: Final = 1_000


def rates_answer(report: RateReport, days: tuple[date, date], *, most: int = MOST_ITEMS) -> RatesAnswer:
    """Return the answer for a report of the days from the first to the last."""
    return RatesAnswer(
        as_of=report.computed_at,
        first=days[0],
        last=days[1],
        until=report.period.end,
        by=report.by,
        watermark=report.watermark,
        all=RateAnswer.of(RateRow("", "", report.all)),
        items=tuple(RateAnswer.of(row) for row in report.rows[:most]),
        stale_sites=report.stale_sites,
        is_cut=len(report.rows) > most,
    )


def rates_page(report: RateReport, start: int, limit: int) -> Page[RateAnswer]:
    """Return the rows of a report from the `start`-th on, at most `limit`, as the pages of a file."""
    rows = tuple(RateAnswer.of(row) for row in report.rows[start : start + limit])
    end = start + limit
    return Page(rows, str(end) if end < len(report.rows) else None)


RATES: Final = (
    Column("对象", "key", "key"),
    Column("名称", "name", "name"),
    Column("应接入数", "required", "required"),
    Column("已接入数", "connected", "connected"),
    Column("期末在线数", "online", "online"),
    Column("期末完好数", "intact", "intact"),
    Column("期末未知或停用数", "hidden", "hidden"),
    Column("接入率", "access_rate", "access_rate"),
    Column("在线率(修正)", "online_rate", "online_rate"),
    Column("在线率(不含从未接入)", "online_rate_of_connected", "online_rate_of_connected"),
    Column("在线率(24小时)", "raw24_rate", "raw24_rate"),
    Column("在线率(按数量)", "online_rate_by_count", "online_rate_by_count"),
    Column("在线占应接入", "online_of_required", "online_of_required"),
    Column("完好率", "intact_rate", "intact_rate"),
    Column("观测覆盖率", "coverage", "coverage"),
    Column("数据不足", "insufficient_data", "insufficient_data"),
    Column("应计秒数", "bound_seconds", "bound_seconds"),
    Column("计入秒数", "counted_seconds", "counted_seconds"),
    Column("在线秒数", "online_seconds", "online_seconds"),
    Column("完好秒数", "intact_seconds", "intact_seconds"),
    Column("离线秒数", "offline_seconds", "offline_seconds"),
    Column("离线次数", "outages", "outages"),
    Column("从未接入秒数", "never_connected_seconds", "never_connected_seconds"),
    Column("剔除:计划维护", "excluded_planned_maintenance", "excluded.planned_maintenance"),
    Column("剔除:不可抗力", "excluded_force_majeure", "excluded.force_majeure"),
    Column("剔除:市政施工", "excluded_municipal_works", "excluded.municipal_works"),
    Column("剔除:主管部门要求", "excluded_ordered_by_authority", "excluded.ordered_by_authority"),
    Column("剔除:非运营时段", "excluded_outside_operation", "excluded.outside_operation"),
    Column("其中事后补登", "retroactive_seconds", "retroactive_seconds"),
    Column("检修超上限(计入)", "maintenance_over_cap_seconds", "maintenance_over_cap_seconds"),
    Column("剔除:网关停运", "excluded_gateway_down", "excluded.gateway_down"),
    Column("剔除:己方网络中断", "excluded_own_network_down", "excluded.own_network_down"),
    Column("剔除:数据库不可用", "excluded_database_away", "excluded.database_away"),
    Column("剔除:重启观察期", "excluded_restart_grace", "excluded.restart_grace"),
    Column("剔除:疑似共因故障", "excluded_common_cause_suspected", "excluded.common_cause_suspected"),
    Column("剔除:无采样", "excluded_no_samples", "excluded.no_samples"),
    Column("剔除:未到期", "excluded_not_due", "excluded.not_due"),
)
"""Chinese and English headings, and the field of `RateAnswer`."""


def _seconds(time: timedelta) -> int:
    return round(time.total_seconds())


def _number(rate: Decimal | None) -> float | None:
    return None if rate is None else float(rate)
