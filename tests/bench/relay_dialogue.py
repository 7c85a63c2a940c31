"""How the benchmark's two ends answer RTSP requests, and how the benchmark speaks with them. Sans-IO."""

import asyncio
import json
import os
import re
import sys
from collections.abc import Callable
from typing import Final

_SOURCE: Final = re.compile(rb"rtsps?://[^/]+/([0-9]+)")
_CSEQ: Final = re.compile(rb"\r\nCSeq: *([0-9]+)", re.IGNORECASE)
_LENGTH: Final = re.compile(rb"\r\nContent-Length: *([0-9]+)", re.IGNORECASE)
_TRANSPORT: Final = re.compile(rb"\r\nTransport: *([^\r]+)", re.IGNORECASE)
_CLIENT_PORT: Final = re.compile(rb"client_port=([0-9]+)")


class Dialogue:
    """Answer the requests of one connection: 200 to all.

    Args:
        sdp: the answer to DESCRIBE.
        bind: is told the client's RTP port at a SETUP of UDP; returns ours.
    """

    def __init__(self, sdp: bytes = b"", bind: Callable[[int], int] | None = None) -> None:
        self._sdp = sdp
        self._bind = bind
        self.rest = b""
        "What is not answered yet; media after RECORD."
        self.source = 0
        "The number in the last URL."
        self.method = b""
        "The last request that was answered."

    def receive(self, data: bytes, until: bytes | None = None) -> bytes:
        """Return the answers to what `data` completes; take nothing in after `until` was answered."""
        self.rest += data
        out = b""
        while self.rest and self.method != until:
            if self.rest[:1] == b"$":
                end = 4 + int.from_bytes(self.rest[2:4], "big")
                if len(self.rest) < max(4, end):
                    break
                self.rest = self.rest[end:]
                continue
            head, end_of_head, body = self.rest.partition(b"\r\n\r\n")
            length = int(found[1]) if (found := _LENGTH.search(head)) is not None else 0
            if not end_of_head or len(body) < length:
                break
            self.rest = body[length:]
            out += self._answer(head)
        return out

    def _answer(self, head: bytes) -> bytes:
        self.method = head.split(b" ", 1)[0]
        if (found := _SOURCE.search(head)) is not None:
            self.source = int(found[1])
        cseq = _CSEQ.search(head)
        # A session that long needs no keepalive within any window.
        lines = [b"RTSP/1.0 200 OK", b"CSeq: " + (cseq[1] if cseq else b"0"), b"Session: 1;timeout=600"]
        body = b""
        if self.method == b"OPTIONS":
            lines.append(b"Public: OPTIONS, DESCRIBE, SETUP, PLAY, ANNOUNCE, RECORD, TEARDOWN")
        if self.method == b"DESCRIBE":
            body = self._sdp
            lines += [b"Content-Type: application/sdp", b"Content-Length: %d" % len(body)]
        if self.method == b"SETUP" and (found := _TRANSPORT.search(head)) is not None:
            lines.append(b"Transport: " + self._transport(found[1]))
        return b"\r\n".join(lines) + b"\r\n\r\n" + body

    def _transport(self, asked: bytes) -> bytes:
        port = _CLIENT_PORT.search(asked)
        if port is None or self._bind is None:
            return asked
        ours = self._bind(int(port[1]))
        return b"RTP/AVP;unicast;client_port=%d-%d;server_port=%d-%d" % (
            *(int(port[1]), int(port[1]) + 1),
            *(ours, ours + 1),
        )


Handler = Callable[[object], object]


async def obey(commands: dict[str, Handler]) -> None:
    """Answer each line `["command", argument]` of the standard input by a line; end with it."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        command, argument = json.loads(line)
        print(json.dumps(commands[command](argument)), flush=True)  # noqa: T201 - it is the answer
    # At once: whoever is still connected is cut off.
    os._exit(0)
