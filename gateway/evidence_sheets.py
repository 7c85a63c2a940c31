"""Makes and signs the evidence sheet of a source, for whoever asks: the API, the page, the command line."""

from datetime import date

from catalog.database import Database
from catalog.disputes import MOST, Asked, list_disputes
from catalog.evidence_sheet import Made, evidence_sheet
from catalog.histories import Histories
from catalog.rate_report import local_period
from catalog.reports import View
from gateway.config import Config
from gateway.opening import counting_rules, jurisdiction_of, muster_version, open_signing_key


async def signed_sheet(
    database: Database, config: Config, view: View, source_id: int, days: tuple[date, date]
) -> bytes | None:
    """Return the signed sheet of a source and the days from the first to the last; None when there is no such source.

    Raises:
        PeriodInvalid: the days are reversed, or have not begun.
        KeyUnusable: the signing key cannot be used.
        DatabaseAway: no answer.
    """
    period = local_period(*days, view.now)
    parts = Histories(database, view).of_region(after=period.start, with_facts=True, source_id=source_id)
    found = [history async for part in parts for history in part]
    if not found:
        return None
    district = found[0].district
    watermark = await database.fetchval("history_watermark", district, district)
    made = Made(view.now, *days, watermark, muster_version(), counting_rules(config))
    disputes = await list_disputes(database, view, Asked(source_id=source_id, days=days), limit=MOST)
    document = evidence_sheet(found[0], period, jurisdiction_of(config), made, disputes.items)
    return open_signing_key(config).sign(document)
