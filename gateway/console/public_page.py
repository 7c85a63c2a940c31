"""The public catalog as a page: from the allow-listed objects of `catalog.publication` alone."""

from dataclasses import dataclass
from typing import Final, assert_never
from urllib.parse import urlencode

from catalog.model.profile import Bilingual
from catalog.publication import NoPublicCatalog, NotYetPublished, PublicView, Published
from gateway.console.rendering import render

ENTRIES: Final = 500
"""Entries of one page; JSON and CSV hold them all."""


@dataclass(frozen=True)
class Shown:
    """Which part of the catalog is shown."""

    number: int = 1
    "From 1."
    is_stale: bool = False
    edition: str | None = None
    "As asked for; None for the newest."

    def link(self, **more: object) -> str:
        """Return a link to the same edition."""
        kept = {"edition": self.edition} if self.edition is not None else {}
        return f"?{urlencode({**kept, **more})}"


def render_html(view: PublicView, language: str, shown: Shown) -> str:
    """Return the page: the edition, or why there is none."""

    def say(words: Bilingual) -> str:
        return words.en if language == "en" else words.zh

    match view:
        case Published():
            begin = (shown.number - 1) * ENTRIES
            return render(
                "public.html",
                language,
                say=say,
                shown=shown,
                place=view.jurisdiction,
                edition=view.edition,
                total=len(view.entries),
                entries=view.entries[begin : begin + ENTRIES],
                has_more=begin + ENTRIES < len(view.entries),
                requirements=view.edition.legal_basis,
                heading="",
                reason="",
            )
        case NotYetPublished() | NoPublicCatalog():
            return render(
                "public.html",
                language,
                say=say,
                shown=shown,
                place=view.jurisdiction,
                edition=None,
                total=0,
                entries=(),
                has_more=False,
                requirements=view.requirements,
                heading="no_catalog" if isinstance(view, NoPublicCatalog) else "not_yet",
                reason=say(view.reason),
            )
        case _:
            assert_never(view)
