"""The messages between the control plane and its relay workers: commands down, events up.

Pure values. `wire` writes them as lines of JSON; credentials travel in `StartRelay` and nowhere else.
Each event carries both its receipt times, taken in the worker: `at`, monotonic seconds (one clock for
all processes of a Linux machine), and `at_utc`, timezone-aware.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from adapters.base import SourceKey, Transport
from gateway.relay.continuity import Finding
from gateway.relay.spec import RelaySpec


class RelayState(StrEnum):
    """Where the pull of one source stands."""

    CONNECTING = "connecting"
    PLAYING = "playing"
    "PLAY was answered 200; media may still be missing."
    WAITING = "waiting"
    "Between two tries."
    ENDED = "ended"
    "No further try by itself: stopped, or refused for good."


class SinkState(StrEnum):
    """Where the push of one source stands."""

    NONE = "none"
    "The relay has no sink."
    IDLE = "idle"
    "The pull delivers nothing that could be announced."
    CONNECTING = "connecting"
    RECORDING = "recording"
    "RECORD was answered 200 and the connection is up."
    FAILED = "failed"
    "The last try failed; the next follows by itself."


# Commands: control plane to worker.


@dataclass(frozen=True)
class StartRelay:
    """Begin a relay; one with the same `source_id` is ended first."""

    spec: RelaySpec


@dataclass(frozen=True)
class StopRelay:
    """End a relay; unknown ids are ignored."""

    source_id: SourceKey
    reason: str


@dataclass(frozen=True)
class Shutdown:
    """End all relays cleanly and leave."""


@dataclass(frozen=True)
class ServeReader:
    """Serve an admitted RTSP client; travels with its socket, see `handover`."""

    source_id: SourceKey
    reader_id: int
    "Ours, for events and logs; never used again."
    peer: str
    "`host:port` of the client."
    received: str
    "Base64 of what it sent since its admission, the admitted request first; no secret, for Digest sends none."


@dataclass(frozen=True)
class OfferAnswered:
    """The device took the invitation; its media may come now."""

    source_id: SourceKey
    offer_id: int
    hosts: tuple[str, ...]
    "Addresses that its media may come from: as it answered, and where it is registered."
    port: int
    "As it answered, 0 where it named none: where we connect to, if we do."


@dataclass(frozen=True)
class OfferRefused:
    """The device did not take the invitation, or ended the session that it had taken."""

    source_id: SourceKey
    offer_id: int
    cause: str
    "An adapter error's stable word: `refused`, `timeout`, `closed`, `not_registered`, `local_error` …"
    detail: str
    status: int = 0
    "Of its answer, 0 where it gave none."


Command = StartRelay | StopRelay | Shutdown | ServeReader | OfferAnswered | OfferRefused


# Events: worker to control plane.


@dataclass(frozen=True)
class RelayStateChanged:
    """The pull entered `state`."""

    source_id: SourceKey
    at: float
    at_utc: datetime
    state: RelayState


@dataclass(frozen=True)
class MediaOffered:
    """A session is ready for the media of an invited device: it is to be invited now."""

    source_id: SourceKey
    at: float
    at_utc: datetime
    offer_id: int
    "The worker's; an answer names it."
    port: int
    "Where its media are to come to; 0 where we shall connect."


@dataclass(frozen=True)
class Playing:
    """The source answered PLAY with 200."""

    source_id: SourceKey
    at: float
    at_utc: datetime
    codec: str
    transport: Transport
    has_audio: bool
    "Whether the source offers audio, carried or not."
    authenticated: bool
    "Whether the source asked for our credential and took it in this session."


@dataclass(frozen=True)
class FirstKeyFrame:
    """The first key frame of a session arrived; at verification: and was decoded, or was not."""

    source_id: SourceKey
    at: float
    at_utc: datetime
    codec: str
    decoded: bool
    "False also where no decoding was asked for."
    width: int
    "Pixels as decoded; 0 when not decoded."
    height: int
    "Pixels as decoded; 0 when not decoded."


@dataclass(frozen=True)
class VerificationFinished:
    """The verification pull came to its end.

    `passed` means: at least `needed` seconds of video without a gap, and one key frame of them decoded.
    """

    source_id: SourceKey
    at: float
    at_utc: datetime
    passed: bool
    cause: str
    "Empty when passed, else `no_decodable_key_frame` or `no_steady_video`."
    needed: float
    received: float
    "Seconds of video without a gap up to now."
    frames: int
    "Frames in these seconds."
    bytes: int = 0
    "Bytes of media in these seconds, headers included."


@dataclass(frozen=True)
class MediaGapOpened:
    """No video packet for `bounds.media_gap` seconds."""

    source_id: SourceKey
    at: float
    at_utc: datetime
    last_media_at: float
    "Monotonic; of the last video packet, or of PLAY when none ever came."


@dataclass(frozen=True)
class MediaGapClosed:
    """Video is there again after a gap of `gap` seconds."""

    source_id: SourceKey
    at: float
    at_utc: datetime
    gap: float


@dataclass(frozen=True)
class CodecChanged:
    """The source now sends another codec than before in this worker."""

    source_id: SourceKey
    at: float
    at_utc: datetime
    before: str
    after: str


@dataclass(frozen=True)
class PictureFormatSeen:
    """What the parameter sets say of the pictures: told at a session's first key picture, and when it changes."""

    source_id: SourceKey
    at: float
    at_utc: datetime
    codec: str
    profile: str
    width: int
    "Pixels."
    height: int
    is_interlaced: bool


