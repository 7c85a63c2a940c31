"""The states of RTSP sessions and the tables by which alone they change."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final


class State(StrEnum):
    """Where a session stands; those in capitals wait for the answer to that request."""

    NEW = "new"
    OPTIONS = "OPTIONS"
    DESCRIBE = "DESCRIBE"
    ANNOUNCE = "ANNOUNCE"
    SETUP = "SETUP"
    PLAY = "PLAY"
    RECORD = "RECORD"
    STREAMING = "streaming"
    TEARDOWN = "TEARDOWN"
    CLOSED = "closed"


class Trigger(StrEnum):
    """What moves a session."""

    START = "start"
    ANSWERED = "answered"
    REFUSED = "refused"
    "A refusal other than 401."
    MOVED = "moved"
    "A redirect on the same host."
    MORE_TRACKS = "more_tracks"
    "SETUP answered, and another track waits."
    OTHER_TRANSPORT = "other_transport"
    "461, and the other transport has not been tried."
    TIMEOUT = "timeout"
    CLOSE = "close"


_CLOSING: Final = {
    (State.STREAMING, Trigger.ANSWERED): State.STREAMING,
    (State.STREAMING, Trigger.REFUSED): State.STREAMING,
    (State.STREAMING, Trigger.TIMEOUT): State.STREAMING,
    **{(s, Trigger.CLOSE): State.TEARDOWN for s in (State.SETUP, State.PLAY, State.RECORD, State.STREAMING)},
    **{
        (s, Trigger.CLOSE): State.CLOSED
        for s in (State.NEW, State.OPTIONS, State.DESCRIBE, State.ANNOUNCE, State.CLOSED)
    },
    (State.TEARDOWN, Trigger.CLOSE): State.TEARDOWN,
    (State.TEARDOWN, Trigger.ANSWERED): State.CLOSED,
    (State.TEARDOWN, Trigger.REFUSED): State.CLOSED,
    (State.TEARDOWN, Trigger.TIMEOUT): State.CLOSED,
}

PULL_TRANSITIONS: Final[Mapping[tuple[State, Trigger], State]] = MappingProxyType(
    {
        (State.NEW, Trigger.START): State.OPTIONS,
        (State.OPTIONS, Trigger.ANSWERED): State.DESCRIBE,
        (State.OPTIONS, Trigger.REFUSED): State.DESCRIBE,
        (State.DESCRIBE, Trigger.MOVED): State.DESCRIBE,
        (State.DESCRIBE, Trigger.ANSWERED): State.SETUP,
        (State.SETUP, Trigger.OTHER_TRANSPORT): State.SETUP,
        (State.SETUP, Trigger.MORE_TRACKS): State.SETUP,
        (State.SETUP, Trigger.ANSWERED): State.PLAY,
        (State.PLAY, Trigger.ANSWERED): State.STREAMING,
        **_CLOSING,
    }
)
"""The only way in which a pull changes its state; a missing row is an error."""

PUSH_TRANSITIONS: Final[Mapping[tuple[State, Trigger], State]] = MappingProxyType(
    {
        (State.NEW, Trigger.START): State.OPTIONS,
        (State.OPTIONS, Trigger.ANSWERED): State.ANNOUNCE,
        (State.OPTIONS, Trigger.REFUSED): State.ANNOUNCE,
        (State.ANNOUNCE, Trigger.ANSWERED): State.SETUP,
        (State.SETUP, Trigger.OTHER_TRANSPORT): State.SETUP,
        (State.SETUP, Trigger.MORE_TRACKS): State.SETUP,
        (State.SETUP, Trigger.ANSWERED): State.RECORD,
        (State.RECORD, Trigger.ANSWERED): State.STREAMING,
        **{row: state for row, state in _CLOSING.items() if row != (State.STREAMING, Trigger.TIMEOUT)},
    }
)
"""The same for a push, in which a keepalive without answer is an error: no media come back."""


class ServerState(StrEnum):
    """Where a session that we serve stands (RFC 2326, A.2)."""

    INIT = "init"
    READY = "ready"
    PLAYING = "playing"
    CLOSED = "closed"


class ServerTrigger(StrEnum):
    """What moves a session that we serve: a request that we grant, or an end without one."""

    SETUP = "SETUP"
    PLAY = "PLAY"
    PAUSE = "PAUSE"
    TEARDOWN = "TEARDOWN"
    LAPSE = "lapse"
    "No sign of life for the announced time."
    CLOSE = "close"


_LIVE: Final = (ServerState.INIT, ServerState.READY, ServerState.PLAYING)

SERVER_TRANSITIONS: Final[Mapping[tuple[ServerState, ServerTrigger], ServerState]] = MappingProxyType(
    {
        (ServerState.INIT, ServerTrigger.SETUP): ServerState.READY,
        (ServerState.READY, ServerTrigger.SETUP): ServerState.READY,
        (ServerState.READY, ServerTrigger.PLAY): ServerState.PLAYING,
        (ServerState.PLAYING, ServerTrigger.PLAY): ServerState.PLAYING,
        (ServerState.PLAYING, ServerTrigger.PAUSE): ServerState.READY,
        (ServerState.READY, ServerTrigger.PAUSE): ServerState.READY,
        (ServerState.READY, ServerTrigger.TEARDOWN): ServerState.CLOSED,
        (ServerState.PLAYING, ServerTrigger.TEARDOWN): ServerState.CLOSED,
        **{(s, ServerTrigger.LAPSE): ServerState.CLOSED for s in _LIVE},
        **{(s, ServerTrigger.CLOSE): ServerState.CLOSED for s in ServerState},
    }
)
"""The same for a session that we serve; a request whose row is missing is answered 455."""
