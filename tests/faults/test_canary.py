"""No secret comes out again: planted by every way in, looked for at every way out of a real installation."""

import asyncio
import base64
import os
import signal
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from adapters.simulator.gb_device import VirtualChannel, VirtualGbDevice
from catalog.model.secret import Secret
from tests.fakes.rtsp_server import FakeRtspServer, Script
from tests.faults.canaries import (
    GB_DEVICE,
    AnsweringCamera,
    TalkativeCamera,
    answers,
    camera,
    canary,
    files,
    garbling,
    hits,
    listening,
    misasking,
    needles,
    open_to_others,
    pages,
    processes,
    put,
    redirecting,
    refusing,
    rows,
    stream,
)
from tests.gateway_process import (
    HEADINGS,
    PERSON,
    MusterProcess,
    RollLine,
    code_of,
    free_port,
    installation,
    prepare,
)
from tests.gb_devices import OWN_ID, running
from tests.gb_devices import settings as gb_settings
from tests.waiting import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

SETTINGS = """
[log]
level = "debug"
"""

DIGEST = ("MD5", "SHA-256", "Basic")
"""Weakest first: the order must not decide."""


def asked_with(fake: FakeRtspServer) -> list[str]:
    """Return the Authorization headers that a camera was ever sent."""
    return [request.headers["authorization"] for request in fake.seen if "authorization" in request.headers]


class Street:
    """Cameras of every kind, each with a password of its own."""

    def __init__(self) -> None:
        self.talkative = TalkativeCamera(Script(schemes=DIGEST, username="admin", password=canary(1)))
        self.refusing = AnsweringCamera(
            Script(schemes=("MD5",), username="admin", password=canary(2)), refusing
        )
        self.garbling = AnsweringCamera(
            Script(schemes=("SHA-256",), username="admin", password=canary(3)), garbling
        )
        self.basic = AnsweringCamera(
            Script(schemes=("Basic",), username="admin", password=canary(4)), refusing
        )
        self.basic_only = FakeRtspServer(Script(schemes=("Basic",), username="admin", password=canary(5)))
        self.redirecting = AnsweringCamera(Script(), redirecting(canary(6)))
        self.misasking = AnsweringCamera(Script(), misasking(canary(7)))
        self.outside = TalkativeCamera(Script(schemes=DIGEST, username="admin", password=canary(1)))
        self.stranger = TalkativeCamera(Script(schemes=("Basic",), username="admin", password=canary(1)))
        self.superior = TalkativeCamera(Script(schemes=DIGEST, username="muster", password=canary(8)))

    @property
    def listed(self) -> tuple[FakeRtspServer, ...]:
        """The cameras on the roll, inside the authorised network."""
        return (
            self.talkative,
            self.refusing,
            self.garbling,
            self.basic,
            self.basic_only,
            self.redirecting,
            self.misasking,
        )


async def open_street(stack: AsyncExitStack) -> Street:
    street = Street()
    for fake in (*street.listed, street.superior):
        await stack.enter_async_context(camera(fake))
    await stack.enter_async_context(camera(street.outside, "127.0.9.9"))
    await stack.enter_async_context(camera(street.stranger, "127.0.0.5"))
    return street


async def set_credential(muster: MusterProcess, ref: str, username: str, secret: str) -> str:
    file = muster.folder / f"{ref}.password"
    file.write_text(f"{secret}\n", encoding="utf-8")
    return await muster.run(
        *("credential", "set", ref, "--username", username, "--password-file", str(file), "--person", PERSON)
    )


