"""Asks cameras for a key picture when somebody waits for one (SetSynchronizationPoint of ONVIF, IFrameCmd)."""

import asyncio
import logging
from typing import Final

from adapters.errors import AdapterError
from catalog.errors import CatalogError
from gateway.clock import Clock
from gateway.onvif.devices import NoDevice
from gateway.turning import Turnables

logger = logging.getLogger(__name__)

AT_MOST_EVERY: Final = 2.0
"""Seconds between two requests to one camera: a key picture is many times the size of another."""

MAX_WAITING: Final = 64
"""Sources that may wait to be asked for; of more the newest is dropped, and counted."""

AT_ONCE: Final = 8
"""Cameras asked at the same time: one that does not answer holds up no other."""

GIVEN_UP_AFTER: Final = 5.0
"""Seconds for one camera: by then most have sent a key picture by themselves."""


class KeyFrames:
    """Takes wishes at once and carries them out, `AT_ONCE` at a time; `run` does the work.

    Attributes:
        asked: cameras that took the request.
        failed: requests that came to nothing.
        dropped: wishes that found the queue full.
    """

    def __init__(self, opened: Turnables, clock: Clock) -> None:
        self._opened = opened
        self._clock = clock
        self._queue: asyncio.Queue[int] = asyncio.Queue(MAX_WAITING)
        self._asked_at: dict[int, float] = {}
        self.asked = 0
        self.failed = 0
        self.dropped = 0

    def want(self, source_id: int) -> None:
        """Have the camera of a source asked soon, unless it just was; a source without a device has none."""
        now = self._clock.monotonic()
        self._asked_at = {each: at for each, at in self._asked_at.items() if now - at < AT_MOST_EVERY}
        if source_id in self._asked_at:
            return
        try:
            self._queue.put_nowait(source_id)
        except asyncio.QueueFull:
            self.dropped += 1
            return
        self._asked_at[source_id] = now

    async def run(self) -> None:
        """Ask; runs until cancelled."""
        async with asyncio.TaskGroup() as group:
            for index in range(AT_ONCE):
                group.create_task(self._work(), name=f"key-frames-{index}")

    async def _work(self) -> None:
        while True:
            await self._ask(await self._queue.get())

    async def _ask(self, source_id: int) -> None:
        try:
            async with asyncio.timeout(GIVEN_UP_AFTER):
                opened = await self._opened.of_source(source_id)
                profile = opened.profile()
                if profile is None:
                    return
                await opened.device.set_synchronization_point(profile)
        except NoDevice:
            # Cameras known by their RTSP address alone, and those never interrogated.
            return
        except (AdapterError, CatalogError, TimeoutError) as error:
            # The view goes on waiting for the camera's own next key picture.
            self.failed += 1
            self._opened.forget(source_id)
            logger.info(
                "source %d was not asked for a key picture: %s",
                source_id,
                str(error) or f"no answer in {GIVEN_UP_AFTER:g} s",
                extra={"action": "key_frame_not_asked", "source_id": source_id},
            )
            return
        self.asked += 1
