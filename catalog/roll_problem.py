"""What is wrong with a roll file, said so that its author can put it right: row, column, reason.

No message repeats the content of an address, path or credential column: somebody may have typed a password there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from catalog.model.profile import Bilingual

PROBLEMS_KEPT: Final = 1_000
"""How many problems of one file are kept; the rest is counted."""

_QUOTED: Final = 40


@dataclass(frozen=True, slots=True)
class RollProblem:
    """One mistake in a roll file."""

    row: int
    """Row as a spreadsheet numbers it, the heading row being 1; 0 for the file as a whole."""
    column: str
    """Our name of the column, empty for the row as a whole."""
    code: str
    """One stable word."""
    message: Bilingual

    def __str__(self) -> str:
        place = f"row {self.row}" if self.row else "file"
        return f"{place}{f', column {self.column}' if self.column else ''}: {self.message.en}"


class RollInvalid(ValueError):
    """Raised when a roll file cannot be taken in; nothing of it was.

    Attributes:
        problems: in the order of the file, `PROBLEMS_KEPT` at most.
        total: how many there were.
    """

    cause = "roll_invalid"

    def __init__(self, problems: tuple[RollProblem, ...], total: int) -> None:
        super().__init__(f"the roll has {total} mistake(s); the first: {problems[0]}")
        self.problems = problems
        self.total = total


class Problems:
    """Collects the problems of one file; bounded."""

    def __init__(self) -> None:
        self._kept: list[RollProblem] = []
        self._total = 0

    def __len__(self) -> int:
        return self._total

    def __iter__(self) -> Iterator[RollProblem]:
        return iter(self._kept)

    def add(self, row: int, column: str, code: str, message: tuple[str, str]) -> None:
        """Note one problem.

        Args:
            row: as in `RollProblem`.
            column: as in `RollProblem`.
            code: one stable word.
            message: in Chinese and in English.
        """
        self._total += 1
        if len(self._kept) < PROBLEMS_KEPT:
            self._kept.append(RollProblem(row, column, code, Bilingual(*message)))

    def raise_if_any(self) -> None:
        """Raise `RollInvalid` with what was collected, in the order of the rows."""
        if self._total:
            kept = sorted(self._kept, key=lambda problem: problem.row)
            raise RollInvalid(tuple(kept), self._total)


def quoted(value: str) -> str:
    """Return a harmless cell's text, shortened, for a message; what looks like an address with a login is left out."""
    if "@" in value or "://" in value:
        return "「…」"
    return f"「{value[:_QUOTED]}{'…' if len(value) > _QUOTED else ''}」"


def refuse_file(code: str, zh: str, en: str) -> RollInvalid:
    """Make the error for a file that cannot be read at all."""
    return RollInvalid((RollProblem(0, "", code, Bilingual(zh, en)),), 1)
