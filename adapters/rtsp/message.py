"""RTSP 1.0 messages (RFC 2326, section 4) and an incremental parser, sans-IO.

A TCP connection carries messages, which begin with a letter, and interleaved frames, which begin
with `$` (section 10.12). Whoever owns the socket walks its chunk: at a `$` between two messages it
takes the frame itself, everything else goes to `MessageParser.receive`. `Demultiplexer` does that
for users who need no speed.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeVar

from adapters.errors import LocalProtocolError, MessageTooLarge, RemoteProtocolError
from adapters.rtsp.quirks import Leniency, Quirk

INTERLEAVED_MARK: Final = 0x24
"""`$`, the first byte of an interleaved frame."""
MAX_LINE: Final = 8 * 1024
"""Longest start line or header line, bytes."""
MAX_HEADERS: Final = 64
MAX_HEAD: Final = 64 * 1024
"""Longest start line and headers together, bytes."""
MAX_BODY: Final = 256 * 1024

_HEAD_END: Final = re.compile(rb"\n\r?\n")
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_STATUS_LINE: Final = re.compile(r"RTSP/1\.[0-9] ([1-5][0-9]{2})(?: (.*))?")
_REQUEST_LINE: Final = re.compile(r"([A-Z_]{1,32}) ([!-~]+) RTSP/1\.[0-9]")
_CONTENT_LENGTH: Final = re.compile(r"[0-9]{1,9}")
_LINE_BREAKING: Final = re.compile(r"[\x00\r\n]")
_SECRET_HEADERS: Final = frozenset({"authorization", "proxy-authorization"})


class Headers:
    """Header fields in order; names compare without case. `repr` hides authorisations."""

    __slots__ = ("items",)

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self.items: Final = tuple(items)

    def get(self, name: str) -> str | None:
        """Return the first value of `name`, or None."""
        return next(iter(self.get_all(name)), None)

    def get_all(self, name: str) -> tuple[str, ...]:
        """Return every value of `name`, in order."""
        wanted = name.lower()
        return tuple(value for key, value in self.items if key.lower() == wanted)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and other.items == self.items

    def __hash__(self) -> int:
        return hash(self.items)

    def __repr__(self) -> str:
        shown = [(name, "***" if name.lower() in _SECRET_HEADERS else value) for name, value in self.items]
        return f"Headers({shown})"


@dataclass(frozen=True)
class Request:
    """A request; `bytes(request)` is its wire form."""

    method: str
    uri: str
    "Absolute URI, or `*`."
    headers: Headers = field(default_factory=Headers)
    body: bytes = field(default=b"", repr=False)

    def __bytes__(self) -> bytes:
        if _REQUEST_LINE.fullmatch(line := f"{self.method} {self.uri} RTSP/1.0") is None:
            raise LocalProtocolError(f"not a request line: {self.method!r}")
        return _serialise(line, self.headers, self.body)

    @classmethod
    def parse(cls, data: bytes) -> "Request":
        """Return the one request that `data` holds.

        Raises:
            RemoteProtocolError: `data` is anything else.
        """
        return _parse_whole(data, cls)


@dataclass(frozen=True)
class Response:
    """A response; `bytes(response)` is its wire form."""

    status: int
    reason: str = "OK"
    headers: Headers = field(default_factory=Headers)
    body: bytes = field(default=b"", repr=False)

    def __bytes__(self) -> bytes:
        return _serialise(f"RTSP/1.0 {self.status:03d} {self.reason}", self.headers, self.body)

    @classmethod
    def parse(cls, data: bytes) -> "Response":
        """Return the one response that `data` holds.

        Raises:
            RemoteProtocolError: `data` is anything else.
        """
        return _parse_whole(data, cls)


@dataclass(frozen=True)
class InterleavedFrame:
    """One `$` frame: an RTP or RTCP packet on a TCP connection."""

    channel: int
    payload: bytes = field(repr=False)

    def __bytes__(self) -> bytes:
        return bytes((INTERLEAVED_MARK, self.channel)) + len(self.payload).to_bytes(2, "big") + self.payload


Message = Request | Response
_M = TypeVar("_M", Request, Response)


class MessageParser:
    """Turn a peer's bytes into messages, one at a time, whatever the chunks.

    Args:
        leniency: the deviations that are accepted; every named one unless told otherwise.
        peer: `host:port` for errors.
    """

    def __init__(self, leniency: Leniency | None = None, *, peer: str = "") -> None:
        self.leniency = leniency if leniency is not None else Leniency(peer=peer)
        self._peer = peer
        self._head = bytearray()
        self._parsed: Message | None = None
        self._body = bytearray()
        self._body_length = 0

    @property
    def in_message(self) -> bool:
        """Whether a message has begun and not ended: the next byte is its own, even a `$`."""
        return bool(self._head) or self._parsed is not None

    def receive(
        self, data: bytes | bytearray | memoryview, start: int = 0
    ) -> tuple[Request | Response | None, int]:
        """Read from `data[start:]` up to the end of one message.

        Between messages the caller looks at `data[start]` first: `INTERLEAVED_MARK` is not for us.

        Returns:
            The message and the offset behind it, or None and an offset: `len(data)` when more bytes
            are needed, or that of a `$` that followed nothing but line breaks.

        Raises:
            RemoteProtocolError: the bytes are no RTSP message; the connection is of no use any more.
            MessageTooLarge: a bound of this module is exceeded.
        """
        if not self.in_message:
            start = self._skip_line_breaks(data, start)
            if start == len(data) or data[start] == INTERLEAVED_MARK:
                return None, start
            if not chr(data[start]).isascii() or not chr(data[start]).isalpha():
                raise self._error("neither a message nor an interleaved frame", data[start : start + 64])
        if self._parsed is None:
            start = self._receive_head(data, start)
        if self._parsed is None:
            return None, start
        taken = bytes(data[start : start + self._body_length - len(self._body)])
        self._body += taken
        if len(self._body) < self._body_length:
            return None, start + len(taken)
        return self._finish(), start + len(taken)

    def _skip_line_breaks(self, data: bytes | bytearray | memoryview, start: int) -> int:
        end = start
        while end < len(data) and data[end] in b"\r\n":
            end += 1
        if end > start:
            self.leniency.meet(Quirk.LEADING_LINE_BREAK)
        return end

    def _receive_head(self, data: bytes | bytearray | memoryview, start: int) -> int:
        held = len(self._head)
        self._head += data[start : start + MAX_HEAD - held]
        end = _HEAD_END.search(self._head, max(0, held - 2))
        if end is None:
            self._check_bounds()
            return len(data)
        head = bytes(self._head[: end.start() + 1])
        self._parsed = _parse_head(head, self.leniency, self._peer)
        self._body_length = _content_length(self._parsed.headers, self._peer)
        self._head.clear()
        return start + end.end() - held

    def _check_bounds(self) -> None:
        if len(self._head) >= MAX_HEAD:
            raise MessageTooLarge(
                f"headers exceed {MAX_HEAD} bytes", peer=self._peer, received=bytes(self._head[:512])
            )
        if len(self._head) - (self._head.rfind(b"\n") + 1) > MAX_LINE:
            raise _line_too_long(bytes(self._head), self._peer)

    def _finish(self) -> Message:
        parsed = self._parsed
        if parsed is None:
            raise LocalProtocolError("no message under way", peer=self._peer)
        body = bytes(self._body)
        self._parsed = None
        self._body.clear()
        self._body_length = 0
        if isinstance(parsed, Request):
            return Request(parsed.method, parsed.uri, parsed.headers, body)
        return Response(parsed.status, parsed.reason, parsed.headers, body)

    def _error(self, text: str, received: bytes | bytearray | memoryview) -> RemoteProtocolError:
        return RemoteProtocolError(text, peer=self._peer, received=bytes(received))


class Demultiplexer:
    """Split a connection's bytes into messages and interleaved frames, copying each."""

    def __init__(self, parser: MessageParser) -> None:
        self._parser = parser
        self._rest = b""

    def feed(self, data: bytes) -> list[Request | Response | InterleavedFrame]:
        """Return what `data` completes, in order; an incomplete frame (64 KiB at most) is kept.

        Raises:
            RemoteProtocolError: as `MessageParser.receive`.
        """
        data = self._rest + data
        self._rest = b""
        found: list[Request | Response | InterleavedFrame] = []
        at = 0
        while at < len(data):
            if not self._parser.in_message and data[at] == INTERLEAVED_MARK:
                end = at + 4 + int.from_bytes(data[at + 2 : at + 4], "big")
                if len(data) < at + 4 or len(data) < end:
                    self._rest = data[at:]
                    break
                found.append(InterleavedFrame(data[at + 1], data[at + 4 : end]))
                at = end
                continue
            message, at = self._parser.receive(data, at)
            if message is not None:
                found.append(message)
        return found


