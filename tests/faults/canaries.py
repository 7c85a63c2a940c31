"""Secrets that are easy to recognise, everywhere they could come out again, and cameras that repeat what they hear."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from catalog.database import Database
from catalog.embedded import running_url
from gateway.api.app import OPERATIONS
from gateway.console.pages import PAGES
from tests.fakes.rtsp_server import FakeRtspServer, Script, Seen
from tests.gateway_process import MusterProcess

GB_DEVICE = "99010000001180000001"
"""The recorder that registers."""


def path_of(template: str) -> str:
    """Return the path of an operation or a page about the first of its kind."""
    numbered = template.replace("{source_id}", "1").replace("{system_id}", "1")
    return numbered.replace("{device_id}", GB_DEVICE)


def canary(number: int) -> str:
    """Return a secret that nothing else looks like."""
    return f"S3cr3t-CANARY-{number}"


def needles(secrets: Iterable[str], pairs: Iterable[tuple[str, str]] = ()) -> dict[str, bytes]:
    """Return every form in which a secret would be seen: as it is, in base64, and as Basic sends it."""
    found: dict[str, bytes] = {}
    for secret in secrets:
        found[secret] = secret.encode()
        found[f"base64 of {secret}"] = base64.b64encode(secret.encode())[:-4]
    for username, password in pairs:
        found[f"Basic of {password}"] = base64.b64encode(f"{username}:{password}".encode()).rstrip(b"=")
    return found


def hits(places: Mapping[str, bytes], wanted: Mapping[str, bytes]) -> list[str]:
    """Return what was found where."""
    return [
        f"{name} in {place}: …{text[max(0, text.find(needle) - 60) : text.find(needle) + 60]!r}…"
        for place, text in places.items()
        for name, needle in wanted.items()
        if needle in text
    ]


class TalkativeCamera(FakeRtspServer):
    """Answers well and repeats what it was sent in every place that it can fill."""

    def _response(self, request: Seen) -> bytes:
        heard = request.headers.get("authorization", "nothing")
        self.script.server = f"Camera Authorization: {heard}"
        self.script.sdp = type(self.script)().sdp.replace(
            b"s=fake\r\n", f"s={heard}\r\ni=Authorization: {heard}\r\n".encode()
        )
        answer = super()._response(request)
        head, _, body = answer.partition(b"\r\n\r\n")
        echo = f"\r\nAuthorization: {heard}\r\nX-Heard: {heard}\r\nDate: {heard}"
        return head + echo.encode() + b"\r\n\r\n" + body


class AnsweringCamera(FakeRtspServer):
    """Asks for a login, and answers whoever has one with what `answer` makes of it."""

    def __init__(self, script: Script, answer: Callable[[Seen, str], bytes]) -> None:
        super().__init__(script)
        self._answer_with = answer

    def _response(self, request: Seen) -> bytes:
        heard = request.headers.get("authorization", "")
        if request.method == "DESCRIBE" and (heard or not self.script.schemes):
            return self._answer_with(request, heard)
        return super()._response(request)


def refusing(request: Seen, heard: str) -> bytes:
    """Refuse, with the login in reason, headers and body; what Basic hides is spelled out."""
    scheme, _, rest = heard.partition(" ")
    plain = base64.b64decode(rest).decode() if scheme == "Basic" else rest
    body = f"<h1>{heard}</h1> {plain}"
    return (
        f"RTSP/1.0 404 no stream for {plain[:60]} {heard}\r\nCSeq: {request.headers['cseq']}\r\n"
        f"Server: {plain} {heard}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def garbling(request: Seen, heard: str) -> bytes:
    """Answer with a description that is none, made of the login."""
    body = f"v=0\r\n{heard}\r\nm={heard}\r\n"
    return (
        f"RTSP/1.0 200 OK\r\nCSeq: {request.headers['cseq']}\r\nContent-Type: application/sdp\r\n"
        f"Content-Base: rtsp://{heard}\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def redirecting(secret: str) -> Callable[[Seen, str], bytes]:
    """Send the caller on, to an address with a login in it."""

    def answer(request: Seen, _heard: str) -> bytes:
        port = request.uri.partition("//")[2].partition("/")[0].rpartition(":")[2]
        location = f"rtsp://admin:{secret}@127.0.0.1:{port}/elsewhere?password={secret}"
        return (
            f"RTSP/1.0 302 Found\r\nCSeq: {request.headers['cseq']}\r\nLocation: {location}\r\n\r\n"
        ).encode()

    return answer


def misasking(secret: str) -> Callable[[Seen, str], bytes]:
    """Ask for a login in a header that nobody can read."""

    def answer(request: Seen, _heard: str) -> bytes:
        challenge = f'WWW-Authenticate: Digest realm="{secret}, nonce="x\\", password={secret} = ='
        return f"RTSP/1.0 401 No\r\nCSeq: {request.headers['cseq']}\r\n{challenge}\r\n\r\n".encode()

    return answer


@asynccontextmanager
async def camera(
    fake: FakeRtspServer, host: str = "127.0.0.1", port: int = 0
) -> AsyncIterator[FakeRtspServer]:
    """Let `fake` listen on a loopback address for the length of the block."""
    server = await asyncio.start_server(fake.handle, host, port)
    fake.port = server.sockets[0].getsockname()[1]
    try:
        yield fake
    finally:
        server.close()
        await fake.end()
        await server.wait_closed()


async def answers(muster: MusterProcess, tokens: Mapping[str, str]) -> dict[str, bytes]:
    """Return what every GET of the API says to each role, exports and the public catalog included."""
    paths = []
    for operation in OPERATIONS:
        if operation.method == "GET" and operation.operation_id != "stream_events":
            path = path_of(operation.path)
            forms = ("", "?format=csv", "?format=xlsx", "?format=csv&lang=en", "?format=html&lang=en")
            paths += [path + form for form in forms]
    found: dict[str, bytes] = {}
    async with aiohttp.ClientSession() as session:
        for role, token in {**tokens, "public": ""}.items():
            headers = {"X-Purpose": "test"} | ({"Authorization": f"Bearer {token}"} if token else {})
            for path in paths:
                if role == "public" and not path.startswith(
                    ("/public", "/healthz", "/readyz", "/api/v1/sites")
                ):
                    continue
                async with session.get(muster.url(path), headers=headers) as response:
                    name = f"{path} ({role}, {response.status})"
                    found[name] = await response.read() + json.dumps(dict(response.headers)).encode()
    return found


async def pages(muster: MusterProcess, token: str) -> dict[str, bytes]:
    """Return every page of the console, logged in, in both languages."""
    found: dict[str, bytes] = {}
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        async with session.post(muster.url("/login"), data={"token": token}) as response:
            found["/login"] = await response.read()
            assert response.status == 200, response.status
        for page in PAGES:
            for language in ("zh", "en"):
                path = path_of(page.path)
                async with session.get(muster.url(f"{path}?lang={language}")) as response:
                    assert response.status == 200, (path, response.status)
                    found[f"page {path} {language}"] = await response.read()
    return found


def processes(pid: int) -> dict[str, bytes]:
    """Return command line and environment of a process and of all below it."""
    found: dict[str, bytes] = {}
    below = [pid]
    while below:
        each = below.pop()
        try:
            children = Path(f"/proc/{each}/task/{each}/children").read_text(encoding="ascii")
            below += [int(child) for child in children.split()]
            for name in ("cmdline", "environ"):
                found[f"/proc/{each}/{name}"] = Path(f"/proc/{each}/{name}").read_bytes()
        except FileNotFoundError:
            continue
    return found


def listening(pids: Iterable[int]) -> set[str]:
    """Return the TCP and UDP addresses, in the kernel's hex form, at which processes can be reached."""
    mine = set()
    for pid in pids:
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):
                mine.add(link.readlink().name)
    found = set()
    for kind, state in (("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07")):
        lines = Path(f"/proc/net/{kind}").read_text(encoding="ascii").splitlines()[1:]
        for line in lines:
            words = line.split()
            if words[3] == state and f"socket:[{words[9]}]" in mine:
                found.add(f"{kind} {words[1]}")
    return found


