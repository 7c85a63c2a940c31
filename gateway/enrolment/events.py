"""Takes in what the relay workers report, and tells the status what follows from it.

The instant of a fact that opens or closes something is when we heard of it: the receiving node's clock is the
authority (status model T-2), and facts then reach the status in order. Only a sign of life keeps its own, older
instant: that of the last video packet.
"""

import logging
from dataclasses import replace
from typing import Final

from catalog.model.connectivity import DegradeReason
from gateway.enrolment.pull import (
    NO_PICTURE,
    REFUSES_US,
    RUNS,
    TRIES_WITHOUT_VIDEO,
    Phase,
    Pull,
    Session,
    obstacle_word,
    superior_word,
)
from gateway.enrolment.pulls import Pulls
from gateway.relay.protocol import (
    CodecChanged,
    Counters,
    Event,
    EventsLost,
    FirstKeyFrame,
    MediaAlive,
    MediaGapClosed,
    MediaGapOpened,
    MediaOffered,
    PictureFormatSeen,
    Playing,
    ReaderLeft,
    RelayEnded,
    RelayState,
    RelayStateChanged,
    SinkState,
    SinkStateChanged,
    SourceEvent,
    StreamFound,
    VerificationFinished,
    WorkerLog,
    WorkerLost,
    WorkerReady,
)

logger = logging.getLogger(__name__)

OUR_FAULTS: Final = frozenset({"worker_lost", "moved", "bug", "local_error"})
"""Ends that say nothing about the source."""

OUR_FAULT_REST: Final = 5.0
"""Seconds before another try after a fault of ours."""