@dataclass(frozen=True)
class StreamFound:
    """The stream under way did not simply go on."""

    source_id: SourceKey
    at: float
    at_utc: datetime
    finding: Finding
    count: int
    "How often in this session, told or not."
    ends: bool
    "Whether the session is ended for it, so that every taker begins anew."
    detail: str = ""
    "Numbers for people."


@dataclass(frozen=True)
class SinkStateChanged:
    """The push entered `state`."""

    source_id: SourceKey
    at: float
    at_utc: datetime
    state: SinkState
    cause: str = ""
    "Why it failed: the stable word of the adapter's error."
    status: int = 0
    "The superior's status code where it refused, else 0."
    detail: str = ""
    "One line for people; names the peer, holds no secret."


@dataclass(frozen=True)
class RelayEnded:
    """One pull session is over. When `retryable`, the worker begins another by itself."""

    source_id: SourceKey
    at: float
    at_utc: datetime
    cause: str
    "The stable word of the adapter's error, `stopped`, `moved`, `worker_lost` or `bug`."
    retryable: bool
    status: int = 0
    "The source's status code where it refused, else 0."
    refusals: int = 0
    "How often the source refused our credential in this session."
    detail: str = ""
    "One line for people; names the peer, holds no secret."
    was_playing: bool = False
    "Whether PLAY had been answered 200 in this session."
    last_media_at: float = 0.0
    "Monotonic; of the last video packet of this session, 0 when there was none."


@dataclass(frozen=True)
class RelayCounters:
    """The running totals of one relay since the worker began it, and its rates over the last second."""

    source_id: SourceKey
    frames: int
    key_frames: int
    bytes_in: int
    bitrate: int
    "Bits per second received over the last period."
    last_media_at: float
    "Monotonic, of the last video packet; 0 when there was none."
    frames_out: int
    "Frames handed to the sink's connection."
    bytes_out: int
    dropped_frames: int
    "Frames that the sink was too slow for."
    drops: int
    "How many times dropping began."
    queue_bytes: int
    sessions: int
    "Pull sessions begun."
    damaged_frames: int = 0
    "Frames of which the beginning went out and the end did not."
    skipped_frames: int = 0
    "Frames before the first key frame of a connection to the sink."
    queue_seconds: float = 0.0
    "Age of the oldest media that waits for the sink."
    delay: float = 0.0
    "The longest that media waited between its receipt and the sink's connection, over the last period."
    lost: int = 0
    "RTP packets over UDP that never came, or too late to be passed on."
    late: int = 0
    "Those of them that came too late."
    reordered: int = 0
    "Packets that came behind a later one and were put in order."
    duplicates: int = 0
    "Packets that came twice; dropped."
    foreign: int = 0
    "Datagrams dropped: another sender's, another SSRC's, no RTP, or too long."
    kernel_drops: int = 0
    "Datagrams that the worker was too slow for; they are among `lost`."
    restarts: int = 0
    "How often the source restarted its stream over UDP: a jump of its sequence, or another SSRC, which ends a pull."
    jitter: float = 0.0
    "Seconds, of the video's packets (RFC 3550, 6.4.1)."
    loss: float = 0.0
    "Share of the packets over UDP lost in the last 60 s, 0 to 1."
    lost_packets: int = 0
    "Video packets that the sequence passed over between pictures, as the packets that did arrive tell."
    discontinuities: int = 0
    "Breaks in the stream: jumps, restarts, changes; see `continuity.POLICIES`."


@dataclass(frozen=True)
class Counters:
    """All relays of one worker, once a second."""

    at: float
    at_utc: datetime
    cpu: float
    "CPU seconds that the worker has used since its start."
    relays: tuple[RelayCounters, ...]


@dataclass(frozen=True)
class MediaAlive:
    """The sources of which video arrived since the worker's last such message: positive evidence."""

    at: float
    at_utc: datetime
    source_ids: tuple[SourceKey, ...]
    last_at: tuple[float, ...]
    "Of each source in order: the monotonic instant of its newest video."

    def __post_init__(self) -> None:
        if len(self.source_ids) != len(self.last_at):
            raise ValueError("each source needs its instant")


@dataclass(frozen=True)
class WorkerReady:
    """The worker reads commands now."""

    at: float
    at_utc: datetime
    pid: int


@dataclass(frozen=True)
class WorkerLost:
    """A worker process died or was replaced; its relays begin again elsewhere. Made by the manager."""

    at: float
    at_utc: datetime
    pid: int
    source_ids: tuple[SourceKey, ...]


@dataclass(frozen=True)
class WorkerLog:
    """A log line of the worker, to be logged by the control plane."""

    logger: str
    level: int
    text: str
    action: str


@dataclass(frozen=True)
class EventsLost:
    """So many events were dropped because nobody took them in time."""

    count: int


@dataclass(frozen=True)
class ReaderLeft:
    """A client that pulled from us is gone."""

    source_id: SourceKey
    reader_id: int
    at: float
    at_utc: datetime
    cause: str
    "Why: `left`, `stream_ended`, `no_stream`, `stopped`, or the stable word of the adapter's error."
    played: float
    "Seconds from PLAY to the end, 0 when it never played."
    frames_out: int
    bytes_out: int
    dropped_frames: int


SourceEvent = (
    RelayStateChanged
    | Playing
    | FirstKeyFrame
    | VerificationFinished
    | MediaGapOpened
    | MediaGapClosed
    | CodecChanged
    | PictureFormatSeen
    | StreamFound
    | SinkStateChanged
    | RelayEnded
)
"""Facts about one source."""

Event = (
    SourceEvent
    | MediaOffered
    | Counters
    | MediaAlive
    | ReaderLeft
    | WorkerReady
    | WorkerLost
    | WorkerLog
    | EventsLost
)