async def equip(muster: MusterProcess, street: Street) -> dict[str, bytes]:
    """Roll, networks, superior and the passwords that come by file; return what the commands said."""
    listed = [
        RollLine(code_of(number), fake.port, credential_ref=f"ref-{number}")
        for number, fake in enumerate(street.listed, start=1)
    ]
    outside = RollLine(code_of(20), street.outside.port, credential_ref="ref-1", host="127.0.9.9")
    await prepare(muster, [*listed, outside])
    said = {}
    for number in (2, 3, 4, 5, 6, 7):
        said[f"credential {number}"] = (
            await set_credential(muster, f"ref-{number}", "admin", canary(number))
        ).encode()
    said["superior"] = (await set_credential(muster, "superior", "muster", canary(8))).encode()
    url = f"rtsp://127.0.0.1:{street.superior.port}/muster/"
    await muster.run("sink", "add", "central", url, "--credential", "superior", "--person", PERSON)
    authorise = ("network", "authorise", "127.0.0.5/32", "--document", "test", "--approver", PERSON)
    await muster.run(*authorise, "--person", PERSON)
    token = muster.folder / "police.token"
    await muster.run("token", "create", "--role", "police_status", "--person", PERSON, "--output", str(token))
    return said


async def let_recorders_knock(muster: MusterProcess, stack: AsyncExitStack, port: int, token: str) -> bytes:
    """One registers as it should; one is unknown and shows a password in its login; one has a wrong password."""
    body = {"device_id": GB_DEVICE, "password": canary(9), "name": "recorder"}
    status, said = await put(muster, "POST", "/api/v1/gb28181/devices", token, body)
    assert status == 201, said
    recorder = VirtualGbDevice(
        GB_DEVICE,
        Secret(canary(9)),
        OWN_ID,
        ("127.0.0.1", port),
        (VirtualChannel(code_of(40), "gate"),),
        keepalive=2.0,
    )
    await stack.enter_async_context(running([recorder]))

    async def is_registered() -> bool:
        answer = await muster.get(f"/api/v1/gb28181/devices/{GB_DEVICE}")
        return bool(answer["device"]["registered"] and answer["channels"])

    await eventually(is_registered, within=20, what="the recorder's catalog")
    stranger = "99010000001180000002"
    login = base64.b64encode(f"admin:{canary(10)}".encode()).decode()
    register = (
        f"REGISTER sip:{OWN_ID}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:5099;branch=z9hG4bKx;rport\r\n"
        f"From: <sip:{stranger}@127.0.0.1>;tag=x\r\nTo: <sip:{stranger}@127.0.0.1>\r\nCall-ID: x\r\n"
        f"CSeq: 1 REGISTER\r\nContact: <sip:{stranger}:{canary(10)}@127.0.0.1:5099>\r\nMax-Forwards: 70\r\n"
        f"Authorization: Basic {login}\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n"
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as unknown:
        unknown.sendto(register.encode(), ("127.0.0.1", port))
    wrong = VirtualGbDevice(
        "99010000001180000003", Secret(canary(11)), OWN_ID, ("127.0.0.1", port), (), keepalive=2.0
    )
    body = {"device_id": wrong.device_id, "password": canary(12)}
    status, text = await put(muster, "POST", "/api/v1/gb28181/devices", token, body)
    assert status == 201, text
    await stack.enter_async_context(running([wrong]))

    async def are_refused() -> bool:
        answer = await muster.get("/api/v1/gb28181/quarantine")
        return {each["device_id"] for each in answer["items"]} == {stranger, wrong.device_id}

    await eventually(are_refused, within=20, what="the two that are refused")
    return said + text


async def blunder(muster: MusterProcess, token: str) -> dict[str, bytes]:
    """Make every mistake by which a person could bring a password to the wrong place."""
    secret, said = canary(30), {}
    url = f"rtsp://admin:{secret}@127.0.0.1:554/"
    commands: list[tuple[str, ...]] = [
        ("source", "add-endpoint", "1", url),
        ("source", "add-endpoint", "1", f"rtsp://admin:{secret}"),
        ("source", "add-endpoint", "1", f"rtsp://127.0.0.1/user=admin&password={secret}&channel=1"),
        ("sink", "add", "wrong", url),
        ("sink", "add", "wrong", f"rtsp://admin:{secret}"),
        ("network", "authorise", url, "--document", "d", "--approver", "a"),
        ("credential", "test", "unknown"),
    ]
    for command in commands:
        said[" ".join(command[:3])] = (await muster.run(*command, code=1)).encode()
    endpoints = [
        {"host": url, "port": 554},
        {"host": "127.0.0.1", "port": 554, "path": f"/?user=admin&password={secret}"},
        {"host": "127.0.0.1", "port": secret},
        {"host": "127.0.0.1", "port": 554, "tls_pin_sha256": secret},
    ]
    bodies: list[tuple[str, str, object]] = [
        *(("PATCH", "/api/v1/sources/1", {"add_endpoint": endpoint}) for endpoint in endpoints),
        ("PUT", "/api/v1/credentials/ref-1", {"username": "admin", "password": [secret]}),
        ("PUT", "/api/v1/credentials/ref-1", {"username": "a" * 300, "password": secret}),
        ("PUT", f"/api/v1/credentials/ref-1?password={secret}", {"username": "admin", "password": "x"}),
        ("POST", "/api/v1/sinks", {"name": "wrong", "host": f"admin:{secret}@host", "port": 554}),
        (
            "POST",
            "/api/v1/sinks",
            {"name": "wrong", "host": "h", "port": 554, "path_prefix": f"/?password={secret}"},
        ),
        ("POST", "/api/v1/networks", {"cidr": url, "document": "d", "approver": "a", "expires_at": secret}),
        (
            "POST",
            "/api/v1/networks",
            {"cidr": url, "document": "d", "approver": "a", "expires_at": "2099-01-01T00:00Z"},
        ),
        ("POST", "/api/v1/sightings/1/confirm", {"path": f"/user=admin_password={secret}"}),
        ("POST", "/api/v1/gb28181/devices", {"device_id": secret, "password": secret}),
        ("POST", "/api/v1/gb28181/devices", {"device_id": GB_DEVICE, "password": [secret]}),
        ("POST", "/api/v1/gb28181/devices", {"device_id": GB_DEVICE, "password": secret * 30}),
        ("PATCH", f"/api/v1/gb28181/devices/{GB_DEVICE}", {"password": secret * 30}),
    ]
    for number, (method, path, body) in enumerate(bodies):
        status, text = await put(muster, method, path, token, body)
        assert status in (404, 422), (method, path, status, text)
        said[f"{number} {method} {path[:25]}"] = text
    return said


async def import_wrong_roll(muster: MusterProcess, token: str) -> dict[str, bytes]:
    """Put a URL with a password into each cell, one row after the other, and passwords into paths."""
    secret, lines = canary(31), [HEADINGS]
    url = f"rtsp://admin:{secret}@127.0.0.1/stream"
    paths = (f"/user=admin&password={secret}", f"/a?auth={secret}", url.removeprefix("rtsp:"))
    mistakes = [(position, url) for position in range(len(HEADINGS.split(",")))]
    mistakes += [(9, path) for path in paths]
    for number, (position, text) in enumerate(mistakes, start=900):
        cells = [
            *(
                f"单位{number}",
                "系统",
                f"场所{number}",
                "WX8_07",
                "entrance",
                "990102",
                code_of(number),
                "127.0.0.1",
            ),
            *(f"{number}", "/stream", "", f"SERIAL{number}", "ref-1", "2026-06-30", "WX-21.2", "yes"),
        ]
        cells[position] = text
        lines.append(",".join(cells))
    file = muster.folder / "wrong.csv"
    file.write_text("\n".join([*lines, ""]), encoding="utf-8")
    by_command = await muster.run("roll", "import", str(file), "--dry-run", code=1)
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "text/csv"}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(muster.url("/api/v1/rolls?dry_run=true"), data=file.read_bytes()) as response,
    ):
        by_call = await response.text()
        assert response.status == 422, by_call
    file.unlink()
    for row in range(2, len(mistakes) + 2):
        assert f"row {row}" in by_command.replace("第", "row"), (row, by_command)
        assert f"row {row}," in by_call, (row, by_call)
    return {"roll by command": by_command.encode(), "roll by call": by_call.encode()}


