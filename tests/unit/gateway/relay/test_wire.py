"""The lines between control plane and workers: round trip, and only ValueError for what is none."""

import json
import typing
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.base import Credential, RtspTarget, SourceKey, TlsPolicy, Transport
from catalog.model.secret import Secret
from gateway.relay.continuity import Finding
from gateway.relay.protocol import (
    Command,
    Counters,
    Event,
    MediaAlive,
    PictureFormatSeen,
    RelayCounters,
    RelayEnded,
    RelayState,
    RelayStateChanged,
    Shutdown,
    StartRelay,
    StopRelay,
    StreamFound,
    WorkerLog,
)
from gateway.relay.spec import RelayBounds, RelaySpec, SinkSpec
from gateway.relay.wire import MAX_LINE, decode_command, decode_event, encode

AT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)

numbers = st.integers(1, 2**40)
seconds = st.floats(0, 1e9)
targets = st.builds(
    RtspTarget,
    st.text(min_size=1, max_size=40),
    st.integers(1, 65535),
    st.text(max_size=80),
    st.none() | st.builds(TlsPolicy, st.none() | st.text(max_size=64), st.none() | st.text(max_size=20)),
)
credentials = st.none() | st.builds(Credential, st.text(max_size=30), st.text(max_size=30).map(Secret))
specs = st.builds(
    RelaySpec,
    source_id=numbers.map(SourceKey),
    source_code=st.from_regex(r"[A-Za-z0-9\-_.]{1,64}", fullmatch=True),
    target=targets,
    credential=credentials,
    transport=st.sampled_from(Transport),
    audio=st.booleans(),
    allow_basic=st.booleans(),
    sink=st.none() | st.builds(SinkSpec, targets, credentials, st.booleans()),
    verify=seconds,
    bounds=st.builds(RelayBounds, connect=seconds, queue_bytes=numbers),
)
commands = st.one_of(
    st.builds(StartRelay, specs),
    st.builds(StopRelay, numbers.map(SourceKey), st.text(max_size=50)),
    st.just(Shutdown()),
)
counters = st.builds(
    RelayCounters,
    *[numbers] * 5,
    seconds,
    *[numbers] * 8,
    seconds,
    seconds,
    *[numbers] * 7,
    seconds,
    seconds,
    numbers,
    numbers,
)
events = st.one_of(
    st.builds(RelayStateChanged, numbers, seconds, st.just(AT), st.sampled_from(RelayState)),
    st.builds(RelayEnded, numbers, seconds, st.just(AT), st.text(max_size=20), st.booleans()),
    st.builds(Counters, seconds, st.just(AT), seconds, st.lists(counters, max_size=4).map(tuple)),
    st.lists(st.tuples(numbers, seconds), max_size=4).map(
        lambda seen: MediaAlive(1.5, AT, tuple(SourceKey(n) for n, _ in seen), tuple(at for _, at in seen))
    ),
    st.builds(
        *(StreamFound, numbers, seconds, st.just(AT), st.sampled_from(Finding), numbers, st.booleans()),
        st.text(max_size=40),
    ),
    st.builds(
        *(PictureFormatSeen, numbers, seconds, st.just(AT), st.text(max_size=9), st.text(max_size=20)),
        *(numbers, numbers, st.booleans()),
    ),
    st.builds(WorkerLog, st.text(max_size=9), st.integers(0, 50), st.text(), st.text(max_size=9)),
)


@given(commands)
def test_every_command_comes_back_as_it_was(command: Command) -> None:
    line = encode(command)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode_command(line) == command


@given(events)
def test_every_event_comes_back_as_it_was(event: Event) -> None:
    assert decode_event(encode(event)) == event


@pytest.mark.parametrize("kind", [*typing.get_args(Command), *typing.get_args(Event)])
def test_every_kind_of_message_can_be_read(kind: type) -> None:
    line = json.dumps({"type": kind.__name__, "nonsense": 1}).encode()
    decode = decode_command if kind in typing.get_args(Command) else decode_event
    with pytest.raises(ValueError, match="unknown fields"):
        decode(line)


@given(st.binary(max_size=200))
def test_arbitrary_bytes_raise_only_value_error(line: bytes) -> None:
    with pytest.raises(ValueError, match=r"line|unknown|expected|fields"):
        decode_command(line)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
        max_leaves=9,
    )
)
def test_arbitrary_json_in_a_spec_raises_only_value_error(value: object) -> None:
    line = json.dumps({"type": "StartRelay", "spec": value}).encode()
    with pytest.raises(ValueError, match="StartRelay"):
        decode_command(line)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("source_id", True),
        ("source_id", "1"),
        ("audio", 0),
        ("transport", "sctp"),
        ("verify", "1"),
        ("source_code", "no spaces"),
        ("target", {"host": "a"}),
    ],
)
def test_a_field_of_another_type_is_refused_and_never_quoted(field: str, value: object) -> None:
    spec = RelaySpec(
        SourceKey(1), "1", RtspTarget("a", 1, "/"), credential=Credential("u", Secret("canary-123"))
    )
    plain = json.loads(encode(StartRelay(spec)))
    plain["spec"][field] = value
    with pytest.raises(ValueError, match=r"does not fit|lacks a field|source code") as caught:
        decode_command(json.dumps(plain).encode())
    assert "canary-123" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_line_that_is_too_long_is_refused_both_ways() -> None:
    with pytest.raises(ValueError, match="longer"):
        encode(WorkerLog("a", 1, "x" * MAX_LINE, "b"))
    with pytest.raises(ValueError, match="too long"):
        decode_event(b" " * (MAX_LINE + 1))


def test_a_spec_never_shows_its_credential() -> None:
    spec = RelaySpec(
        SourceKey(1), "1", RtspTarget("a", 1, "/"), credential=Credential("u", Secret("canary-123"))
    )
    assert "canary-123" not in repr(StartRelay(spec))
    assert b"canary-123" in encode(StartRelay(spec))