def _parse_head(head: bytes, leniency: Leniency, peer: str) -> Message:
    """Parse the start line and headers; `head` ends in a line feed."""
    lines: list[str] = []
    for raw in head.split(b"\n")[:-1]:
        if len(raw) > MAX_LINE:
            raise _line_too_long(head, peer)
        if not raw.endswith(b"\r"):
            leniency.meet(Quirk.BARE_LF, head)
        line = raw.removesuffix(b"\r").decode("latin-1")
        if line[:1] in (" ", "\t") and len(lines) > 1:
            leniency.meet(Quirk.FOLDED_HEADER, head)
            lines[-1] = f"{lines[-1]} {line.strip()}"
            continue
        lines.append(line)
    if len(lines) - 1 > MAX_HEADERS:
        raise MessageTooLarge(f"more than {MAX_HEADERS} headers", peer=peer, received=head)
    headers = Headers(_parse_header(line, head, leniency, peer) for line in lines[1:])
    return _parse_start_line(lines[0], headers, leniency, peer)


def _parse_start_line(line: str, headers: Headers, leniency: Leniency, peer: str) -> Message:
    status = _STATUS_LINE.fullmatch(line)
    if status is not None:
        if not status[2]:
            leniency.meet(Quirk.MISSING_REASON, line.encode("latin-1"))
        return Response(int(status[1]), status[2] or "", headers)
    request = _REQUEST_LINE.fullmatch(line)
    if request is not None:
        return Request(request[1], request[2], headers)
    raise RemoteProtocolError(
        "not an RTSP/1.0 start line", peer=peer, received=line.encode("latin-1", "replace")
    )