def open_to_others(folder: Path) -> list[str]:
    """Return the files and folders below `folder` that another user could read or change."""
    below = [folder, *folder.rglob("*")]
    return [str(path) for path in below if not path.is_symlink() and path.stat().st_mode & 0o077]


async def rows(muster: MusterProcess) -> dict[str, bytes]:
    """Return every row of every table as PostgreSQL writes it."""
    found: dict[str, bytes] = {}
    async with (
        Database(running_url(muster.folder / "state" / "postgresql")) as database,
        database.raw_connection() as connection,
    ):
        for table in await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
            name = table["tablename"]
            text = await connection.fetch(f'SELECT t::text AS row FROM "{name}" t')
            found[f"table {name}"] = "\n".join(row["row"] for row in text).encode()
    return found


def files(folder: Path, *, without: Iterable[str] = ()) -> dict[str, bytes]:
    """Return every file below a folder, the database's own included, but those that hold secrets by purpose."""
    patterns = tuple(without)
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(path.match(pattern) for pattern in patterns)
    }


async def stream(muster: MusterProcess, token: str, seconds: float) -> bytes:
    """Return what the live events say within some seconds."""
    heard = b""
    headers = {"Authorization": f"Bearer {token}", "X-Purpose": "test", "Last-Event-ID": "0"}
    async with aiohttp.ClientSession(headers=headers) as session:
        try:
            async with asyncio.timeout(seconds), session.get(muster.url("/api/v1/events")) as response:
                assert response.status == 200
                async for chunk in response.content.iter_any():
                    heard += chunk
        except TimeoutError:
            pass
    return heard


async def put(muster: MusterProcess, method: str, path: str, token: str, body: Any) -> tuple[int, bytes]:
    """Call an operation that writes."""
    headers = {"Authorization": f"Bearer {token}", "X-Purpose": "test"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.request(method, muster.url(path), json=body) as response,
    ):
        return response.status, await response.read()
