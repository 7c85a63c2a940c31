"""Asks matched ONVIF devices who they are and what they stream, when they are due.

Due are devices never asked, those whose hour has come, those that announced themselves, and those whose credential
changed. What a device tells becomes: its report, dated facts (drift), the degrade reason for a wrong clock, and the
address of its main stream, which enrolment then pulls. A device that is not the one of the roll gets none of that.
"""

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol
from urllib.parse import urlsplit

from adapters.errors import AdapterError
from adapters.onvif.report import DeviceReport
from catalog.database import Database
from catalog.errors import CatalogError, CredentialUnreadable
from catalog.model.connectivity import DegradeReason
from catalog.model.sighting import Protocol as Speech
from catalog.model.sighting import Sighting, SightingState
from catalog.onvif_devices import (
    DUE_AT_ONCE,
    DeviceEvent,
    DeviceEventKind,
    DueDevice,
    StreamAddress,
    add_events,
    add_fresh_events,
    due_devices,
    learn_stream,
    note_answer,
    note_failure,
    withdraw_match,
)
from catalog.sightings import Recorded, record_sightings
from catalog.sources import clear_refusals, record_refusal
from gateway.clock import Clock
from gateway.onvif.devices import OnvifDevices
from gateway.onvif.drift import changes, is_off, mac_at, one_lens, report_as_json
from gateway.supervisor import isolated

logger = logging.getLogger(__name__)

LOOK_EVERY: Final = 5.0
"""Seconds between two looks for devices that are due, when nobody wakes us."""

LONGEST: Final = 60.0
"""Seconds for one interrogation, all its requests together."""

DATABASE_REST: Final = 2.0

FIRST_RETRY: Final = 60.0
"""Seconds until a device that did not answer is asked again; doubled each time up to the usual interval."""

REFUSED_REST: Final = timedelta(hours=6)
"""Until a refused password is tried again by itself; a changed one is tried at once. Devices lock accounts."""

_WAITS_FOR_PERSON: Final = frozenset(
    {"authentication_failed", "credential_missing", "credential_unreadable", "weak_authentication"}
)
_MATCHED: Final = frozenset({SightingState.MATCHED, SightingState.ACCEPTED})


@dataclass(frozen=True)
class InterrogationRules:
    """How often and how many."""

    interval: float
    "Seconds between two interrogations of a device."
    concurrency: int
    clock_tolerance: float
    "Seconds."


class DeviceStatus(Protocol):
    """What of the status an interrogation tells; `gateway.status.StatusService` is one. `at`: monotonic seconds."""

    def seen(self, source_id: int, *, at: float) -> None:
        """Take in contact with the device that is no connection."""
        ...

    def impaired(self, source_id: int, reason: DegradeReason, *, at: float) -> None:
        """Take in that a degrade reason opened."""
        ...

    def restored(self, source_id: int, reason: DegradeReason, *, at: float) -> None:
        """Take in that a degrade reason closed."""
        ...


