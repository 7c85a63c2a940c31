"""Tells every target what it has not been told yet; what there is to tell stands in the catalog, in no queue.

A notice under way is noted before it is sent. When nobody takes it, or Muster is killed, the same one is sent again
under the same id; what happens meanwhile goes into the next.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from catalog.credentials import Vault
from catalog.database import Database
from catalog.errors import CatalogError, CredentialUnreadable
from catalog.model.notice import Digest, NoticeEvent, digest
from catalog.notice_targets import Target, list_targets, note_begun, note_done, note_failed
from catalog.notices import happenings, overdue_orders, overdue_sites, waiting
from catalog.reading import local_day
from catalog.reports import View
from gateway.clock import Clock
from gateway.config import Config
from gateway.notices.delivery import deliver
from gateway.notices.errors import NoticeNotTaken
from gateway.notices.message import Notice
from gateway.supervisor import isolated

logger = logging.getLogger(__name__)

LOOK_EVERY: Final = 5.0
"""Seconds between two looks."""

FIRST_REST: Final = 10.0
"""Seconds after which a target that did not take a notice is asked again; doubled each time."""

LONGEST_REST: Final = 900.0


@dataclass
class _Rest:
    until: float
    length: float


class Notices:
    """Follows the targets of one gateway for as long as `run` runs."""

    def __init__(self, database: Database, vault: Vault, config: Config, clock: Clock) -> None:
        self._database = database
        self._vault = vault
        self._config = config
        self._clock = clock
        self._resting: dict[int, _Rest] = {}

    async def run(self) -> None:
        """Look every few seconds; runs until cancelled."""
        while True:
            try:
                await self.look()
            except CatalogError as error:
                logger.warning("notices wait: %s", error, extra={"action": "notices_wait"})
            await self._clock.sleep(LOOK_EVERY)

    async def look(self) -> None:
        """Tell every target what is due now, all of them at once: a slow one costs the others its timeout at most.

        Raises:
            DatabaseAway: no answer.
        """
        targets = await list_targets(self._database, self._config.gateway.id)
        self._resting = {
            target.target_id: rest
            for target in targets
            if (rest := self._resting.get(target.target_id)) is not None
        }
        async with asyncio.TaskGroup() as tasks:
            for target in targets:
                tasks.create_task(self._isolated(target), name=f"notice {target.name}")

    async def _isolated(self, target: Target) -> None:
        """Tell one target, unless it rests; a bug that it finds is its own."""
        rest = self._resting.get(target.target_id)
        if rest is None or self._clock.monotonic() >= rest.until:
            name = f"notice {target.name}"
            await isolated(name, lambda: self._tell(target), lambda: self._rest(target))

    async def _tell(self, target: Target) -> None:
        now = self._clock.now()
        try:
            ahead = await self._ahead(target, now)
            if ahead is None:
                return
            notice = await self._compose(target, *ahead, now)
            if not notice.is_empty:
                await deliver(notice, target, self._vault, at=now)
                logger.info(
                    "notice %s was taken by %s",
                    notice.notice_id,
                    target.name,
                    extra={"action": "notice_sent"},
                )
            await note_done(self._database, target, None if notice.is_empty else now)
        except (NoticeNotTaken, CredentialUnreadable) as error:
            self._rest(target)
            logger.warning("notice target %s: %s", target.name, error, extra={"action": "notice_not_taken"})
            await self._note_failed(target, now, str(error))
        except CatalogError as error:
            logger.warning("notice target %s waits: %s", target.name, error, extra={"action": "notices_wait"})
        else:
            self._resting.pop(target.target_id, None)

    async def _note_failed(self, target: Target, now: datetime, why: str) -> None:
        try:
            await note_failed(self._database, target, now, why)
        except CatalogError as error:
            logger.warning(
                "the failure of %s is not noted: %s", target.name, error, extra={"action": "notices_wait"}
            )

    def _rest(self, target: Target) -> None:
        rest = self._resting.get(target.target_id)
        length = FIRST_REST if rest is None else min(2 * rest.length, LONGEST_REST)
        self._resting[target.target_id] = _Rest(self._clock.monotonic() + length, length)

    async def _ahead(self, target: Target, now: datetime) -> tuple[int, date] | None:
        """Return up to where the target is told now, noted; None when nothing is due yet."""
        if target.pending_seq is not None and target.pending_day is not None:
            return target.pending_seq, target.pending_day
        found, today = await waiting(self._database, target), local_day(now)
        is_ripe = found is not None and (
            found.is_full or now >= found.since + timedelta(seconds=target.collect)
        )
        if not is_ripe and today <= target.told_day:
            return None
        seq = found.last_seq if found is not None and is_ripe else target.told_seq
        day = max(today, target.told_day)
        await note_begun(self._database, target, seq, day)
        return seq, day

    async def _compose(self, target: Target, seq: int, day: date, now: datetime) -> Notice:
        happened = Digest()
        if seq > target.told_seq:
            happened = digest(await happenings(self._database, target, seq), target.events)
        here = self._config
        days = NoticeEvent.OVERDUE in target.events and day > target.told_day
        return Notice(
            notice_id=f"{here.gateway.id}-{target.target_id}-{seq}-{day:%Y%m%d}",
            gateway_id=here.gateway.id,
            jurisdiction=here.jurisdiction.name,
            made_at=now,
            digest=happened,
            overdue_sites=await overdue_sites(self._database, target, day) if days else (),
            overdue_orders=(
                await overdue_orders(self._database, target, day, View(now=now, region=target.region))
                if days
                else ()
            ),
        )
