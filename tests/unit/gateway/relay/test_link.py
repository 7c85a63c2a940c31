"""The worker's way to the control plane: what it drops when nobody reads, and that it says so."""

import asyncio
import logging
import socket
from datetime import UTC, datetime

from adapters.base import SourceKey
from gateway.relay.link import MAX_BYTES, SPARING_BYTES, EventLink, LinkLogHandler
from gateway.relay.protocol import (
    Counters,
    Event,
    EventsLost,
    RelayEnded,
    RelayState,
    RelayStateChanged,
    WorkerLog,
)
from gateway.relay.wire import MAX_LINE, decode_event

AT = datetime(2026, 1, 2, tzinfo=UTC)
FACT = RelayStateChanged(SourceKey(1), 1.0, AT, RelayState.WAITING)
# No real fact is that long; it fills the way quickly.
HEAVY = RelayEnded(SourceKey(1), 1.0, AT, "closed", retryable=True, detail="x" * 1_000_000)
COUNTERS = Counters(1.0, AT, 0.0, ())


async def ends() -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a reader that has not begun to read, and the writer at the other end."""
    ours, theirs = socket.socketpair()
    reader, keeper = await asyncio.open_unix_connection(sock=ours, limit=MAX_LINE)
    keeper.transport.pause_reading()  # type: ignore[attr-defined]
    _, writer = await asyncio.open_unix_connection(sock=theirs)
    reader.keeper = keeper  # type: ignore[attr-defined]
    return reader, writer


async def read(reader: asyncio.StreamReader, until: type[Event]) -> list[Event]:
    events: list[Event] = []
    async with asyncio.timeout(20):
        while not events or not isinstance(events[-1], until):
            events.append(decode_event(await reader.readline()))
    return events


async def test_a_backlog_costs_counters_first_then_facts_and_the_loss_is_told() -> None:
    reader, writer = await ends()
    link = EventLink(writer)
    link.send(COUNTERS)
    while writer.transport.get_write_buffer_size() <= SPARING_BYTES:
        link.send(HEAVY)
    link.send(COUNTERS)
    link.send(WorkerLog("a", 20, "b", "c"))
    while writer.transport.get_write_buffer_size() <= MAX_BYTES:
        link.send(HEAVY)
    link.send(FACT)
    link.send(FACT)
    reader.keeper.transport.resume_reading()  # type: ignore[attr-defined]
    before = [decode_event(await reader.readline()) for _ in range(3)]
    while writer.transport.get_write_buffer_size() > 0:
        assert isinstance(decode_event(await reader.readline()), RelayEnded)
    link.send(FACT)
    after = await read(reader, RelayStateChanged)
    assert before[0] == COUNTERS
    assert {type(event) for event in (*before[1:], *after[:-2])} == {RelayEnded}
    assert after[-2:] == [EventsLost(2), FACT]
    writer.close()
    reader.keeper.close()  # type: ignore[attr-defined]


async def test_a_log_line_goes_to_the_control_plane_with_its_action_and_traceback() -> None:
    reader, writer = await ends()
    reader.keeper.transport.resume_reading()  # type: ignore[attr-defined]
    handler = LinkLogHandler(EventLink(writer))
    own = logging.getLogger("tests.relay.link")
    own.addHandler(handler)
    try:
        raise RuntimeError("a bug")
    except RuntimeError:
        own.exception("source %s", "7", extra={"action": "work_failed"})
    finally:
        own.removeHandler(handler)
    (event,) = await read(reader, WorkerLog)
    assert isinstance(event, WorkerLog)
    assert (event.logger, event.level, event.action) == ("tests.relay.link", logging.ERROR, "work_failed")
    assert event.text.startswith("source 7\nTraceback")
    assert "a bug" in event.text
    writer.close()
    reader.keeper.close()  # type: ignore[attr-defined]
