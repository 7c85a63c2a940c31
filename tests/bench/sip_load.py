"""The devices of the SIP bench: `python -m tests.bench.sip_load PORT DEVICES SECONDS [LIVE]`, a process of its own.

All devices register in the same moment, each challenged and proven by Digest; then they send keepalives as fast as they
are answered. Before that, the first LIVE of them registered; they send a keepalive every 10 ms during the storm, and
how long their answers take is told. What was counted is printed as one line of JSON.
"""

import asyncio
import contextlib
import hashlib
import json
import socket
import sys
import time
from collections import deque
from typing import Final

PASSWORD: Final = "Bench-Pass-1"
DOMAIN: Final = "3402000000"
SERVER: Final = "34020000002000000001"
SOCKETS: Final = 16
WINDOW: Final = 32
"""Requests under way on one socket."""
RESEND: Final = 1.0


def code_of(number: int) -> str:
    """Return the code of a device."""
    return f"3402000000132{number:07d}"


def _md5(text: str) -> str:
    return hashlib.md5(text.encode()).hexdigest()


class Line:
    """One socket, shared by many devices."""

    def __init__(self, server: tuple[str, int]) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.connect(server)
        self.port = self.sock.getsockname()[1]
        self.waiting: dict[str, tuple[float, bytes, int, str]] = {}
        "Branch: when it was sent, what, whose, which step."
        self.todo: deque[tuple[int, str, str]] = deque()
        "Device, step and its nonce."
        self.count = 0
        self.done = 0
        self.resent = 0
        self.refused = 0
        self.times: list[float] = []

    def send(self, device: int, step: str, nonce: str) -> None:
        """Send one request of a device."""
        self.count += 1
        branch = f"z9hG4bK{self.port}x{self.count}"
        data = (_keepalive if step == "keepalive" else _register)(
            device, branch, self.port, nonce, self.count
        )
        self.waiting[branch] = (time.monotonic(), data, device, step)
        self._write(data)

    def _write(self, data: bytes) -> None:
        with contextlib.suppress(BlockingIOError):
            self.sock.send(data)

    def drain(self, now: float) -> None:
        """Read answers and send what follows from them."""
        while True:
            try:
                data = self.sock.recv(65_536)
            except (BlockingIOError, ConnectionRefusedError):
                break
            at = data.find(b"branch=")
            end = min(e for e in (data.find(b";", at), data.find(b"\r", at)) if e > 0)
            known = self.waiting.pop(data[at + 7 : end].decode(), None)
            if known is None:
                continue
            sent, _, device, step = known
            status = data[8:11]
            if status == b"401" and step == "register":
                nonce = data[data.find(b'nonce="') + 7 :].partition(b'"')[0].decode()
                self.todo.appendleft((device, "register", nonce))
            elif status == b"200":
                self.done += 1
                self.times.append(now - sent)
            else:
                self.refused += 1
                self.todo.append((device, step, ""))

    def push(self, now: float) -> None:
        """Fill the window, and repeat what was not answered."""
        while self.todo and len(self.waiting) < WINDOW:
            self.send(*self.todo.popleft())
        for branch, (sent, data, device, step) in list(self.waiting.items())[:32]:
            if now - sent > RESEND:
                self.resent += 1
                self.waiting[branch] = (now, data, device, step)
                self._write(data)


