"""Finds the line of a TOML file that a mistake is on: the parser keeps no places, and a person needs one."""

import re
from collections.abc import Sequence


def line_of(text: str, place: Sequence[int | str]) -> int | None:
    """Return the line, from 1, of a key or of the table it belongs to; None where there is none.

    Args:
        text: the file.
        place: the way to the value as a validator gives it, e.g. `("penalties", 2, "unit", "most")`.
    """
    lines = text.splitlines()
    found: int | None = None
    start, end = 0, len(lines)
    for depth, part in enumerate(place):
        if isinstance(part, int):
            continue
        follower = place[depth + 1] if depth + 1 < len(place) else None
        repeat = follower if isinstance(follower, int) else 0
        pattern = re.compile(
            rf"^\s*(\[\[?\s*{re.escape(part)}\s*[\].]|{re.escape(part)}\s*[.=])|[{{,]\s*{re.escape(part)}\s*="
        )
        matches = [number for number in range(start, end) if pattern.search(lines[number])]
        if len(matches) <= repeat:
            break
        found = matches[repeat] + 1
        # A key stands below its table's header and above the next one; an inline one on the same line.
        start = matches[repeat]
        end = next((number for number in range(start + 1, end) if lines[number].startswith("[")), end)
    return found


def line_of_value(text: str, value: str) -> int | None:
    """Return the last line, from 1, on which a quoted value stands; None where there is none."""
    found = [number for number, line in enumerate(text.splitlines(), start=1) if f'"{value}"' in line]
    return found[-1] if found else None