class PullEvents:
    """Applies events to the pulls."""

    def __init__(self, pulls: Pulls) -> None:
        self._pulls = pulls
        self._status = pulls.ports.status
        self._telling = pulls.telling

    def take(self, event: Event) -> None:
        """Take in one event of a worker or of the manager."""
        match event:
            case MediaAlive():
                self._media_alive(event)
            case WorkerLost():
                for source_id in event.source_ids:
                    self._worker_lost(source_id, event.at)
            case EventsLost():
                logger.error("%d events of the relay were lost", event.count, extra={"action": "events_lost"})
                self._catch_up()
            case Counters() | ReaderLeft() | WorkerReady() | WorkerLog() | MediaOffered():
                pass
            case _:
                self._source_event(event)

    def _running(self, source_id: int, at: float) -> tuple[Pull, Session] | None:
        """Return the pull that an event of `at` belongs to; None for one of an earlier pull."""
        pull = self._pulls.get(source_id)
        if pull is None or pull.session is None or pull.phase not in RUNS or at < pull.session.started_at:
            return None
        return pull, pull.session

    def _source_event(self, event: SourceEvent) -> None:
        pull = self._pulls.get(event.source_id)
        if pull is not None and pull.phase is Phase.STOPPING:
            if isinstance(event, RelayStateChanged) and event.state is RelayState.ENDED:
                self._pulls.ended(pull)
            return
        running = self._running(event.source_id, event.at)
        if running is None:
            return
        pull, session = running
        session.proof = session.proof.after(event)
        self._apply(pull, session, event)
        self._check_first_connection(pull)

    def _apply(self, pull: Pull, session: Session, event: SourceEvent) -> None:
        match event:
            case Playing():
                self._playing(pull, session, event)
            case FirstKeyFrame():
                session.codec, session.width, session.height = event.codec, event.width, event.height
                self._delivers(pull, session)
            case VerificationFinished():
                self._verification(pull, session, event)
            case MediaGapOpened():
                session.quiet_since, session.video_told = event.at, False
                self._telling.impair(pull, DegradeReason.NO_MEDIA)
            case MediaGapClosed():
                self._delivers(pull, session)
            case CodecChanged() | PictureFormatSeen() | StreamFound():
                self._changed(session, event)
            case SinkStateChanged():
                self._sink(pull, session, event)
            case RelayEnded():
                self._ended(pull, session, event)
            case RelayStateChanged():
                pass

    def _changed(self, session: Session, event: CodecChanged | PictureFormatSeen | StreamFound) -> None:
        """Log what is not as it was: no evidence of connectivity, but the first question when a picture is wrong."""
        match event:
            case CodecChanged():
                session.codec = event.after
                action, text = "codec_changed", f"codec {event.before} became {event.after}"
            case PictureFormatSeen():
                fields = ", interlaced" if event.is_interlaced else ""
                action = "picture_format"
                text = f"{event.codec} {event.profile}, {event.width} x {event.height}{fields}"
            case _:
                outcome = "; begun anew" if event.ends else ""
                action = "stream_found"
                text = f"{event.finding.value} ({event.count} in this session) {event.detail}{outcome}"
        logger.info(
            "source %d: %s", event.source_id, text, extra={"action": action, "source_id": event.source_id}
        )

    # -- what shows that the source is there ------------------------------------------------------------------------

    def _contact(self, pull: Pull, at: float) -> None:
        """Tell that the source answered; that alone connects nothing."""
        if pull.is_connected:
            self._status.alive(pull.plan.source_id, at=at)
        else:
            self._status.seen(pull.plan.source_id, at=at)

    def _playing(self, pull: Pull, session: Session, event: Playing) -> None:
        session.codec = event.codec
        if self._pulls.refusals.accepted(session.endpoint):
            self._pulls.ports.ledger.accepted(session.endpoint.endpoint_id)
        if pull.failure in REFUSES_US:
            pull.failure = None
            self._telling.tell(pull)
        self._telling.restore(pull, DegradeReason.AUTHENTICATION_FAILED)
        self._contact(pull, event.at)

    def _delivers(self, pull: Pull, session: Session) -> None:
        """Take in that video arrives."""
        session.video_told = True
        pull.failures = 0 if pull.is_connected else pull.failures
        if pull.failure is not None:
            pull.failure = None
            self._telling.tell(pull)
        self._telling.restore(pull, DegradeReason.NO_MEDIA)

    def _media_alive(self, event: MediaAlive) -> None:
        for source_id, last_at in zip(event.source_ids, event.last_at, strict=True):
            running = self._running(source_id, last_at)
            if running is None:
                continue
            pull, session = running
            self._contact(pull, last_at)
            if not session.video_told and last_at > session.quiet_since:
                self._delivers(pull, session)
            self._check_first_connection(pull)

    def _catch_up(self) -> None:
        """Read from the relays' own view what lost events would have told."""
        for shown in self._pulls.ports.relays.snapshot():
            pull = self._pulls.get(shown.source_id)
            if pull is None or pull.session is None or pull.phase not in RUNS:
                continue
            session = pull.session
            is_recording = shown.sink_state is SinkState.RECORDING
            session.proof = replace(session.proof, is_recording=is_recording)
            session.sink = shown.sink_state
            if is_recording:
                pull.superior = None
            if shown.state is RelayState.ENDED:
                self._pulls.fail(pull, shown.cause, is_over=True, rest=self._rest(shown.cause))
            else:
                self._telling.tell(pull)

    # -- the first connection ---------------------------------------------------------------------------------------

    def _verification(self, pull: Pull, session: Session, event: VerificationFinished) -> None:
        if not event.passed:
            if not pull.is_connected:
                self._pulls.fail(pull, event.cause)
            return
        session.verified_seconds, session.verified_frames = event.received, event.frames
        session.verified_bitrate = round(8 * event.bytes / event.received) if event.received else 0
        self._delivers(pull, session)
        if not pull.is_connected:
            self._pulls.verified(pull)
            self._telling.tell(pull)

    def _check_first_connection(self, pull: Pull) -> None:
        session = pull.session
        if pull.is_connected or session is None or not session.proof.is_first_connection:
            return
        source_id, sink = pull.plan.source_id, self._pulls.conditions.sink
        if self._status.view(source_id) is None:
            # Not watched yet: the status still reads the roll. The next sign of life, in a second, asks again.
            return
        pull.is_connected, pull.failures, pull.failure, pull.superior = True, 0, None, None
        detail: dict[str, object] = {
            "codec": session.codec,
            "width": session.width,
            "height": session.height,
            "seconds": round(session.verified_seconds, 1),
            "frames": session.verified_frames,
            "bitrate": session.verified_bitrate,
            "authenticated": session.proof.is_authenticated,
            "superior": sink.name if sink is not None else None,
        }
        self._status.connected(source_id, at=self._pulls.now(), detail=detail)
        logger.info(
            "source %d: first connection: %s, %.1f s of video",
            source_id,
            session.codec,
            session.verified_seconds,
            extra={"action": "first_connection", "source_id": source_id},
        )
        self._pulls.settle(pull)

    # -- what stands in the way -------------------------------------------------------------------------------------

    def _sink(self, pull: Pull, session: Session, event: SinkStateChanged) -> None:
        session.sink = event.state
        if event.state is SinkState.RECORDING:
            pull.superior = None
        elif event.state is SinkState.FAILED:
            pull.superior = superior_word(event.cause)
            logger.warning(
                "source %d: the superior does not take it: %s %s",
                event.source_id,
                event.cause,
                event.detail,
                extra={"action": "superior_failed", "source_id": event.source_id},
            )
        self._telling.tell(pull)

    def _worker_lost(self, source_id: int, at: float) -> None:
        running = self._running(source_id, at)
        if running is None:
            return
        pull, session = running
        session.proof = session.proof.of_new_session()
        session.quiet_since, session.video_told = at, False
        if not pull.is_connected:
            self._pulls.fail(pull, "", rest=OUR_FAULT_REST)

    def _ended(self, pull: Pull, session: Session, event: RelayEnded) -> None:
        session.quiet_since, session.video_told = event.at, False
        # Whatever ended it, the device's other channels need not wait for this one any longer.
        self._pulls.refusals.left(session.endpoint, pull.plan.source_id)
        if event.cause in OUR_FAULTS or event.cause == "stopped":
            if not pull.is_connected or not event.retryable:
                self._pulls.fail(pull, "", is_over=not event.retryable, rest=OUR_FAULT_REST)
            return
        if event.refusals or event.cause == "authentication_failed":
            self._refused(session, max(event.refusals, 1))
        if event.status or event.cause in REFUSES_US or event.was_playing:
            self._answered(pull, event)
        cause = "no_media" if event.was_playing and not event.last_media_at else event.cause
        if not pull.is_connected or not event.retryable:
            rest = self._rest(cause)
            self._pulls.fail(pull, cause, is_over=not event.retryable, rest=rest)
            return
        self._interrupted(pull, cause, had_video=event.last_media_at > 0)

    def _answered(self, pull: Pull, event: RelayEnded) -> None:
        """Tell that a source that never connected was there at least; of the others the probes tell."""
        if not pull.is_connected and event.cause != "tls_pin_mismatch":
            self._status.seen(pull.plan.source_id, at=event.at)

    def _refused(self, session: Session, count: int) -> None:
        credential = session.endpoint.credential
        if credential is None:
            return
        at = self._pulls.ports.clock.now()
        self._pulls.refusals.refused(session.endpoint, count, at)
        self._pulls.ports.ledger.refused(session.endpoint.endpoint_id, credential.version, count, at)

    def _rest(self, cause: str) -> float | None:
        # Refusals are counted, and admission lets the credential rest; what nothing counts rests here.
        if cause in REFUSES_US and cause != "authentication_failed":
            return self._pulls.rules.refused_rest
        return None

    def _interrupted(self, pull: Pull, cause: str, *, had_video: bool) -> None:
        """Take in that the pull of a connected source ended and its worker is about to try again."""
        pull.failure = obstacle_word(cause)
        pull.failures = 0 if had_video else pull.failures + 1
        if cause in NO_PICTURE:
            self._telling.impair(pull, DegradeReason.NO_MEDIA)
        if pull.failures >= TRIES_WITHOUT_VIDEO and len(pull.endpoints) > 1:
            is_first_round = pull.failures <= TRIES_WITHOUT_VIDEO * len(pull.endpoints)
            self._pulls.fail(pull, cause, rest=0.0 if is_first_round else None)
        else:
            self._pulls.settle(pull)
