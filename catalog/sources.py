"""The store of sources: what decides about their relay, and the changes that people make to them.

Status is not written here: the gateway's one writer does that. Only `counted` changes here, with the roll-ups in
the same transaction, when a source leaves the roll or is refused by law.
"""

import logging
import re
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass, fields
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Final, Literal

from catalog.database import Database, Statements, Transaction
from catalog.errors import CatalogError
from catalog.model.display import Lifecycle
from catalog.model.network import parse_address
from catalog.model.plan import EndpointPlan, RelayMode, SourcePlan, StoredCredential
from catalog.model.sighting import Protocol
from catalog.roll_cells import holds_credentials

if TYPE_CHECKING:
    import asyncpg

logger = logging.getLogger(__name__)

CHUNK: Final = 200
"""Plans handed out at once by `stream_plans`: some 10 ms of work for the one who takes them."""

LOAD_TIMEOUT: Final = 60.0
"""Seconds for the first rows of all plans: at 100,000 sources the join is sorted first."""

_MAC: Final = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
_PIN: Final = re.compile(r"[0-9a-f]{64}")
_PATH: Final = re.compile(r"/[!-~]{0,1023}")


class SourceUnknown(CatalogError):
    """Raised when there is no such source, or it left the roll; or no such endpoint of it."""

    cause = "source_unknown"


class Keep(Enum):
    """Says of a field that it stays as it is."""

    KEEP = "keep"


KEEP: Final = Keep.KEEP


@dataclass(frozen=True)
class SourceEdit:
    """What a person changes on a source; what is `KEEP` stays."""

    location_type: str | Literal[Keep.KEEP] | None = KEEP
    "A value of the profile's vocabulary, attested by the person; None takes the attestation back."
    relay_mode: RelayMode | Literal[Keep.KEEP] = KEEP
    audio_enabled: bool | Literal[Keep.KEEP] = KEEP
    allow_basic: bool | Literal[Keep.KEEP] = KEEP
    mac: str | Literal[Keep.KEEP] | None = KEEP
    "Lower case, colon separated."
    serial: str | Literal[Keep.KEEP] | None = KEEP

    def __post_init__(self) -> None:
        if isinstance(self.mac, str) and _MAC.fullmatch(self.mac) is None:
            raise ValueError("a MAC address is written aa:bb:cc:dd:ee:ff")
        for text in (self.location_type, self.serial):
            if isinstance(text, str) and not 1 <= len(text) <= 100:
                raise ValueError("a text is 1 to 100 characters")

    @property
    def changed(self) -> list[str]:
        """Return the names of the fields that change."""
        return [field.name for field in fields(self) if getattr(self, field.name) is not KEEP]


@dataclass(frozen=True)
class NewEndpoint:
    """A way to reach a source, as a person gives it."""

    protocol: Protocol
    host: str
    "An IP address: a name could be pointed out of the authorised network after it was approved."
    port: int
    path: str = "/"
    transport: str = "tcp"
    credential_ref: str | None = None
    tls_pin_sha256: str | None = None

    def __post_init__(self) -> None:
        parse_address(self.host)
        if not 1 <= self.port <= 65535:
            raise ValueError("a port is between 1 and 65535")
        if _PATH.fullmatch(self.path) is None:
            raise ValueError("a path begins with / and has no spaces")
        if holds_credentials(self.path):
            raise ValueError(
                "leave user and password out of the path: a stored credential is named beside it"
            )
        if self.transport not in ("tcp", "udp"):
            raise ValueError("the transport is tcp or udp")
        check_pin(self.tls_pin_sha256)


def check_pin(pin: str | None) -> None:
    """Raise ValueError when `pin` is neither None nor a SHA-256 in lower-case hex."""
    if pin is not None and _PIN.fullmatch(pin) is None:
        raise ValueError("a pin is the SHA-256 of the certificate in 64 lower-case hex digits")


async def load_plans(
    database: Database, gateway_id: str, source_ids: Iterable[int] | None = None
) -> list[SourcePlan]:
    """Return the plans of the counted sources of a gateway, in order of id.

    Args:
        database: the catalog.
        gateway_id: the observer whose sources are asked for.
        source_ids: only these; None means all.

    Raises:
        DatabaseAway: no answer.
    """
    return [plan async for chunk in stream_plans(database, gateway_id, source_ids) for plan in chunk]


