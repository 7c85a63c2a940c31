"""An evidence sheet as one page for people: no script, nothing loaded, printable on A4."""

from datetime import datetime
from typing import Any

from catalog.evidence_sheet import Checked
from catalog.signing import Verified
from gateway.console.rendering import render


def evidence_page(verified: Verified, checked: Checked, language: str) -> str:
    """Return the page of a sheet whose signature holds.

    Args:
        verified: the sheet.
        checked: what it tells when it is told anew.
        language: `zh` or `en`.
    """
    sheet: Any = verified.document
    return render(
        "evidence.html",
        language,
        sheet=sheet,
        counted=[(name, value) for name, value in sheet["milliseconds"].items() if name != "excluded"],
        checked=checked,
        fingerprint=verified.fingerprint,
        verified_key=verified.public_key,
        at=lambda text: datetime.fromisoformat(text) if text else None,
    )
