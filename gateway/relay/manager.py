"""The control plane's side of the relay: which source runs in which worker, and what is known of it.

async with RelayManager(clock) as relays:
    relays.start(spec)
    batch = await relays.take()
"""

import asyncio
import itertools
import logging
import os
import socket
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Final, Protocol, Self

from adapters.base import SourceKey
from gateway.clock import Clock
from gateway.relay.inbox import EventInbox
from gateway.relay.placement import Candidate, Move, Rebalancing, RebalancingRules, WorkerLoad, place
from gateway.relay.process import WorkerSlot
from gateway.relay.protocol import (
    Counters,
    Event,
    EventsLost,
    MediaAlive,
    MediaOffered,
    OfferAnswered,
    OfferRefused,
    ReaderLeft,
    RelayCounters,
    RelayEnded,
    RelayState,
    RelayStateChanged,
    ServeReader,
    SinkState,
    SinkStateChanged,
    SourceEvent,
    WorkerLog,
    WorkerLost,
    WorkerReady,
)
from gateway.relay.spec import Invitation, RelaySpec
from gateway.relay.udp import share_of
from gateway.relay.view import RelaySnapshot, RelayView

logger = logging.getLogger(__name__)

STRAINED: Final = 0.8
"""Share of a core from which on a worker may read too slowly, and a camera on TCP sends no faster than we read."""


class Caller(Protocol):
    """Invites devices and takes leave of them."""

    def offered(self, invitation: Invitation, offer: MediaOffered) -> None:
        """Invite a device: a session waits for its media. The answer goes to `RelayManager.answer`."""

    def ended(self, source_id: SourceKey) -> None:
        """Take leave of the device of a source, if it was invited: its session is over."""