async def stream_plans(
    database: Database, gateway_id: str, source_ids: Iterable[int] | None = None, *, chunk: int = CHUNK
) -> AsyncGenerator[list[SourcePlan]]:
    """Yield the same plans, `chunk` at a time, all of one snapshot of the catalog."""
    ids = None if source_ids is None else list(source_ids)
    plans: list[SourcePlan] = []
    rows: list[asyncpg.Record] = []
    shared = _Shared()
    async with database.transaction() as transaction:
        async for row in transaction.stream(
            "source_plans", gateway_id, ids, prefetch=chunk, within=LOAD_TIMEOUT
        ):
            if rows and rows[0]["source_id"] != row["source_id"]:
                plans.append(shared.plan(rows))
                rows.clear()
                if len(plans) >= chunk:
                    yield plans
                    plans = []
            rows.append(row)
    if rows:
        plans.append(shared.plan(rows))
    if plans:
        yield plans


class _Shared:
    """Makes plans that share their repeated texts and credentials: a third of the memory at 100,000 sources."""

    def __init__(self) -> None:
        self._texts: dict[str, str] = {}
        self._credentials: dict[int, StoredCredential] = {}

    def plan(self, rows: "list[asyncpg.Record]") -> SourcePlan:
        row = rows[0]
        return SourcePlan(
            source_id=row["source_id"],
            code=row["code"],
            lifecycle=Lifecycle(row["lifecycle"]),
            location_type=self._text(row["location_type"]),
            site_class=self._text(row["site_class"]) or "",
            district=self._text(row["district"]) or "",
            profile=self._text(row["profile"]) or "",
            base_profile=self._text(row["base_profile"]),
            relay_mode=RelayMode(row["relay_mode"]),
            audio_enabled=row["audio_enabled"],
            allow_basic=row["allow_basic"],
            due_on=row["due_on"],
            has_connected=row["has_connected"],
            endpoints=tuple(self._endpoint(each) for each in rows if each["endpoint_id"] is not None),
        )

    def _endpoint(self, row: "asyncpg.Record") -> EndpointPlan:
        return EndpointPlan(
            endpoint_id=row["endpoint_id"],
            protocol=Protocol(row["protocol"]),
            host=row["host"],
            port=row["port"],
            path=self._text(row["path"]) or "/",
            transport=self._text(row["transport"]) or "tcp",
            is_confirmed=row["is_confirmed"],
            credential=self._credential(row),
            tls_pin_sha256=row["tls_pin_sha256"],
            refusals=row["refusals"],
            refused_at=row["refused_at"],
            refused_version=row["refused_credential_version"],
        )

    def _credential(self, row: "asyncpg.Record") -> StoredCredential | None:
        credential_id = row["credential_id"]
        if credential_id is None:
            return None
        if credential_id not in self._credentials:
            self._credentials[credential_id] = StoredCredential(
                credential_id, row["ref"], row["version"], row["username"], row["password_encrypted"]
            )
        return self._credentials[credential_id]

    def _text(self, text: str | None) -> str | None:
        return None if text is None else self._texts.setdefault(text, text)


async def edit_source(database: Database, source_id: int, edit: SourceEdit, *, person: str) -> None:
    """Change a source as `person` asks.

    A new location type puts a source that was rejected back on the roll: it is judged anew, by the profile, before
    anything is pulled.

    Raises:
        SourceUnknown: there is no such source, or it was retired.
    """
    async with database.transaction() as transaction:
        site_id, district, lifecycle = await _locked(transaction, source_id)
        if edit.changed:
            await transaction.execute("source_edit", source_id, edit.changed, *_values(edit))
        if lifecycle is Lifecycle.REJECTED and edit.location_type is not KEEP:
            await transaction.execute("source_set_lifecycle", source_id, Lifecycle.REQUIRED.value, None, None)
            await _count(transaction, source_id, site_id, district, counted=True)
    logger.info(
        "source %d: %s changed %s",
        source_id,
        person,
        ", ".join(edit.changed) or "nothing",
        extra={"action": "source_edited", "source_id": source_id},
    )


def _values(edit: SourceEdit) -> list[object]:
    names = ("location_type", "relay_mode", "audio_enabled", "allow_basic", "mac", "serial")
    return [None if (value := getattr(edit, name)) is KEEP else value for name in names]


async def retire_source(database: Database, source_id: int, *, person: str, at: datetime) -> None:
    """Take a source off the roll: it stays on record with its history and is counted nowhere any more.

    Raises:
        SourceUnknown: there is no such source, or it was retired before.
    """
    async with database.transaction() as transaction:
        site_id, district, _ = await _locked(transaction, source_id)
        await transaction.execute("source_set_lifecycle", source_id, Lifecycle.REMOVED.value, None, at)
        await _count(transaction, source_id, site_id, district, counted=False)
    logger.info(
        "source %d: retired by %s",
        source_id,
        person,
        extra={"action": "source_retired", "source_id": source_id},
    )


