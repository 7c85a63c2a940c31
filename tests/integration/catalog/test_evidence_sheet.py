"""Evidence sheets of a real catalog: signed, told anew from their own facts, and told apart from forged ones."""

import json
from datetime import date, timedelta

import pytest

from catalog.database import Database
from catalog.evidence_sheet import Checked, Made, check, evidence_sheet
from catalog.histories import Histories
from catalog.jurisdictions import Jurisdiction
from catalog.model.rates import CountingRules
from catalog.rate_report import local_period
from catalog.reading import LOCAL
from catalog.reports import View
from catalog.signing import Document, SignatureInvalid, SigningKey, verify
from gateway.console.evidence_page import evidence_page
from tests.seed import CANARIES, HERE, NOW, seed_every_state

pytestmark = pytest.mark.postgres

KEY = SigningKey(bytes(range(32)))
FIRST, LAST = date(2026, 11, 1), date(2026, 11, 20)
PLACE = Jurisdiction(HERE, "示例区", "wuxi-2019", "cn-2025")


async def sheet_of(database: Database, source_id: int) -> Document:
    period = local_period(FIRST, LAST, NOW)
    parts = Histories(database, View(NOW)).of_region(after=period.start, with_facts=True, source_id=source_id)
    [history] = [each async for part in parts for each in part]
    return evidence_sheet(
        history,
        period,
        PLACE,
        Made(NOW, FIRST, LAST, NOW, "0.1.0", CountingRules(LOCAL, timedelta(hours=24))),
    )


def changed(document: Document, path: str, value: object) -> Checked:
    """Return what a sheet tells in which somebody changed a value and signed again."""
    copy = json.loads(json.dumps(document))
    *way, last = path.split(".")
    here = copy
    for name in way:
        here = here[int(name)] if name.isdecimal() else here[name]
    here[int(last) if last.isdecimal() else last] = value
    return check(verify(KEY.sign(copy)).document)


@pytest.mark.parametrize("number", range(8))
async def test_a_sheet_of_every_state_follows_from_its_own_facts(database: Database, number: int) -> None:
    seeded = await seed_every_state(database)
    document = await sheet_of(database, seeded.source_ids[number])
    verified = verify(KEY.sign(document), KEY.public_key)
    checked = check(verified.document)

    assert (checked.holds, checked.code) == (True, seeded.codes[number])
    assert document["facts"] or number > 4
    text = json.dumps(document, ensure_ascii=False)
    pages = [evidence_page(verified, checked, language) for language in ("zh", "en")]
    assert not [canary for canary in CANARIES.values() if any(canary in each for each in (text, *pages))]
    assert all(KEY.public_key in page and seeded.codes[number] in page for page in pages)


async def test_what_was_changed_before_signing_contradicts_the_facts(database: Database) -> None:
    offline = await sheet_of(database, (await seed_every_state(database)).source_ids[2])
    states = offline["states"]
    assert isinstance(states, list)
    assert [each["state"] for each in states] == ["never_connected", "online", "offline"]

    nicer = changed(offline, "states.2.state", "online")
    fewer = changed(offline, "milliseconds.offline", 0)
    without = changed(offline, "facts.1.kind", "alive")
    sooner = changed(offline, "duties.0.due_on", "2026-11-30")

    assert [(each.stored, each.told) for each in nicer.differences] == [("online", "offline")]
    assert nicer.differences[0].period.end - nicer.differences[0].period.start == timedelta(hours=5)
    assert fewer.miscounted == {"offline": (0, 5 * 3_600_000)}
    assert (without.holds, sooner.holds) == (False, False)
    page = evidence_page(verify(KEY.sign(offline)), nicer, "en")
    assert "do not follow from the facts" in page


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("kind", "catalog"),
        ("form", 4),
        ("facts", None),
        ("period.from", "yesterday"),
        ("period.from", "2026-11-01T00:00:00"),
        ("states.0.state", "fine"),
        ("not_seen", [{"reason": "none", "from": "2026-11-01", "until": "2026-11-02"}]),
        ("milliseconds", {}),
        ("source.on_roll_from", 7),
        ("duties.0.due_on", "2026-02-30"),
    ],
)
async def test_what_is_no_sheet_is_told_so(database: Database, path: str, value: object) -> None:
    document = await sheet_of(database, (await seed_every_state(database)).source_ids[2])

    with pytest.raises(SignatureInvalid):
        changed(document, path, value)
