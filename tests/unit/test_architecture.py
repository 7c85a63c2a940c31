"""What keeps the layout honest and no linter checks."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("gateway", "adapters", "catalog")
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
DOCUMENTS = sorted(
    path
    for path in [ROOT / "README.md", *ROOT.glob("*/README.md"), *(ROOT / "deploy").rglob("*")]
    if path.is_file() and path.suffix in {".md", ".sh", ".py", ".toml", ".service", ""}
)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def broad_handlers(path: Path) -> Iterator[str]:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.ExceptHandler):
            last = node.body[-1]
            if isinstance(last, ast.Raise) and last.exc is None:
                continue  # cleans up and hands the error on
            caught = "" if node.type is None else ast.unparse(node.type)
            if caught in {"", "Exception", "BaseException"}:
                yield f"{path.relative_to(ROOT)}:{node.lineno}"


def test_broad_handlers_stand_in_the_supervisor_alone() -> None:
    found = [place for path in SOURCES for place in broad_handlers(path)]

    assert {place.split(":")[0] for place in found} == {"gateway/supervisor.py"}


@pytest.mark.parametrize("path", [p for p in SOURCES if p.name == "__init__.py"], ids=lambda p: p.parent.name)
def test_package_files_hold_a_docstring_and_no_code(path: Path) -> None:
    body = parsed(path).body

    assert len(body) == 1
    assert ast.get_docstring(parsed(path))


def test_every_module_says_what_it_is() -> None:
    assert [path for path in SOURCES if not ast.get_docstring(parsed(path))] == []


def test_asyncpg_is_imported_by_the_catalog_alone() -> None:
    importing = {
        path.relative_to(ROOT).parts[0] for path in SOURCES if "import asyncpg" in path.read_text("utf-8")
    }

    assert importing == {"catalog"}


def test_no_city_stands_in_code() -> None:
    cities = re.compile("wuxi|shaanxi|无锡|陕西", re.IGNORECASE)
    allowed = re.compile(r"(wuxi-2019|shaanxi-2011)")
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in SOURCES
        for line in path.read_text(encoding="utf-8").splitlines()
        if cities.search(allowed.sub("", line))
    ]

    assert found == []


def test_the_top_level_is_as_agreed() -> None:
    visible = {path.name for path in ROOT.iterdir() if not path.name.startswith(".")}

    assert visible <= {
        "pyproject.toml",
        "gateway",
        "adapters",
        "catalog",
        "deploy",
        "tests",
        "README.md",
        "LICENSE",
    }


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda p: p.name)
def test_links_between_documents_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", text) if path.suffix == ".md" else []

    assert [target for target in targets if not (path.parent / target).exists()] == []