async def crash_a_worker(muster: MusterProcess) -> None:
    await eventually(lambda: len(muster.workers()) == 1, what="a worker")
    [worker] = muster.workers()
    os.kill(worker, signal.SIGKILL)

    def is_replaced() -> bool:
        return muster.workers() not in ([], [worker])

    await eventually(is_replaced, within=20, what="a new worker")


async def sweep(muster: MusterProcess, street: Street, token: str) -> None:
    """Let discovery meet the stranger."""
    body = {"cidr": "127.0.0.5/32", "ports": [street.stranger.port]}
    status, text = await put(muster, "POST", "/api/v1/discovery-runs", token, body)
    assert status == 202, text

    async def is_on_record() -> bool:
        seen = (await muster.get("/api/v1/sightings"))["items"]
        return any(row["host"] == "127.0.0.5" for row in seen)

    await eventually(is_on_record, within=20, what="the sighting of the stranger")


async def test_no_secret_comes_out_anywhere(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        street = await open_street(stack)
        sip_port = free_port()
        settings = SETTINGS + gb_settings(sip_port)
        muster = await stack.enter_async_context(installation(tmp_path, settings=settings))
        await muster.start()
        said = await equip(muster, street)
        tokens = {
            role: (tmp_path / f"{name}.token").read_text(encoding="ascii").strip()
            for role, name in (("operator", "operator"), ("police_status", "police"))
        }
        operator = tokens["operator"]
        status, text = await put(
            muster, "PUT", "/api/v1/credentials/ref-1", operator, {"username": "admin", "password": canary(1)}
        )
        assert status == 200, text
        said["PUT credential"] = text
        status, text = await put(muster, "PATCH", "/api/v1/sources/4", operator, {"allow_basic": True})
        assert status == 200, text

        asked = (street.talkative, street.refusing, street.garbling, street.basic, street.superior)
        await eventually(lambda: all(asked_with(fake) for fake in asked), within=40, what="every login")
        await eventually(
            lambda: all("DESCRIBE" in fake.methods() for fake in street.listed),
            within=40,
            what="every DESCRIBE",
        )
        await sweep(muster, street, operator)
        said["GB/T 28181"] = await let_recorders_knock(muster, stack, sip_port, operator)
        said |= await blunder(muster, operator)
        said |= await import_wrong_roll(muster, operator)
        said["SSE"] = await stream(muster, operator, 2)
        await crash_a_worker(muster)
        said["credential test"] = (await muster.run("credential", "test", "ref-2")).encode()

        assert muster.process is not None
        ours = processes(muster.process.pid)
        said |= ours
        sockets = listening({int(place.split("/")[2]) for place in ours})
        of_udp = {each for each in sockets if each.startswith("udp")}
        assert sockets - of_udp == {f"tcp 0100007F:{port:04X}" for port in (muster.port, sip_port)}
        # WS-Discovery: the group's port, one socket that asks it from loopback, one that asks single addresses.
        assert [each for each in of_udp if each.endswith(":0E76")] == ["udp FAFFFFEF:0E76"]
        assert f"udp 0100007F:{sip_port:04X}" in of_udp
        assert len(of_udp) == 4
        assert open_to_others(tmp_path / "state") == []
        said |= await answers(muster, tokens)
        said |= await pages(muster, operator)
        said |= await rows(muster)
        await muster.stop()
        key = (tmp_path / "state" / "credential.key").read_bytes()
        said |= files(tmp_path, without=("*.password", "*.token", "credential.key"))

        numbers = (*range(1, 13), 30, 31)
        secrets = [*(canary(number) for number in numbers), *tokens.values()]
        pairs = [("admin", canary(number)) for number in numbers] + [("muster", canary(8))]
        wanted = needles(secrets, pairs) | {"the key": key, "the key in hex": key.hex().encode()}
        assert hits(said, wanted) == []
        assert b"enc:v1:" in said["table credential"]
        assert '"level": "debug"' in muster.log

        # Whom it was sent to, and how.
        assert all(text.startswith("Digest ") and "SHA-256" in text for text in asked_with(street.talkative))
        assert all(text.startswith("Digest ") and "SHA-256" in text for text in asked_with(street.superior))
        assert asked_with(street.basic_only) == asked_with(street.stranger) == []
        assert set(street.stranger.methods()) == {"OPTIONS"}
        assert street.outside.connections == 0
        for fake in (*street.listed, street.superior):
            assert all("authorization" not in r.headers for r in fake.seen if r.uri.count("@"))


WRONG_CONFIGS = {
    "password in the file": '[database]\nurl = "postgresql://muster@127.0.0.1:1/m"\npassword = "{}"\n',
    "password in the url": '[database]\nurl = "postgresql://muster:{}@127.0.0.1:1/m"\n',
    "password as a parameter": '[database]\nurl = "postgresql://muster@127.0.0.1:1/m?password={}"\n',
    "url that is none": '[database]\nurl = "postgresql://muster:{}"\n',
    "port that is none": '[database]\nurl = "postgresql://muster@127.0.0.1:{}/m"\n',
    "key that is none": '[database]\npasword = "{}"\n',
    "section that is none": '[databse]\npassword = "{}"\n',
    "key of another section": '[api]\npassword = "{}"\n',
    "no TOML": '[database]\npassword = "{}\n',
    "bare value": "[database]\npassword = {}\n",
    "wrong type": '[status]\nprobe_interval = "{}"\n',
    "wrong list": '[discovery]\nports = ["{}"]\n',
    "wrong reference": '[status]\nreferences = ["admin:{}@host"]\n',
}


@pytest.mark.parametrize("mistake", WRONG_CONFIGS)
async def test_a_wrong_configuration_is_named_without_its_secret(tmp_path: Path, mistake: str) -> None:
    secret = canary(40)
    async with installation(tmp_path) as muster:
        text = muster.config.read_text(encoding="utf-8")
        wrong = WRONG_CONFIGS[mistake].format(secret)
        section = wrong.partition("\n")[0]
        if section in text:
            text = text.replace(f"{section}\n", wrong, 1).replace("probe_interval = 1\n", "", 1)
        else:
            text = f"{text}\n{wrong}"
        muster.config.write_text(text, encoding="utf-8")

        said = [await muster.run(*command, code=2) for command in (("config", "check"), ("serve",))]

        assert hits({mistake: "\n".join(said).encode()}, needles([secret])) == []


async def test_the_password_of_a_database_that_refuses_it_is_not_told(tmp_path: Path) -> None:
    secret, file = canary(42), tmp_path / "database.password"
    file.write_text(f"{secret}\n", encoding="utf-8")
    given: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Speak as a PostgreSQL that refuses the password."""
        try:
            await reader.readexactly(8)
            writer.write(b"N")  # no TLS
            length = int.from_bytes(await reader.readexactly(4), "big")
            await reader.readexactly(length - 4)
            writer.write(b"R\x00\x00\x00\x08\x00\x00\x00\x03")  # clear text password
            await reader.readexactly(1)
            length = int.from_bytes(await reader.readexactly(4), "big")
            given.append(await reader.readexactly(length - 4))
            detail = b"SFATAL\x00C28P01\x00Mpassword authentication failed for user\x00\x00"
            writer.write(b"E" + (4 + len(detail)).to_bytes(4, "big") + detail)
            await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = f'\n[database]\nurl = "postgresql://muster@127.0.0.1:{port}/m"\npassword_file = "{file}"\n'
    async with server, installation(tmp_path, settings=settings) as muster:
        said = await muster.run("check", code=3) + await muster.run("config", "check")

    assert given[0] == f"{secret}\0".encode()
    assert hits({"check": said.encode()}, needles([secret])) == []
