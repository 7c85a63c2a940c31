"""The public catalog as JSON and CSV, from the allow-listed objects of `catalog.publication` alone.

Every key is written out here: nothing reaches the public by being a field of something.
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Final, assert_never

from catalog.model.profile import Bilingual, Requirement
from catalog.publication import (
    NoPublicCatalog,
    NotYetPublished,
    PublicEdition,
    PublicEntry,
    PublicView,
    Published,
)
from catalog.reading import LOCAL

CSV_HEADINGS: Final = (
    "目录版本 edition",
    "条目编号 entry_id",
    "义务单位 duty_holder_name",
    "场所类别 site_category",
    "场所类别说明 site_category_title",
    "行政区划 district",
    "场所名称 site_public_name",
    "应接入日期 connect_due_date",
    "依据 duty_basis",
    "条款 duty_basis_article",
    "发布机关 issued_by",
    "发布日期 published_on",
    "生效日期 effective_from",
    "办理与联系 contact",
    "撤回日期 withdrawn_on",
)
WITHHELD: Final = "不公开"

_FORMULA_START: Final = ("=", "+", "-", "@", "\t", "\r")


def render_json(view: PublicView) -> bytes:
    """Render as UTF-8 JSON; the same shape whether there is a catalog or not."""
    return json.dumps(public_document(view), ensure_ascii=False, indent=1).encode()


def public_document(view: PublicView) -> dict[str, object]:
    """Return what `render_json` renders and what a signature covers."""
    edition: PublicEdition | None = None
    entries: Sequence[PublicEntry] = ()
    match view:
        case Published():
            status, edition, entries = "published", view.edition, view.entries
            requirements, reason = edition.legal_basis, None
        case NotYetPublished():
            status, requirements, reason = "not_yet_published", view.requirements, view.reason
        case NoPublicCatalog():
            status, requirements, reason = "no_public_catalog", view.requirements, view.reason
        case _:
            assert_never(view)
    return {
        "status": status,
        "jurisdiction": {"civil_code": view.jurisdiction.district, "name": view.jurisdiction.name},
        "legal_basis": [_requirement(item) for item in requirements],
        "reason": _text(reason) if reason else None,
        "edition": _edition(edition) if edition else None,
        "entries": [_entry(entry) for entry in entries],
    }


def render_csv(view: PublicView) -> bytes:
    """Render as CSV, UTF-8 with BOM so that spreadsheets read the Chinese; the reason where nothing is published."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(CSV_HEADINGS)
    match view:
        case Published():
            writer.writerows(csv_rows(view.edition, view.entries))
        case NotYetPublished() | NoPublicCatalog():
            writer.writerow([_cell(f"{view.reason.zh} {view.reason.en}")])
        case _:
            assert_never(view)
    return text.getvalue().encode("utf-8-sig")


def csv_rows(edition: PublicEdition, entries: Iterable[PublicEntry]) -> Iterable[Sequence[str]]:
    """Yield one row a duty, in the order of `CSV_HEADINGS`."""
    published_on = edition.published_at.astimezone(LOCAL).date().isoformat()
    withdrawn_on = edition.withdrawn_at.astimezone(LOCAL).date().isoformat() if edition.withdrawn_at else ""
    for entry in entries:
        yield [
            _cell(value)
            for value in (
                edition.number,
                str(entry.entry_id),
                entry.holder,
                entry.place_class,
                entry.place_class_title.zh,
                entry.district,
                entry.site_name or WITHHELD,
                entry.due_on.isoformat(),
                entry.basis,
                entry.basis_article.zh,
                edition.issued_by,
                published_on,
                edition.effective_from.isoformat(),
                edition.contact,
                withdrawn_on,
            )
        ]


def _cell(value: str) -> str:
    """Keep a spreadsheet from taking a name for a formula."""
    return f"'{value}" if value.startswith(_FORMULA_START) else value


def _text(text: Bilingual) -> dict[str, str]:
    return {"zh": text.zh, "en": text.en}


def _requirement(requirement: Requirement) -> dict[str, object]:
    return {"id": requirement.id, "article": _text(requirement.article), "text": _text(requirement.text)}


def _edition(edition: PublicEdition) -> dict[str, object]:
    return {
        "number": edition.number,
        "issued_by": edition.issued_by,
        "contact": edition.contact,
        "published_at": edition.published_at.astimezone(LOCAL).isoformat(timespec="seconds"),
        "effective_from": edition.effective_from.isoformat(),
        "effective_to": edition.effective_to.isoformat() if edition.effective_to else None,
        "withdrawn_at": (
            edition.withdrawn_at.astimezone(LOCAL).isoformat(timespec="seconds")
            if edition.withdrawn_at
            else None
        ),
        "withdrawal_reason": edition.withdrawal_reason,
    }


def _entry(entry: PublicEntry) -> dict[str, object]:
    return {
        "entry_id": str(entry.entry_id),
        "duty_holder_name": entry.holder,
        "site_category": entry.place_class,
        "site_category_title": _text(entry.place_class_title),
        "district": entry.district,
        "site_public_name": entry.site_name,
        "connect_due_date": entry.due_on.isoformat(),
        "duty_basis": entry.basis,
        "duty_basis_article": _text(entry.basis_article),
    }