def _register(device: int, branch: str, port: int, nonce: str, count: int) -> bytes:
    code, uri = code_of(device), f"sip:{SERVER}@{DOMAIN}"
    proof = ""
    if nonce:
        a1, a2 = _md5(f"{code}:{DOMAIN}:{PASSWORD}"), _md5(f"REGISTER:{uri}")
        proof = (
            f'Authorization: Digest username="{code}",realm="{DOMAIN}",nonce="{nonce}",uri="{uri}",'
            f'response="{_md5(f"{a1}:{nonce}:{a2}")}",algorithm=MD5\r\n'
        )
    return (
        f"REGISTER {uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};rport;branch={branch}\r\n"
        f"From: <sip:{code}@{DOMAIN}>;tag={count}\r\nTo: <sip:{code}@{DOMAIN}>\r\nCall-ID: {branch}@bench\r\n"
        f"CSeq: {count} REGISTER\r\nContact: <sip:{code}@127.0.0.1:{port}>\r\n{proof}Max-Forwards: 70\r\n"
        "User-Agent: bench\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def _keepalive(device: int, branch: str, port: int, _: str, count: int) -> bytes:
    code = code_of(device)
    body = (
        '<?xml version="1.0" encoding="GB2312"?>\r\n<Notify>\r\n<CmdType>Keepalive</CmdType>\r\n'
        f"<SN>{count}</SN>\r\n<DeviceID>{code}</DeviceID>\r\n<Status>OK</Status>\r\n</Notify>\r\n"
    )
    return (
        f"MESSAGE sip:{SERVER}@{DOMAIN} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{port};rport;branch={branch}\r\n"
        f"From: <sip:{code}@{DOMAIN}>;tag={count}\r\nTo: <sip:{SERVER}@{DOMAIN}>\r\nCall-ID: {branch}@bench\r\n"
        f"CSeq: {count} MESSAGE\r\nMax-Forwards: 70\r\nContent-Type: Application/MANSCDP+xml\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def _until(lines: list[Line], goal: int, within: float, live: Line | None, devices: int) -> float:
    """Push until all is done; return how long it took."""
    began = now = time.monotonic()
    next_live, number = began, 0
    while sum(line.done for line in lines) < goal and now - began < within:
        for line in lines:
            line.push(now)
            line.drain(now)
        if live is not None:
            if now >= next_live and devices:
                next_live = now + 0.01
                number += 1
                live.send(number % devices, "keepalive", "")
            live.push(now)
            live.drain(time.monotonic())
        await asyncio.sleep(0.0005)
        now = time.monotonic()
    return now - began


async def main(port: int, devices: int, seconds: float, live: int) -> dict[str, object]:
    """Register and keep alive; return what was counted."""
    server = ("127.0.0.1", port)
    told: dict[str, float] = {}
    alive = Line(server)
    alive.todo.extend((number, "register", "") for number in range(live))
    await _until([alive], live, 30.0, None, 0)
    alive.done, alive.times = 0, []
    lines = [Line(server) for _ in range(SOCKETS)]
    for number in range(live, devices):
        lines[number % SOCKETS].todo.append((number, "register", ""))
    print(json.dumps({"at": "storm"}), flush=True)  # noqa: T201 - told to the bench
    sys.stdin.readline()
    told["storm"] = await _until(lines, devices - live, 120.0, alive if live else None, live)
    told["registered"] = sum(line.done for line in lines) + live
    told["resent"] = sum(line.resent for line in lines)
    told["refused"] = sum(line.refused for line in lines)
    times = sorted(alive.times) or [0.0]
    told["live_p50"], told["live_p99"] = times[len(times) // 2], times[int(len(times) * 0.99)]
    print(json.dumps({"at": "keepalive", **told}), flush=True)  # noqa: T201
    sys.stdin.readline()
    for line in lines:
        line.done, line.times = 0, []
        own = [number for number in range(live, devices) if lines[number % SOCKETS] is line]
        line.todo.extend((own[turn % len(own)], "keepalive", "") for turn in range(2_000_000 // SOCKETS))
    await _until(lines, 2_000_000, seconds, None, 0)
    return {"at": "end", "keepalives": sum(line.done for line in lines), "seconds": seconds}


if __name__ == "__main__":
    arguments = [float(text) for text in sys.argv[1:]]
    outcome = asyncio.run(main(int(arguments[0]), int(arguments[1]), arguments[2], int(arguments[3])))
    print(json.dumps(outcome), flush=True)  # noqa: T201