async def reject_source(database: Database, source_id: int, *, requirement: str) -> bool:
    """Refuse a source by law: never relayed, counted nowhere; return whether it was not refused before.

    Args:
        database: the catalog.
        source_id: the source.
        requirement: what forbids it, e.g. `WX-9`; several are separated by commas.

    Raises:
        SourceUnknown: there is no such source, or it was retired.
    """
    async with database.transaction() as transaction:
        site_id, district, lifecycle = await _locked(transaction, source_id)
        if lifecycle is Lifecycle.REJECTED:
            return False
        await transaction.execute(
            "source_set_lifecycle", source_id, Lifecycle.REJECTED.value, requirement, None
        )
        await _count(transaction, source_id, site_id, district, counted=False)
    logger.warning(
        "source %d: refused by %s",
        source_id,
        requirement,
        extra={"action": "source_rejected", "source_id": source_id},
    )
    return True


async def add_endpoint(
    database: Database, source_id: int, endpoint: NewEndpoint, *, confirmed_by: str | None, at: datetime
) -> int:
    """Add a way to reach a source, last in order, and return its id.

    Args:
        database: the catalog.
        source_id: the source.
        endpoint: the address.
        confirmed_by: the person who attests that it is this source; None leaves that open, and nothing is pulled.
        at: when, UTC.

    Raises:
        SourceUnknown: there is no such source, or it was retired.
        ConstraintViolated: the source has this address already.
    """
    async with database.transaction() as transaction:
        await _locked(transaction, source_id)
        credential_id = await _credential_id(transaction, endpoint.credential_ref)
        address = (endpoint.protocol.value, endpoint.host, endpoint.port, endpoint.path, endpoint.transport)
        return int(
            await transaction.fetchval(
                "endpoint_add",
                source_id,
                *address,
                credential_id,
                endpoint.tls_pin_sha256,
                "operator",
                confirmed_by,
                at,
            )
        )


async def confirm_endpoint(
    database: Database, source_id: int, endpoint_id: int, *, person: str, at: datetime
) -> None:
    """Note that `person` attests that this address is this source; raises `SourceUnknown`."""
    _require(await database.execute("endpoint_confirm", source_id, endpoint_id, at, person), source_id)


async def remove_endpoint(database: Database, source_id: int, endpoint_id: int) -> None:
    """Forget a way to reach a source; raises `SourceUnknown`."""
    _require(await database.execute("endpoint_remove", source_id, endpoint_id), source_id)


async def pin_endpoint(database: Database, source_id: int, endpoint_id: int, pin_sha256: str | None) -> None:
    """Pin the certificate of an endpoint, or take the pin away with None.

    Raises:
        ValueError: the pin is no SHA-256 in hex.
        SourceUnknown: there is no such endpoint of this source.
    """
    check_pin(pin_sha256)
    _require(await database.execute("endpoint_pin", source_id, endpoint_id, pin_sha256), source_id)


async def set_endpoint_credential(
    database: Database, source_id: int, endpoint_id: int, credential_ref: str | None
) -> None:
    """Name the credential that the device of an endpoint asks for; raises `SourceUnknown`.

    The name may be new: the credential then exists without a password until somebody types it.
    """
    async with database.transaction() as transaction:
        credential_id = await _credential_id(transaction, credential_ref)
        touched = await transaction.execute("endpoint_set_credential", source_id, endpoint_id, credential_id)
        _require(touched, source_id)


async def record_refusal(
    database: Database, endpoint_id: int, credential_version: int, *, at: datetime, count: int = 1
) -> None:
    """Count that a device refused a credential, on every endpoint that leads to this device with it."""
    await database.execute("endpoint_refused", endpoint_id, credential_version, at, count)


async def clear_refusals(database: Database, endpoint_id: int) -> None:
    """Forget the refusals of a device that has taken the credential."""
    await database.execute("endpoint_accepted", endpoint_id)


async def _locked(transaction: Transaction, source_id: int) -> tuple[int, str, Lifecycle]:
    row = await transaction.fetchrow("source_for_edit", source_id)
    if row is None or row["lifecycle"] == Lifecycle.REMOVED.value:
        raise SourceUnknown(f"there is no source {source_id} on the roll")
    return row["site_id"], row["district"], Lifecycle(row["lifecycle"])


async def _count(
    transaction: Transaction, source_id: int, site_id: int, district: str, *, counted: bool
) -> None:
    """Take a source into or out of the counts.

    The recount reads what the one writer of status adds to; without the two locks it could overwrite an addition
    that is not committed yet.
    """
    await transaction.fetch("source_lock_site_counts", site_id)
    await transaction.execute("source_set_counted", source_id, counted)
    await transaction.fetch("source_lock_district_counts", district)
    await transaction.execute("source_recount_site", site_id)


async def _credential_id(statements: Statements, ref: str | None) -> int | None:
    if ref is None:
        return None
    return int(await statements.fetchval("credential_named", ref))


def _require(touched: int, source_id: int) -> None:
    if not touched:
        raise SourceUnknown(f"source {source_id} has no such endpoint")
