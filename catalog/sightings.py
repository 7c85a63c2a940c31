"""The store of sightings: what was seen, and what of the roll it matches.

States change only as `catalog/model/sighting_states.py` says; what people decide is `sighting_decisions.py`'s.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from catalog.database import Database, Transaction
from catalog.model.display import Lifecycle
from catalog.model.matching import RULES, Candidate, Match, RollAddress, Rule, match
from catalog.model.profile import Bilingual
from catalog.model.sighting import Protocol, Sighting, SightingState
from catalog.model.sighting_states import after, seen_as

if TYPE_CHECKING:
    import asyncpg

logger = logging.getLogger(__name__)

BATCH: Final = 500
"""Sightings taken in by one transaction."""

MAX_TEXT: Final = 200
"""Characters that are kept of what a device says of itself."""

_WRITER_LOCK: Final = 0x6D75_7374_5EE0_0000

_Address = tuple[str, str, int]


@dataclass(frozen=True)
class Recorded:
    """What became of one sighting of a batch."""

    sighting_id: int
    sighting: Sighting
    state: SightingState
    match: Match | None
    contacts: tuple[int, ...]
    "Sources that a person attested at this address, when nothing speaks against it: that device was seen."


def join_reason(reason: Bilingual) -> str:
    """Return the text of column `match_reason`: a Chinese line and an English one."""
    return f"{reason.zh}\n{reason.en}"


def split_reason(text: str) -> Bilingual:
    """Return the two languages of a `match_reason`; a single line stands for both."""
    zh, _, en = text.partition("\n")
    return Bilingual(zh, en or zh)


async def record_sightings(
    database: Database, sightings: Sequence[Sighting], *, network_id: int | None = None
) -> list[Recorded]:
    """Match sightings with the roll and take them in; repeating it is harmless.

    Of several looks at one address in a batch the latest counts. A device that a person accepted or refused
    keeps that decision and only shows when it was last seen, unless the source it was accepted as left the roll.

    Args:
        database: the catalog.
        sightings: `BATCH` or fewer, hosts as plain IP addresses.
        network_id: the authorisation record under which they were seen.

    Raises:
        ValueError: more than `BATCH`.
        DatabaseAway: no answer; whether they were taken in is not known.
    """
    if len(sightings) > BATCH:
        raise ValueError(f"at most {BATCH} sightings at once")
    latest = {_address(each): each for each in sorted(sightings, key=lambda each: each.seen_at)}
    if not latest:
        return []
    batch = [latest[key] for key in sorted(latest)]
    async with database.transaction() as transaction:
        await transaction.execute("sighting_lock_writer", _WRITER_LOCK)
        present = await _present(transaction, batch)
        roll = _Roll(await _candidates(transaction, batch))
        matches = {_address(each): match(each, roll.near(each)) for each in batch}
        states = {key: after(present.get(key), seen_as(found)) for key, found in matches.items()}
        ids = await _upsert(transaction, batch, network_id, matches, states)
    recorded = [
        Recorded(
            sighting_id=ids[_address(each)],
            sighting=each,
            state=states[_address(each)],
            match=matches[_address(each)],
            contacts=roll.contacts(each, matches[_address(each)], states[_address(each)]),
        )
        for each in batch
    ]
    for one in recorded:
        if _address(one.sighting) not in present:
            _log_new(one)
    return recorded


def _address(sighting: Sighting) -> _Address:
    return sighting.protocol.value, sighting.host, sighting.port


def _log_new(recorded: Recorded) -> None:
    sighting = recorded.sighting
    logger.info(
        "%s://%s:%d seen for the first time: %s (%s)",
        sighting.protocol,
        sighting.host,
        sighting.port,
        recorded.state,
        recorded.match.reason.en if recorded.match else "not in the roll",
        extra={"action": "sighting_new", "sighting_id": recorded.sighting_id, "state": recorded.state.value},
    )


async def _present(
    transaction: Transaction, batch: Sequence[Sighting]
) -> dict[_Address, SightingState | None]:
    """Return the stored states; None where the source it was accepted as left the roll: it is judged anew."""
    protocols, hosts, ports = zip(*(_address(each) for each in batch), strict=True)
    rows = await transaction.fetch("sighting_present", list(protocols), list(hosts), list(ports))
    return {
        (row["protocol"], row["host"], row["port"]): None
        if row["source_gone"] and row["state"] == SightingState.ACCEPTED
        else SightingState(row["state"])
        for row in rows
    }


@dataclass(frozen=True)
class _RollSource:
    candidate: Candidate
    is_rejected: bool


async def _candidates(transaction: Transaction, batch: Sequence[Sighting]) -> list[_RollSource]:
    rows = await transaction.fetch(
        "sighting_candidates",
        _distinct(each.host for each in batch),
        _distinct(each.gb_id for each in batch),
        _distinct(each.mac for each in batch),
        _distinct(each.serial for each in batch),
    )
    by_source: defaultdict[int, list[asyncpg.Record]] = defaultdict(list)
    for row in rows:
        by_source[row["source_id"]].append(row)
    return [_roll_source(of_one) for of_one in by_source.values()]


def _distinct(values: Iterable[str | None]) -> list[str]:
    return sorted({value for value in values if value is not None})


def _roll_source(rows: "list[asyncpg.Record]") -> _RollSource:
    first = rows[0]
    addresses = tuple(
        RollAddress(Protocol(row["protocol"]), row["host"], row["port"], row["path"], row["is_attested"])
        for row in rows
        if row["protocol"] is not None
    )
    candidate = Candidate(
        source_id=first["source_id"],
        label=first["label"],
        gb_id=first["gb_id"],
        mac=first["mac"],
        serial=first["serial"],
        addresses=addresses,
    )
    return _RollSource(candidate, first["lifecycle"] == Lifecycle.REJECTED)


class _Roll:
    """The candidates of a batch, by every fact that a rule could see: a batch must not cost its square."""

    def __init__(self, sources: Iterable[_RollSource]) -> None:
        self._rejected: set[int] = set()
        self._by_fact: defaultdict[tuple[str, str], dict[int, Candidate]] = defaultdict(dict)
        for source in sources:
            candidate = source.candidate
            if source.is_rejected:
                self._rejected.add(candidate.source_id)
            identities = {("gb_id", candidate.gb_id), ("mac", candidate.mac), ("serial", candidate.serial)}
            for kind, value in identities | {("host", address.host) for address in candidate.addresses}:
                if value is not None:
                    self._by_fact[kind, value][candidate.source_id] = candidate

    def near(self, sighting: Sighting) -> list[Candidate]:
        """Return every candidate that any rule could choose."""
        found: dict[int, Candidate] = {}
        for kind, value in (
            ("gb_id", sighting.gb_id),
            ("mac", sighting.mac),
            ("serial", sighting.serial),
            ("host", sighting.host),
        ):
            if value is not None:
                found.update(self._by_fact.get((kind, value), {}))
        return list(found.values())

    def contacts(self, sighting: Sighting, found: Match | None, state: SightingState) -> tuple[int, ...]:
        """Return the sources that answered: attested at this very address, without any doubt."""
        if found is None or found.needs_confirmation or state is SightingState.REFUSED:
            return ()
        return tuple(
            candidate.source_id
            for candidate in sorted(self.near(sighting), key=lambda each: each.source_id)
            if candidate.source_id in found.candidates
            and candidate.source_id not in self._rejected
            and any(RULES[rule](sighting, candidate) for rule in (Rule.ATTESTED_ADDRESS, Rule.ATTESTED_HOST))
        )


async def _upsert(
    transaction: Transaction,
    batch: Sequence[Sighting],
    network_id: int | None,
    matches: dict[_Address, Match | None],
    states: dict[_Address, SightingState],
) -> dict[_Address, int]:
    rows = []
    for each in batch:
        found = matches[_address(each)]
        rows.append(
            (
                *_address(each),
                _kept(each.server),
                each.mac,
                _kept(each.serial),
                each.gb_id,
                each.seen_at,
                states[_address(each)].value,
                found.source_id if found else None,
                found.rule.value if found else None,
                join_reason(found.reason) if found else None,
                json.dumps({**each.detail, **({"candidates": list(found.candidates)} if found else {})}),
            )
        )
    columns = [list(column) for column in zip(*rows, strict=True)]
    stored = await transaction.fetch("sighting_upsert", network_id, *columns)
    return {(row["protocol"], row["host"], row["port"]): row["sighting_id"] for row in stored}


def _kept(text: str | None) -> str | None:
    """Return what is kept of a device's own words: printable, for NUL and line breaks harm database and page."""
    return None if text is None else "".join(c for c in text[:MAX_TEXT] if c.isprintable())


async def forget_old(database: Database, *, at: datetime, days: int = 30) -> int:
    """Forget what stayed in quarantine and was not seen for `days`; return how many.

    What a person decided and what matches the roll is kept.
    """
    forgotten = await database.execute("sighting_forget", at - timedelta(days=days))
    if forgotten:
        logger.info(
            "%d sightings forgotten after %d days", forgotten, days, extra={"action": "sightings_forgotten"}
        )
    return forgotten