def _parse_header(line: str, head: bytes, leniency: Leniency, peer: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if name != (stripped := name.rstrip(" \t")):
        leniency.meet(Quirk.SPACE_BEFORE_COLON, head)
    if not colon or _TOKEN.fullmatch(stripped) is None or _LINE_BREAKING.search(value):
        raise RemoteProtocolError("not a header line", peer=peer, received=head)
    return stripped, value.strip(" \t")


def _content_length(headers: Headers, peer: str) -> int:
    values = headers.get_all("Content-Length")
    if not values:
        return 0
    received = ", ".join(values).encode("latin-1")
    if len(values) > 1:
        raise RemoteProtocolError("more than one Content-Length", peer=peer, received=received)
    if _CONTENT_LENGTH.fullmatch(values[0]) is None:
        raise RemoteProtocolError("Content-Length is not a number", peer=peer, received=received)
    length = int(values[0])
    if length > MAX_BODY:
        raise MessageTooLarge(f"body of {length} bytes", peer=peer, received=received)
    return length


def _line_too_long(head: bytes, peer: str) -> MessageTooLarge:
    return MessageTooLarge(f"a line exceeds {MAX_LINE} bytes", peer=peer, received=head)


def _serialise(start_line: str, headers: Headers, body: bytes) -> bytes:
    fields = list(headers)
    if body and headers.get("Content-Length") is None:
        fields.append(("Content-Length", str(len(body))))
    if _LINE_BREAKING.search(start_line) or any(
        _TOKEN.fullmatch(name) is None or _LINE_BREAKING.search(value) for name, value in fields
    ):
        raise LocalProtocolError("a message would break its own lines")
    lines = [start_line, *(f"{name}: {value}" for name, value in fields), "", ""]
    return "\r\n".join(lines).encode("latin-1", "replace") + body


def _parse_whole(data: bytes, kind: type[_M]) -> _M:
    message, end = MessageParser().receive(data)
    if not isinstance(message, kind) or end != len(data):
        raise RemoteProtocolError(f"not exactly one {kind.__name__}", received=data)
    return message
