"""Files of named statements are read whole or refused with the name of what is wrong."""

from pathlib import Path

import pytest

from catalog.queries import load_queries, parse_queries

TWO = """-- A file about sources.

-- name: first
-- Gives one.
-- $1: bigint, unused
SELECT $1::bigint;

-- name: second
-- Gives two; a comment inside stays.
SELECT 2 -- two
 WHERE true;
"""


def test_each_name_gets_its_statement_and_description() -> None:
    queries = parse_queries(TWO, file="two.sql")
    assert list(queries) == ["first", "second"]
    assert queries["first"].sql == "SELECT $1::bigint"
    assert queries["first"].description == "Gives one. $1: bigint, unused"
    assert queries["second"].sql == "SELECT 2 -- two\n WHERE true"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("SELECT 1;\n-- name: a\n-- A.\nSELECT 1;", "SQL before"),
        ("-- name: Bad-Name\n-- A.\nSELECT 1;", "snake_case"),
        ("-- name: \n-- A.\nSELECT 1;", "snake_case"),
        ("-- name: a\nSELECT 1;", "no description"),
        ("-- name: a\n-- A.\n", "no statement"),
        ("-- name: a\n-- A.\nSELECT 1;\n-- name: a\n-- A.\nSELECT 1;", "twice"),
    ],
)
def test_a_malformed_file_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_queries(text, file="bad.sql")


def test_the_files_of_the_package_load_with_unique_names() -> None:
    queries = load_queries()
    assert "credential_by_ref" in queries
    assert all(query.name == name and query.description for name, query in queries.items())


def test_no_statement_is_there_that_nobody_calls() -> None:
    root = Path(__file__).resolve().parents[3]
    code = "".join(path.read_text(encoding="utf-8") for path in sorted((root / "catalog").rglob("*.py")))
    code += (root / "gateway" / "opening.py").read_text(encoding="utf-8")

    assert [name for name in load_queries() if f'"{name}"' not in code] == []