class RelayManager:
    """Place relays on worker processes and keep them there; an async context manager.

    A worker that dies is replaced, and only its relays start again. A relay that was refused for good
    (`RelayEnded.retryable` false) is not begun again by itself, in no worker: `start` it anew.

    Args:
        clock: the gateway's.
        workers: processes; one a core when None.
        rebalancing: when a relay moves to another worker.
        ports: for media, in and out, over UDP and over connections that devices make; None: the kernel's choice.
    """

    def __init__(
        self,
        clock: Clock,
        *,
        workers: int | None = None,
        rebalancing: RebalancingRules | None = None,
        ports: range | None = None,
    ) -> None:
        self._clock = clock
        count = workers if workers is not None else os.cpu_count() or 1
        self._slots = [
            WorkerSlot(index, clock, share_of(ports, index, count), self._on_event, self._on_lost)
            for index in range(count)
        ]
        self._placed: dict[SourceKey, WorkerSlot] = {}
        self._views: dict[SourceKey, RelayView] = {}
        self._rebalancing = Rebalancing(rebalancing)
        self._moving: dict[SourceKey, WorkerSlot] = {}
        "Relays that take leave of their worker, and where they go."
        self._inbox = EventInbox()
        self._reader_ids = itertools.count(1)
        self._tasks = asyncio.TaskGroup()
        self._running: list[asyncio.Task[None]] = []
        self._is_leaving = False
        self.caller: Caller | None = None
        "Invites devices; None where nobody does."
        self.lost_workers = 0
        "Processes that died or hung, and were replaced."
        self.moves = 0
        "Relays that were moved to a worker less busy."

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        for slot in self._slots:
            self._running.append(self._tasks.create_task(slot.run(), name=f"relay worker {slot.index}"))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let all workers take their leave, at most `process.LEAVE` seconds."""
        self._is_leaving = True
        for task in self._running:
            task.cancel()
        # Without the block's own error, which leaves as it is and not in a group.
        await self._tasks.__aexit__(None, None, None)

    def start(self, spec: RelaySpec) -> None:
        """Run `spec`; the same spec again changes nothing, another one of the source replaces it."""
        view = self._views.get(spec.source_id)
        slot = self._placed.get(spec.source_id)
        is_running = slot is not None and slot.specs.get(spec.source_id) == spec
        if view is None or not is_running:
            now_utc = self._clock.now()
            view = self._views[spec.source_id] = RelayView(spec, now_utc, now_utc)
            view.placed_at = self._clock.monotonic()
            self._moving.pop(spec.source_id, None)
            slot = slot or self._slots[place(self.loads())]
            self._placed[spec.source_id] = slot
            slot.start(spec)

    def stop(self, source_id: SourceKey, reason: str) -> bool:
        """End a relay; return whether there was one. `RelayEnded` follows unless it had ended already."""
        slot = self._placed.pop(source_id, None)
        view = self._views.pop(source_id, None)
        self._moving.pop(source_id, None)
        if slot is not None:
            slot.stop(source_id, reason)
        return view is not None

    def serve(
        self, source_id: SourceKey, connection: socket.socket, peer: str, received: bytes
    ) -> int | None:
        """Have the worker that holds a source serve an admitted RTSP client; its copy of `connection` serves.

        Args:
            source_id: the source that it may pull.
            connection: the accepted socket; the caller closes its own copy in any case.
            peer: `host:port` of the client.
            received: what it sent since its admission, the admitted request first.

        Returns:
            The number of this reader in logs, or None when no worker could be given it.
        """
        slot, view = self._placed.get(source_id), self._views.get(source_id)
        if slot is None or view is None:
            return None
        reader = ServeReader(source_id, next(self._reader_ids), peer, b64encode(received).decode())
        if not slot.serve(reader, connection):
            return None
        view.readers.add(reader.reader_id)
        return reader.reader_id

    def is_playing(self, source_id: SourceKey) -> bool:
        """Return whether the source plays now, so that a client could be served."""
        view = self._views.get(source_id)
        return view is not None and view.state is RelayState.PLAYING

    def codec(self, source_id: SourceKey) -> str:
        """Return what the source sends, e.g. `H264`; "" where that is not known."""
        view = self._views.get(source_id)
        return "" if view is None else view.codec

    def readers(self) -> Mapping[SourceKey, int]:
        """Return how many clients each source serves, those that serve none left out."""
        return {source_id: len(view.readers) for source_id, view in self._views.items() if view.readers}

    def move(self, move: Move) -> None:
        """Have a relay leave its worker and begin in another one; `RelayEnded` with the cause `moved` follows.

        Unless it ends for good meanwhile, or is started or stopped by the caller: that holds instead.
        """
        origin, target = self._slots[move.origin], self._slots[move.target]
        if move.source_id not in origin.specs or origin is target:
            return
        self.moves += 1
        logger.info(
            "source %s moves from worker %s to worker %s, which is less busy",
            move.source_id,
            origin.pid,
            target.pid,
            extra={"action": "relay_moved", "source_id": move.source_id},
        )
        self._moving[move.source_id] = target
        origin.stop(move.source_id, "moved")

    def counters(self) -> Mapping[SourceKey, RelayCounters]:
        """Return each relay's totals since `start`, over all workers that carried it."""
        return {source_id: view.total() for source_id, view in self._views.items()}

    def snapshot(self) -> list[RelaySnapshot]:
        """Return every relay as it stands, also those that were refused and wait for a new `start`."""
        return [view.snapshot(self._worker_of(source_id)) for source_id, view in self._views.items()]

    def bitrates(self) -> Mapping[int, int]:
        """Return the bits a second received of each relay, as last counted."""
        return {source_id: view.counters.bitrate for source_id, view in self._views.items()}

    def strained(self) -> frozenset[int]:
        """Return the relays that we are slow with: their worker has no CPU to spare, or media waits for their sink."""
        full = {slot.index for slot in self._slots if slot.load().busy >= STRAINED}
        return frozenset(
            source_id
            for source_id, view in self._views.items()
            if view.counters.queue_bytes or self._placed[source_id].index in full
        )

    def workers(self) -> list[tuple[int | None, int, float]]:
        """Return process id, number of relays and CPU seconds of each worker."""
        return [(slot.pid, len(slot.specs), slot.cpu) for slot in self._slots]

    def loads(self) -> list[WorkerLoad]:
        """Return how busy each worker is."""
        return [slot.load() for slot in self._slots]

    async def take(self) -> list[Event]:
        """Wait for events and return all there are, oldest first; for one taker.

        At most `inbox.MAX_EVENTS` wait. What is dropped is counted in `EventsLost`, which then stands
        first: the taker must look at `snapshot` for what it missed. `Counters` and log lines do not
        come here; `MediaAlive` of a worker is the union since the last call.
        """
        return await self._inbox.take()

    # -- what the slots call -----------------------------------------------------------------------

    def _on_event(self, slot: WorkerSlot, event: Event) -> None:
        match event:
            case WorkerLog():
                worker_log = logging.getLogger(event.logger)
                worker_log.log(event.level, "%s", event.text, extra={"action": event.action})
            case Counters():
                self._take_counters(slot, event)
            case MediaAlive():
                self._inbox.put_alive(slot.index, event)
            case WorkerReady() | WorkerLost() | EventsLost():
                self._inbox.put(event)
            case ReaderLeft():
                self._note_reader(event)
            case MediaOffered():
                self._invite(event)
            case _:
                event = self._while_moving(slot, event)
                view = self._views.get(event.source_id)
                if view is not None:
                    view.take(event)
                if isinstance(event, RelayEnded) and not event.retryable and event.cause != "stopped":
                    slot.forget(event.source_id)
                self._inbox.put(event)
                if isinstance(event, RelayEnded):
                    self._hang_up(event.source_id)

    # -- invited devices ---------------------------------------------------------------------------

    def answer(self, answer: OfferAnswered | OfferRefused) -> None:
        """Tell a relay what became of its offer, or that the device ended the session; unknown ones are ignored."""
        slot = self._placed.get(answer.source_id)
        if slot is not None:
            slot.answer(answer)

    def _invite(self, offer: MediaOffered) -> None:
        view = self._views.get(offer.source_id)
        invitation = None if view is None else view.spec.invitation
        if invitation is None:
            return
        if self.caller is None:
            # Switched off, or its sources are left from when it was on.
            self.answer(
                OfferRefused(offer.source_id, offer.offer_id, "not_registered", "GB/T 28181 is switched off")
            )
            return
        self.caller.offered(invitation, offer)

    def _hang_up(self, source_id: SourceKey) -> None:
        if self.caller is not None:
            self.caller.ended(source_id)

    def _note_reader(self, event: ReaderLeft) -> None:
        view = self._views.get(event.source_id)
        if view is not None:
            view.readers.discard(event.reader_id)
        logger.info(
            "source %d: reader %d left (%s) after %.0f s, %d frames, %d dropped",
            event.source_id,
            event.reader_id,
            event.cause,
            event.played,
            event.frames_out,
            event.dropped_frames,
            extra={"action": "reader_left"},
        )

    def _take_counters(self, slot: WorkerSlot, event: Counters) -> None:
        slot.count(event)
        for relay in event.relays:
            view = self._views.get(relay.source_id)
            if view is not None and self._placed.get(relay.source_id) is slot:
                view.counters = relay
        self._rebalance()

    def _on_lost(self, slot: WorkerSlot, pid: int) -> None:
        """Tell for each relay of a lost worker what became of it: the fault is ours, not the source's."""
        if self._is_leaving:
            return
        self.lost_workers += 1
        for source_id in [key for key in self._moving if self._placed[key] is slot]:
            # It was about to leave; now it begins again here as the others do.
            del self._moving[source_id]
            slot.specs[source_id] = self._views[source_id].spec
        at, at_utc = self._clock.monotonic(), self._clock.now()
        self._inbox.put(WorkerLost(at, at_utc, pid, tuple(slot.specs)))
        for source_id in slot.specs:
            view = self._views[source_id]
            view.lose_worker()
            was_playing = view.state is RelayState.PLAYING
            events: list[RelayEnded | RelayStateChanged | SinkStateChanged] = [
                RelayEnded(
                    source_id,
                    at,
                    at_utc,
                    "worker_lost",
                    retryable=True,
                    detail=f"worker {pid} was lost",
                    was_playing=was_playing,
                    last_media_at=view.before.last_media_at,
                ),
                RelayStateChanged(source_id, at, at_utc, RelayState.WAITING),
            ]
            if view.spec.sink is not None:
                events.append(SinkStateChanged(source_id, at, at_utc, SinkState.IDLE, "worker_lost"))
            for event in events:
                view.take(event)
                self._inbox.put(event)
            self._hang_up(source_id)

    # -- moving ------------------------------------------------------------------------------------

    def _rebalance(self) -> None:
        """Move a relay to another worker if the loads have been uneven for long enough."""
        now = self._clock.monotonic()

        def candidates(index: int) -> list[Candidate]:
            settled = self._rebalancing.rules.settled
            views = [self._views[source_id] for source_id in self._slots[index].specs]
            return [
                Candidate(view.spec.source_id, view.counters.bitrate)
                for view in views
                if view.is_movable(now, settled)
            ]

        move = self._rebalancing.look(self.loads(), candidates, now)
        if move is not None:
            self.move(move)

    def _while_moving(self, slot: WorkerSlot, event: SourceEvent) -> SourceEvent:
        """Return `event` as it reads where the relay is being moved: its end is our doing, and it goes on.

        With its last event it has taken its leave of the camera and the superior, and begins in its new worker.
        """
        target = self._moving.get(event.source_id)
        if target is None or self._placed.get(event.source_id) is not slot:
            return event
        match event:
            case RelayEnded(cause="stopped"):
                return replace(event, cause="moved", retryable=True)
            case RelayEnded(retryable=False):
                del self._moving[event.source_id]
            case RelayStateChanged(state=RelayState.ENDED):
                del self._moving[event.source_id]
                view = self._views[event.source_id]
                view.lose_worker()
                view.placed_at = self._clock.monotonic()
                self._placed[event.source_id] = target
                target.start(view.spec)
                return replace(event, state=RelayState.WAITING)
            case _:
                pass
        return event

    def _worker_of(self, source_id: SourceKey) -> int | None:
        slot = self._placed.get(source_id)
        return slot.pid if slot is not None and source_id in slot.specs else None
