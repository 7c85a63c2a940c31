"""What people decide about sightings: confirm, accept, refuse.

Deciding for a device writes its confirmed endpoint in the same transaction: from then on it is connected to, and
only then does it get a credential. States change only as `catalog/model/sighting_states.py` says.
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from catalog.database import Database, Transaction
from catalog.errors import CatalogError
from catalog.model.display import Lifecycle
from catalog.model.profile import Bilingual
from catalog.model.sighting import DEVICE_SERVICE, Protocol, SightingState
from catalog.model.sighting_states import DecisionRefused, SightingEvent, after
from catalog.sightings import join_reason
from catalog.sources import NewEndpoint, SourceUnknown

logger = logging.getLogger(__name__)

MAX_REASON: Final = 300
"""Characters of a person's reason."""

BY_OPERATOR: Final = "operator"
"""The `match_rule` of a sighting that a person assigned."""


class SightingUnknown(CatalogError):
    """Raised when there is no such sighting; it may have been forgotten."""

    cause = "sighting_unknown"


@dataclass(frozen=True)
class Decided:
    """A sighting after a person's decision."""

    sighting_id: int
    state: SightingState
    source_id: int | None
    host: str
    port: int


@dataclass(frozen=True)
class _Stored:
    """The part of a stored sighting that decisions need."""

    sighting_id: int
    protocol: Protocol
    host: str
    port: int
    state: SightingState
    source_id: int | None
    match_rule: str | None
    match_reason: str | None
    path: str | None
    "What the device said of the path of its service."

    @property
    def address(self) -> tuple[str, str, int]:
        return self.protocol.value, self.host, self.port


async def confirm_sighting(
    database: Database, sighting_id: int, *, person: str, at: datetime, path: str | None = None
) -> Decided:
    """Attest that a sighting is the source it was matched with.

    The source gets a confirmed endpoint at the address, at the paths that the roll gives for it.

    Args:
        database: the catalog.
        sighting_id: the sighting.
        person: who attests it.
        at: now, UTC.
        path: path of the stream, when the roll's is not the right one.

    Raises:
        SightingUnknown: there is no such sighting.
        SourceUnknown: the source left the roll.
        DecisionRefused: see there; nothing was changed.
    """
    async with database.transaction() as transaction:
        stored = await _locked(transaction, sighting_id)
        after(stored.state, SightingEvent.CONFIRM)
        if stored.source_id is None:
            raise DecisionRefused(
                "ambiguous",
                "不止一个信源符合，请用「接受」指明是哪一个",
                "more than one source fits: accept the sighting for the right one",
            )
        await _attest(transaction, stored, stored.source_id, path, person, at)
        reason = stored.match_reason
        decided = await _decide(
            transaction,
            stored,
            SightingEvent.CONFIRM,
            (stored.source_id, stored.match_rule, reason),
            person,
            at,
        )
    _log_decision(decided, "confirmed", person)
    return decided


async def accept_sighting(
    database: Database,
    sighting_id: int,
    source_id: int,
    *,
    person: str,
    at: datetime,
    path: str | None = None,
) -> Decided:
    """Assign a sighting to a source of the roll, whatever the rules say; arguments and errors as `confirm_sighting`.

    A recorder is accepted once for each of its channels, each with its own path.
    """
    async with database.transaction() as transaction:
        stored = await _locked(transaction, sighting_id)
        after(stored.state, SightingEvent.ACCEPT)
        label = await _attest(transaction, stored, source_id, path, person, at)
        reason = join_reason(Bilingual(f"由 {person} 指定为 {label}", f"assigned to {label} by {person}"))
        decided = await _decide(
            transaction, stored, SightingEvent.ACCEPT, (source_id, BY_OPERATOR, reason), person, at
        )
    _log_decision(decided, "accepted", person)
    return decided


