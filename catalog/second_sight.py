"""What a gateway sees of the sources that another one looks after, as times in which they answered (4.7, E14).

The gateway that looks after a source decides about it and hears what others see; while it is blind, what they saw is
told in its place. First connections, pictures and degrade reasons are its own alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from catalog.database import Database


@dataclass(frozen=True, slots=True)
class Turn:
    """A source began to answer, or ceased to."""

    source_id: int
    answers: bool
    at: datetime
    "Its first answer; or its last one plus one interval."


class SecondSightStore:
    """Stores what one gateway sees of others' sources."""

    def __init__(self, database: Database, gateway_id: str) -> None:
        self._database = database
        self._gateway_id = gateway_id

    async def begin(self) -> None:
        """End what went on when this gateway was last there; call it at each start.

        Raises:
            DatabaseAway: no answer.
        """
        await self._database.execute("second_sight_begin", self._gateway_id)

    async def write(self, turns: Sequence[Turn], until: datetime) -> None:
        """Store which sources began to answer and which ceased to, in order; harmless when repeated.

        Args:
            turns: in order of time for each source.
            until: so far this gateway had its eye on them.

        Raises:
            DatabaseAway: no answer; nothing was stored.
        """
        async with self._database.transaction() as transaction:
            await transaction.execute(
                "second_sight_stale",
                self._gateway_id,
                [turn.source_id for turn in turns],
                [turn.at for turn in turns],
            )
            for part in _rounds(turns):
                for statement, answers in (("second_sight_close", False), ("second_sight_open", True)):
                    chosen = [turn for turn in part if turn.answers is answers]
                    if chosen:
                        await transaction.execute(
                            statement,
                            self._gateway_id,
                            [turn.source_id for turn in chosen],
                            [turn.at for turn in chosen],
                        )
            await transaction.execute("second_sight_advance", self._gateway_id, until)


def _rounds(turns: Sequence[Turn]) -> list[list[Turn]]:
    """Return the turns in rounds in which each source stands once."""
    rounds: list[list[Turn]] = []
    stands: dict[int, int] = {}
    for turn in turns:
        number = stands[turn.source_id] = stands.get(turn.source_id, -1) + 1
        if number == len(rounds):
            rounds.append([])
        rounds[number].append(turn)
    return rounds


async def seen_elsewhere(
    database: Database,
    sources: Sequence[int],
    *,
    now: datetime,
    stale_after: timedelta,
    gone_after: timedelta,
) -> list[int]:
    """Return which of some sources another gateway sees now.

    Args:
        database: the catalog.
        sources: by number.
        now: present instant.
        stale_after: silence after which that gateway is not believed.
        gone_after: silence after which it counts a source as gone: an offline one must have answered since.

    Raises:
        DatabaseAway: no answer.
    """
    rows = await database.fetch("second_sight_of", sources, now, stale_after, gone_after)
    return [row["source_id"] for row in rows]