class Interrogation:
    """Interrogates for as long as `run` runs.

    Args:
        database: the catalog.
        gateway_id: whose sources.
        devices: opens them.
        status: told of contact and of wrong clocks.
        clock: tells and waits.
        rules: how often.
    """

    def __init__(
        self,
        database: Database,
        gateway_id: str,
        devices: OnvifDevices,
        status: DeviceStatus,
        clock: Clock,
        rules: InterrogationRules,
    ) -> None:
        self._database = database
        self._gateway_id = gateway_id
        self._devices = devices
        self._status = status
        self._clock = clock
        self._rules = rules
        self._waker = asyncio.Event()
        self._under_way: set[int] = set()
        self._queue: asyncio.Queue[DueDevice] = asyncio.Queue(DUE_AT_ONCE)
        self.answered = 0
        self.failed = 0

    def wake(self) -> None:
        """Look for due devices now."""
        self._waker.set()

    async def run(self) -> None:
        """Interrogate what is due; runs until cancelled."""
        # What an earlier run left half done is due again.
        self._under_way.clear()
        self._queue = asyncio.Queue(DUE_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            for index in range(self._rules.concurrency):
                group.create_task(self._work(), name=f"onvif-interrogation-{index}")
            while True:
                await self._hand_out()

    async def _hand_out(self) -> None:
        self._waker.clear()
        try:
            await self._devices.refresh()
            due = await due_devices(self._database, self._gateway_id, at=self._clock.now())
        except CatalogError as error:
            logger.warning("interrogations wait: %s", error, extra={"action": "onvif_waits"})
            await self._clock.sleep(DATABASE_REST)
            return
        fresh = [device for device in due if device.endpoint_id not in self._under_way]
        for device in fresh:
            self._under_way.add(device.endpoint_id)
            await self._queue.put(device)
        if len(due) < DUE_AT_ONCE or not fresh:
            await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(LOOK_EVERY):
                await self._waker.wait()
        except TimeoutError:
            return

    async def _work(self) -> None:
        while True:
            device = await self._queue.get()
            try:
                await self._guarded(device)
            except CatalogError as error:
                # It stays due, and is handed out again.
                logger.warning("an interrogation is lost: %s", error, extra={"action": "onvif_waits"})
                await self._clock.sleep(DATABASE_REST)
            finally:
                self._under_way.discard(device.endpoint_id)

    async def _guarded(self, device: DueDevice) -> None:
        """Interrogate; a bug that one device finds is that device's failure, and rests like any other."""

        async def ask() -> CatalogError | bool:
            try:
                await self.interrogate(device)
            except CatalogError as error:
                return error
            return True

        outcome = await isolated(f"interrogation of source {device.source_id}", ask, lambda: False)
        if isinstance(outcome, CatalogError):
            raise outcome
        if not outcome:
            await self._fail(device, "local_error", "an error of ours: the log tells")

    async def interrogate(self, device: DueDevice) -> DeviceReport | None:
        """Interrogate one device now and store what came of it; None when it failed.

        Raises:
            CatalogError: what came of it could not be stored.
        """
        if not self._devices.may_reach(device.host):
            await self._fail(device, "network_not_authorised", "no live authorisation covers its address")
            return None
        try:
            opened = self._devices.open(device)
            async with asyncio.timeout(LONGEST):
                report = await opened.interrogate()
        except TimeoutError:
            await self._fail(device, "timeout", f"no whole interrogation in {LONGEST:g} s")
            return None
        except CredentialUnreadable as error:
            await self._fail(device, "credential_unreadable", str(error))
            return None
        except AdapterError as error:
            await self._refuse_or_fail(device, error)
            return None
        await self._take(device, report)
        return report

    async def _refuse_or_fail(self, device: DueDevice, error: AdapterError) -> None:
        if error.cause == "authentication_failed" and device.version is not None:
            await record_refusal(
                self._database, device.endpoint_id, device.version, at=self._clock.now(), count=1
            )
        await self._fail(device, error.cause, str(error))

    async def _fail(self, device: DueDevice, cause: str, failure: str) -> None:
        self.failed += 1
        now = self._clock.now()
        if device.failures == 0:
            logger.info(
                "source %d: its ONVIF device at %s:%d: %s",
                device.source_id,
                device.host,
                device.port,
                failure,
                extra={"action": "onvif_failed", "source_id": device.source_id, "cause": cause},
            )
        await note_failure(
            self._database,
            device,
            at=now,
            next_at=now + self._rest(device.failures, cause),
            cause=cause,
            failure=failure,
        )

    def _rest(self, failures: int, cause: str) -> timedelta:
        if cause in _WAITS_FOR_PERSON:
            return REFUSED_REST
        return timedelta(seconds=min(self._rules.interval, FIRST_RETRY * 2 ** min(failures, 10)))

    async def _take(self, device: DueDevice, report: DeviceReport) -> None:
        self.answered += 1
        now, monotonic = self._clock.now(), self._clock.monotonic()
        recorded = await self._identify(device, report, now)
        if device.credential is not None:
            await clear_refusals(self._database, device.endpoint_id)
        await note_answer(
            self._database,
            device,
            at=now,
            next_at=now + timedelta(seconds=self._rules.interval),
            clock_offset=report.clock_offset,
            report=report_as_json(report),
        )
        tolerance = self._rules.clock_tolerance
        await add_events(self._database, changes(device, report, at=now, tolerance=tolerance))
        if not _is_the_source(recorded, device):
            await self._mismatch(device, recorded, now)
            return
        self._status.seen(device.source_id, at=monotonic)
        self._judge_clock(device.source_id, report.clock_offset, monotonic)
        if one_lens(list(report.profiles)):
            await learn_stream(self._database, device, _streams(report, device), at=now)

    async def _identify(self, device: DueDevice, report: DeviceReport, now: datetime) -> Recorded:
        """Let the catalog judge the device by what it proved with the credential."""
        sighting = Sighting(
            protocol=Speech.ONVIF,
            host=device.host,
            port=device.port,
            seen_at=now,
            server=" ".join(filter(None, (report.identity.manufacturer, report.identity.model))) or None,
            mac=mac_at(report, device.host, device.roll_mac),
            serial=report.identity.serial_number or None,
            detail={"path": device.path},
        )
        (recorded,) = await record_sightings(self._database, [sighting])
        return recorded

    async def _mismatch(self, device: DueDevice, recorded: Recorded, now: datetime) -> None:
        reason = recorded.match.reason.en if recorded.match is not None else "it fits no source of the roll"
        logger.warning(
            "source %d: the device at %s is not certainly its own: %s",
            device.source_id,
            device.host,
            reason,
            extra={"action": "onvif_mismatch", "source_id": device.source_id},
        )
        event = DeviceEvent(
            device.source_id,
            now,
            DeviceEventKind.IDENTITY_MISMATCH,
            {
                "host": device.host,
                "mac": recorded.sighting.mac,
                "serial": recorded.sighting.serial,
                "reason": reason,
            },
        )
        await add_fresh_events(self._database, [event])
        await withdraw_match(self._database, device)

    def _judge_clock(self, source_id: int, offset: float | None, monotonic: float) -> None:
        if offset is None:
            return
        if is_off(offset, self._rules.clock_tolerance):
            self._status.impaired(source_id, DegradeReason.CLOCK_SKEW, at=monotonic)
        else:
            self._status.restored(source_id, DegradeReason.CLOCK_SKEW, at=monotonic)


def _is_the_source(recorded: Recorded, device: DueDevice) -> bool:
    """Tell whether the catalog, now that it knows who the device is, still takes it for the source's."""
    if recorded.state not in _MATCHED:
        return False
    # What a person accepted stays theirs; a rule must name this very source.
    return recorded.state is SightingState.ACCEPTED or (
        recorded.match is not None and device.source_id in recorded.match.candidates
    )


def _streams(report: DeviceReport, device: DueDevice) -> list[StreamAddress]:
    found = []
    for profile in report.profiles:
        parts = urlsplit(profile.stream_uri)
        if not profile.encoding or not parts.port:
            continue
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        found.append(StreamAddress(Speech(parts.scheme), device.host, parts.port, path))
    return found
