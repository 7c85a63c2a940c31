"""The public catalog as a page: from the allow-listed objects of `catalog.publication` alone."""

from typing import assert_never

from catalog.model.profile import Bilingual
from catalog.publication import NoPublicCatalog, NotYetPublished, PublicView, Published
from gateway.console.rendering import render


def render_html(view: PublicView, language: str, *, is_stale: bool = False) -> str:
    """Return the page: the edition, or why there is none."""

    def say(words: Bilingual) -> str:
        return words.en if language == "en" else words.zh

    match view:
        case Published():
            return render(
                "public.html",
                language,
                say=say,
                place=view.jurisdiction,
                edition=view.edition,
                entries=view.entries,
                requirements=view.edition.legal_basis,
                heading="",
                reason="",
                is_stale=is_stale,
            )
        case NotYetPublished() | NoPublicCatalog():
            return render(
                "public.html",
                language,
                say=say,
                place=view.jurisdiction,
                edition=None,
                entries=(),
                requirements=view.requirements,
                heading="no_catalog" if isinstance(view, NoPublicCatalog) else "not_yet",
                reason=say(view.reason),
                is_stale=is_stale,
            )
        case _:
            assert_never(view)