async def refuse_sighting(
    database: Database, sighting_id: int, *, person: str, reason: str, at: datetime
) -> Decided:
    """Refuse a sighting: it is no source of ours; what was confirmed by way of it is taken back.

    Raises:
        SightingUnknown: there is no such sighting.
        DecisionRefused: a source is attested there by the roll or an operator (`attested_elsewhere`), which must
            be put right first, or the state or the reason does not fit.
    """
    reason = reason.strip()
    if not 1 <= len(reason) <= MAX_REASON or not reason.isprintable():
        raise DecisionRefused(
            "reason_missing",
            f"请说明理由（1 至 {MAX_REASON} 个字符）",
            f"a reason of 1 to {MAX_REASON} printable characters is needed",
        )
    async with database.transaction() as transaction:
        stored = await _locked(transaction, sighting_id)
        after(stored.state, SightingEvent.REFUSE)
        attested = await transaction.fetchrow("sighting_attested_elsewhere", *stored.address)
        if attested is not None:
            label = f"{attested['label']} (#{attested['source_id']})"
            raise DecisionRefused(
                "attested_elsewhere",
                f"该地址已确认为 {label}；请先更正名册或其接入地址",
                f"this address is attested as {label}: correct the roll or that source's endpoint first",
            )
        await transaction.execute("sighting_withdraw_endpoints", *stored.address)
        decided = await _decide(transaction, stored, SightingEvent.REFUSE, (None, None, reason), person, at)
    _log_decision(decided, "refused", person)
    return decided


async def _locked(transaction: Transaction, sighting_id: int) -> _Stored:
    row = await transaction.fetchrow("sighting_for_decision", sighting_id)
    if row is None:
        raise SightingUnknown(f"there is no sighting {sighting_id}")
    return _Stored(
        sighting_id=row["sighting_id"],
        protocol=Protocol(row["protocol"]),
        host=row["host"],
        port=row["port"],
        state=SightingState(row["state"]),
        source_id=row["source_id"],
        match_rule=row["match_rule"],
        match_reason=row["match_reason"],
        path=row["path"],
    )


async def _attest(
    transaction: Transaction, stored: _Stored, source_id: int, path: str | None, person: str, at: datetime
) -> str:
    """Write the confirmed endpoints of a source at the sighting's address; return what the source is called."""
    source = await transaction.fetchrow("sighting_source_lifecycle", source_id)
    if source is None or source["lifecycle"] == Lifecycle.REMOVED:
        raise SourceUnknown(f"there is no source {source_id} on the roll")
    label = f"{source['label']} (#{source_id})"
    if source["lifecycle"] == Lifecycle.REJECTED:
        article = source["lifecycle_reason"]
        raise DecisionRefused(
            "source_rejected", f"{label} 依 {article} 不得接入", f"{label} may not be connected ({article})"
        )
    paths = [path] if path is not None else await _known_paths(transaction, stored, source_id)
    for each in paths:
        try:
            NewEndpoint(stored.protocol, stored.host, stored.port, each)
        except ValueError as error:
            raise DecisionRefused("path_invalid", "路径须以 / 开头，不含空格", str(error)) from error
    other = await transaction.fetchrow("sighting_address_taken", source_id, *stored.address, paths)
    if other is not None:
        taken = f"{other['label']} (#{other['source_id']})"
        raise DecisionRefused(
            "address_taken",
            f"该地址和路径已确认为 {taken}",
            f"this address and path are attested as {taken}",
        )
    for each in paths:
        await transaction.execute("sighting_confirm_endpoint", source_id, *stored.address, each, at, person)
    return label


async def _known_paths(transaction: Transaction, stored: _Stored, source_id: int) -> list[str]:
    """Return every path the source has at this address, else the one it is most likely to have here."""
    rows = await transaction.fetch("sighting_source_paths", source_id, *stored.address)
    here = [row["path"] for row in rows if row["is_here"]]
    told = stored.path or (DEVICE_SERVICE if stored.protocol is Protocol.ONVIF else "/")
    return here or [row["path"] for row in rows[:1]] or [told]


async def _decide(
    transaction: Transaction,
    stored: _Stored,
    event: SightingEvent,
    outcome: tuple[int | None, str | None, str | None],
    person: str,
    at: datetime,
) -> Decided:
    state = after(stored.state, event)
    await transaction.execute("sighting_decide", stored.sighting_id, state.value, *outcome, at, person)
    return Decided(stored.sighting_id, state, outcome[0], stored.host, stored.port)


def _log_decision(decided: Decided, what: str, person: str) -> None:
    logger.info(
        "sighting %d at %s:%d %s by %s%s",
        decided.sighting_id,
        decided.host,
        decided.port,
        what,
        person,
        f" as source {decided.source_id}" if decided.source_id is not None else "",
        extra={"action": f"sighting_{what}", "sighting_id": decided.sighting_id},
    )
