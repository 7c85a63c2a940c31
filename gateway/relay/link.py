"""The worker's end of the way to the control plane: bounded, drops what can be spared, says what it lost."""

import asyncio
import logging
from typing import Final

from gateway.relay.protocol import Counters, Event, EventsLost, MediaAlive, WorkerLog
from gateway.relay.wire import encode

SPARING_BYTES: Final = 1024 * 1024
"""Above this backlog counters, signs of life and log lines are dropped: the next ones tell as much."""
MAX_BYTES: Final = 16 * 1024 * 1024
"""Above this backlog everything is dropped; `EventsLost` follows as soon as there is room."""


class EventLink:
    """Send events without ever waiting.

    Args:
        writer: to the control plane.
    """

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self._lost = 0

    def send(self, event: Event) -> None:
        """Send `event`, or drop and count it when the control plane reads too slowly."""
        transport = self._writer.transport
        if transport.is_closing():
            return
        backlog = transport.get_write_buffer_size()
        if backlog > SPARING_BYTES and isinstance(event, Counters | MediaAlive | WorkerLog):
            return
        if backlog > MAX_BYTES:
            self._lost += 1
            return
        if self._lost:
            self._writer.write(encode(EventsLost(self._lost)))
            self._lost = 0
        self._writer.write(encode(event))


class LinkLogHandler(logging.Handler):
    """Hand the worker's log lines to the control plane, which alone renders logs."""

    def __init__(self, link: EventLink) -> None:
        super().__init__()
        self._link = link

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record; a traceback goes along as text."""
        text = record.getMessage()
        if record.exc_info is not None:
            text = f"{text}\n{logging.Formatter().formatException(record.exc_info)}"
        action = getattr(record, "action", "worker_log")
        self._link.send(WorkerLog(record.name, record.levelno, text[:8192], str(action)))
