"""The last good answers, for while the database is away: bounded, and every one of them dated."""

from collections import OrderedDict
from datetime import datetime
from typing import Final

from pydantic import BaseModel

MOST_ANSWERS: Final = 300

PAUSE: Final = 3.0
"""Seconds after a failure in which what is remembered is answered at once: a server that hangs costs its timeout
once, not with every call."""

_Key = tuple[str, ...]


class StaleAnswers:
    """Keeps the newest answer to each question, the last asked ones longest."""

    def __init__(self, most: int = MOST_ANSWERS) -> None:
        self._most = most
        self._answers: OrderedDict[_Key, BaseModel] = OrderedDict()
        self._away_until = float("-inf")
        self.confirmed_at: datetime | None = None
        "When the database was last known to answer."

    def is_away(self, now: float) -> bool:
        """Tell whether the database failed just now: then nobody waits for its timeout again."""
        return now < self._away_until

    def note_away(self, now: float) -> None:
        """Take in that the database did not answer at monotonic `now`."""
        self._away_until = now + PAUSE

    def keep(self, key: _Key, answer: BaseModel) -> None:
        """Remember an answer just given."""
        self._answers.pop(key, None)
        self._answers[key] = answer
        if len(self._answers) > self._most:
            self._answers.popitem(last=False)

    def recall(self, key: _Key) -> BaseModel | None:
        """Return the last answer marked `stale`, or None; its `as_of` says of when it is."""
        answer = self._answers.get(key)
        return None if answer is None else answer.model_copy(update={"stale": True})
