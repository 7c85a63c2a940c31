"""A virtual GB/T 28181 device, recorder or lower platform: registers, keeps alive, tells its channels, gives pictures.

It shares the wire formats with the product (SIP messages, MANSCDP, Digest) and none of its state machines: what it
sends it repeats by itself, and what it is asked it answers at once.
"""

import asyncio
import contextlib
import math
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final, cast

from adapters.base import Credential
from adapters.digest import Authenticator, choose_challenge, parse_challenges
from adapters.errors import AdapterError, RemoteProtocolError
from adapters.gb28181.manscdp import CONTENT_TYPE, Manscdp, parse
from adapters.gb28181.registration import beijing_time
from adapters.simulator.camera import VirtualCamera
from adapters.simulator.clip import Clip, make_clip
from adapters.simulator.gb_media import MediaSender
from adapters.simulator.ps_mux import PsQuirk
from adapters.sip.message import Framer, Message, Request, Response, render, request, response
from adapters.sip.message import parse as parse_sip
from catalog.model.secret import Secret

RESEND: Final = 0.5
TRIES: Final = 6
PER_MESSAGE: Final = 20
"""Channels in one part of a catalog."""


class GbQuirk(StrEnum):
    """What a device does that others do not; each can be switched on."""

    BARE_AMPERSAND = "bare_ampersand"
    "Names with an unescaped `&` (Hikvision)."
    CONTENT_LENGTH_ZERO = "content_length_zero"
    GBK_NAMES = "gbk_names"
    "Names in GBK, undeclared."
    NEVER_KEEPS_ALIVE = "never_keeps_alive"
    OWN_SSRC = "own_ssrc"
    NO_SSRC = "no_ssrc"
    "No `y=` in its answers, and SSRC 0 (Dahua)."
    FRAMES_LIKE_RTSP = "frames_like_rtsp"
    "RTSP's `$` in front of each packet over TCP."
    PREAMBLE = "preamble"
    "256 octets of its own in front of the media over TCP (EHOME)."
    REGISTERS_ONCE = "registers_once"
    "It never refreshes its registration while its keepalives are taken (Huawei)."
    TIMES_WITH_ZONE = "times_with_zone"
    "`+08:00` behind the times of its recordings (Unisinsight), and spaces around them (TP-Link)."
    BUSY = "busy"
    "486 to every invitation."
    IGNORES_OPTIONS = "ignores_options"
    SAYS_ONLINE = "says_online"
    "ONLINE and OFFLINE in place of ON and OFF."


@dataclass(frozen=True)
class VirtualChannel:
    """One camera of a device, or a group of a platform's tree."""

    channel_id: str
    name: str = ""
    codec: str = "H264"
    sub_codec: str = "H264"
    parent: str = ""
    "Code of the system, group or organisation that it stands under; empty: the device itself."

    @property
    def is_group(self) -> bool:
        """Return whether it is no camera but a civil region, a system, a business group or a virtual organisation."""
        return len(self.channel_id) < 20 or self.channel_id[10:13] in ("200", "215", "216")


@dataclass(frozen=True)
class VirtualGbDevice:
    """One device; what is switched on it stands in its `GbCondition`."""

    device_id: str
    password: Secret
    server_id: str
    server: tuple[str, int]
    channels: tuple[VirtualChannel, ...]
    host: str = "127.0.0.1"
    transport: str = "udp"
    keepalive: float = 60.0
    expires: int = 3_600
    version: str = "3.0"
    quirks: frozenset[GbQuirk] = frozenset()
    ps_quirks: frozenset[PsQuirk] = frozenset()
    sub_stream: str = "streamnumber:1"
    "The attribute of an invitation by which it knows that its sub stream is wanted."


@dataclass
class GbCondition:
    """How a device is just now."""

    off: set[str] = field(default_factory=set)
    "Channels that it calls off."
    faulty: set[str] = field(default_factory=set)
    hidden: set[str] = field(default_factory=set)
    "Channels that its catalog lacks."
    is_silent: bool = False
    "It answers nothing and sends nothing, as if its power were cut."
    gives_no_picture: bool = False
    "It takes invitations and sends nothing."
    clock_offset: float = 0.0


class GbDevice:
    """Plays one device while `run` runs.

    Args:
        device: what it is.
        pictures: makes the clip of a channel; None for devices without pictures.
    """

    def __init__(
        self, device: VirtualGbDevice, pictures: Callable[[VirtualChannel], Awaitable[Clip]] | None = None
    ) -> None:
        self.device = device
        self.condition = GbCondition()
        self.is_registered = asyncio.Event()
        self.refused: int = 0
        "Status of the last refusal, 0 before one."
        self.invited = 0
        self.controls: list[tuple[str, str, str]] = []
        "Channel, element and text of each control that it was sent."
        self._pictures = pictures
        self._wire: _Wire | None = None
        self._answers: dict[str, asyncio.Queue[Response]] = {}
        self._answered: OrderedDict[str, bytes] = OrderedDict()
        self._senders: dict[str, MediaSender] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._sequence = 0
        self._subscription: Request | None = None
        self._domain = device.server_id[:10]

    @property
    def calls(self) -> int:
        """Return how many sessions are under way."""
        return len(self._senders)

    async def run(self) -> None:
        """Register, keep alive and answer until cancelled."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                try:
                    while True:
                        await self._live()
                        await asyncio.sleep(2.0)
                finally:
                    # What arrives while the others end is not answered any more.
                    self._tasks = None
        finally:
            for sender in self._senders.values():
                sender.close()
            self._senders.clear()
            if self._wire is not None:
                self._wire.close()

    async def _live(self) -> None:
        """Register, then keep alive until that fails."""
        with contextlib.suppress(AdapterError, TimeoutError, OSError):
            if self._wire is None or self._wire.is_closed:
                self._wire = await _open(self.device, self._receive)
            if not await self.register():
                return
            device = self.device
            refreshes = GbQuirk.REGISTERS_ONCE not in device.quirks
            deadline = asyncio.get_running_loop().time() + (device.expires / 2 if refreshes else math.inf)
            while asyncio.get_running_loop().time() < deadline:
                await asyncio.sleep(device.keepalive)
                if GbQuirk.NEVER_KEEPS_ALIVE in device.quirks or self.condition.is_silent:
                    continue
                if not await self.keep_alive():
                    # Whoever is not known has to register (9.6).
                    return

    async def register(self, *, expires: int | None = None) -> bool:
        """Register, or with 0 seconds take leave; return whether the server took it."""
        device = self.device
        call_id, tag = secrets.token_hex(8), secrets.token_hex(4)
        seconds = device.expires if expires is None else expires
        uri = f"sip:{device.server_id}@{self._domain}"
        more: list[tuple[str, str]] = []
        for sequence in (1, 2):
            headers = [("Expires", str(seconds)), ("X-GB-ver", device.version), *more]
            answer = await self._ask("REGISTER", uri, (call_id, tag, sequence), headers)
            if answer.status == 401 and not more:
                challenge = choose_challenge(
                    parse_challenges(answer.all("www-authenticate")), allow_basic=False
                )
                login = Authenticator(
                    challenge, Credential(device.device_id, device.password), secrets.token_bytes
                )
                more = [("Authorization", login.authorization("REGISTER", uri))]
                continue
            if answer.status == 200:
                self.is_registered.set() if seconds else self.is_registered.clear()
                return True
            self.refused = answer.status
            return False
        return False

    async def keep_alive(self) -> bool:
        """Send one keepalive; return whether the server took it."""
        faulty = "".join(f"<DeviceID>{each}</DeviceID>" for each in sorted(self.condition.faulty))
        info = f"<Info>{faulty}</Info>" if faulty else ""
        status = "ERROR" if faulty else "OK"
        answer = await self._send_body(
            "Notify", "Keepalive", self._next(), f"<Status>{status}</Status>{info}"
        )
        return answer.status < 300

    async def notify(self, channel_id: str, event: str) -> None:
        """Tell an event of a channel, within the subscription if there is one."""
        item = f"<Item><DeviceID>{channel_id}</DeviceID><Event>{event}</Event></Item>"
        listed = f"<SumNum>1</SumNum><DeviceList Num='1'>{item}</DeviceList>"
        await self._send_body("Notify", "Catalog", self._next(), listed, method="NOTIFY")

    async def alarm(self, channel_id: str, method: int, kind: int) -> None:
        """Send an alarm."""
        body = (
            f"<AlarmPriority>1</AlarmPriority><AlarmMethod>{method}</AlarmMethod>"
            f"<AlarmTime>{beijing_time(self._now())}</AlarmTime><Info><AlarmType>{kind}</AlarmType></Info>"
        )
        await self._send_body("Notify", "Alarm", self._next(), body, about=channel_id)

    async def hang_up(self) -> None:
        """End every session by BYE, as a recorder does that has no place any more."""
        for call_id, sender in list(self._senders.items()):
            sender.close()
            del self._senders[call_id]
            bye = sender.invite
            await self._ask(
                "BYE",
                f"sip:{self.device.server_id}@{self._domain}",
                (call_id, "", 90),
                [],
                ends=(bye.get("to") or "", bye.get("from") or ""),
            )

    # -- what it sends ------------------------------------------------------------------------------------------------

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence

    def _now(self) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=self.condition.clock_offset)

    async def _send_body(
        self, root: str, command: str, serial: int, inner: str, *, method: str = "MESSAGE", about: str = ""
    ) -> Response:
        device = self.device
        declared = "" if GbQuirk.GBK_NAMES in device.quirks else '<?xml version="1.0" encoding="GB2312"?>\r\n'
        text = (
            f"{declared}<{root}><CmdType>{command}</CmdType><SN>{serial}</SN>"
            f"<DeviceID>{about or device.device_id}</DeviceID>{inner}</{root}>\r\n"
        )
        body = text.encode("gb18030")
        headers = [("Content-Type", CONTENT_TYPE)]
        if method == "NOTIFY":
            headers += [("Event", "Catalog"), ("Subscription-State", "active;expires=600")]
        ids = (secrets.token_hex(8), secrets.token_hex(4), self._next())
        return await self._ask(method, f"sip:{device.server_id}@{self._domain}", ids, headers, body)

    async def _ask(
        self,
        method: str,
        uri: str,
        ids: tuple[str, str, int],
        headers: Sequence[tuple[str, str]],
        body: bytes = b"",
        ends: tuple[str, str] | None = None,
    ) -> Response:
        wire, device = self._wire, self.device
        if wire is None:
            raise RemoteProtocolError("not connected")
        call_id, tag, sequence = ids
        me = f"sip:{device.device_id}@{self._domain}"
        own, other = ends or (
            f"<{me}>;tag={tag}",
            f"<{me}>" if method == "REGISTER" else f"<sip:{device.server_id}@{self._domain}>",
        )
        branch = "z9hG4bK" + secrets.token_hex(8)
        host, port = wire.local
        message = request(
            method,
            uri,
            (
                ("Via", f"SIP/2.0/{device.transport.upper()} {host}:{port};rport;branch={branch}"),
                ("From", own),
                ("To", other),
                ("Call-ID", call_id),
                ("CSeq", f"{sequence} {method}"),
                ("Contact", f"<sip:{device.device_id}@{host}:{port}>"),
                ("Max-Forwards", "70"),
                ("User-Agent", "Virtual GB device"),
                *headers,
            ),
            body,
        )
        data = render(message)
        if body and GbQuirk.CONTENT_LENGTH_ZERO in device.quirks and device.transport == "udp":
            data = data.replace(f"Content-Length: {len(body)}".encode(), b"Content-Length: 0")
        queue = self._answers[branch] = asyncio.Queue()
        try:
            for attempt in range(TRIES):
                if not self.condition.is_silent:
                    wire.send(data)
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RESEND * 2**attempt if device.transport == "udp" else 10.0):
                        while True:
                            answer = await queue.get()
                            if answer.is_final:
                                return answer
            raise TimeoutError
        finally:
            del self._answers[branch]

    # -- what it is asked ---------------------------------------------------------------------------------------------

    def _receive(self, message: Message) -> None:
        if self.condition.is_silent or self._tasks is None:
            return
        if isinstance(message, Response):
            branch = (message.get("via") or "").partition("branch=")[2].partition(";")[0]
            if (queue := self._answers.get(branch)) is not None:
                queue.put_nowait(message)
            return
        key = f"{message.get('via')} {message.cseq}"
        if key in self._answered:
            self._write(self._answered[key])
        else:
            self._asked(message, key, self._tasks)

    def _asked(self, message: Request, key: str, tasks: asyncio.TaskGroup) -> None:
        match message.method:
            case "MESSAGE":
                self._reply(message, key, 200, "OK")
                with contextlib.suppress(AdapterError):
                    tasks.create_task(self._answer_query(parse(message.body)))
            case "SUBSCRIBE":
                self._subscription = message
                self._reply(message, key, 200, "OK", (("Expires", message.get("expires") or "600"),))
            case "INVITE":
                tasks.create_task(self._invite(message, key))
            case "BYE":
                sender = self._senders.pop(message.call_id, None)
                if sender is not None:
                    sender.close()
                self._reply(message, key, 200 if sender is not None else 481, "OK")
            case "OPTIONS" if GbQuirk.IGNORES_OPTIONS not in self.device.quirks:
                self._reply(message, key, 200, "OK")
            case _:
                pass

    def _reply(
        self,
        message: Request,
        key: str,
        status: int,
        reason: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
    ) -> None:
        data = render(response(message, status, reason, headers, body, tag=secrets.token_hex(4)))
        self._answered[key] = data
        if len(self._answered) > 64:
            self._answered.popitem(last=False)
        self._write(data)

    def _write(self, data: bytes) -> None:
        if self._wire is not None:
            self._wire.send(data)

    async def _answer_query(self, body: Manscdp) -> None:
        with contextlib.suppress(TimeoutError, AdapterError, OSError):
            if body.root == "Control":
                told = body.fields()
                self.controls += [
                    (body.device_id, name, told[name])
                    for name in ("PTZCmd", "IFrameCmd", "IFameCmd")
                    if name in told
                ]
            if body.root != "Query":
                return
            match body.command:
                case "Catalog":
                    await self._tell_catalog(body.serial)
                case "DeviceInfo":
                    inner = (
                        "<DeviceName>Virtual</DeviceName><Result>OK</Result><Manufacturer>Virtual</Manufacturer>"
                        f"<Model>V-GB</Model><Firmware>1.0</Firmware><Channel>{len(self.device.channels)}</Channel>"
                    )
                    await self._send_body("Response", "DeviceInfo", body.serial, inner)
                case "ConfigDownload":
                    inner = (
                        "<Result>OK</Result><BasicParam><Name>Virtual</Name>"
                        f"<Expiration>{self.device.expires}</Expiration>"
                        f"<HeartBeatInterval>{self.device.keepalive:g}</HeartBeatInterval>"
                        "<HeartBeatCount>3</HeartBeatCount></BasicParam>"
                    )
                    await self._send_body("Response", "ConfigDownload", body.serial, inner)
                case "RecordInfo":
                    await self._tell_records(body)
                case "PresetQuery":
                    inner = (
                        "<SumNum>1</SumNum><PresetList Num='1'><Item><PresetID>1</PresetID>"
                        "<PresetName>gate</PresetName></Item></PresetList>"
                    )
                    await self._send_body("Response", "PresetQuery", body.serial, inner, about=body.device_id)
                case "DeviceStatus":
                    inner = (
                        "<Result>OK</Result><Online>ONLINE</Online><Status>OK</Status><Record>ON</Record>"
                        f"<DeviceTime>{beijing_time(self._now())}</DeviceTime>"
                    )
                    await self._send_body("Response", "DeviceStatus", body.serial, inner)
                case _:
                    pass

    async def _tell_records(self, body: Manscdp) -> None:
        """Tell a recording for each hour of the day that was asked for, in parts."""
        day = body.text("StartTime")[:10]
        space, zone = (" ", "+08:00 ") if GbQuirk.TIMES_WITH_ZONE in self.device.quirks else ("", "")
        items = [
            f"<Item><DeviceID>{body.device_id}</DeviceID><Name>x</Name>"
            f"<StartTime>{space}{day}T{hour:02d}:00:00{zone}</StartTime>"
            f"<EndTime>{space}{day}T{hour:02d}:59:59{zone}</EndTime><Secrecy>0</Secrecy><Type>time</Type></Item>"
            for hour in range(24)
        ]
        for at in range(0, len(items), PER_MESSAGE):
            part = items[at : at + PER_MESSAGE]
            listed = f'<RecordList Num="{len(part)}">{"".join(part)}</RecordList>'
            inner = f"<Name>x</Name><SumNum>{len(items)}</SumNum>{listed}"
            await self._send_body("Response", "RecordInfo", body.serial, inner, about=body.device_id)

    async def _tell_catalog(self, serial: int) -> None:
        shown = [each for each in self.device.channels if each.channel_id not in self.condition.hidden]
        if not shown:
            await self._send_body("Response", "Catalog", serial, "<SumNum>0</SumNum>")
        for at in range(0, len(shown), PER_MESSAGE):
            part = shown[at : at + PER_MESSAGE]
            items = "".join(self._item(each) for each in part)
            inner = f'<SumNum>{len(shown)}</SumNum><DeviceList Num="{len(part)}">{items}</DeviceList>'
            await self._send_body("Response", "Catalog", serial, inner)

    def _item(self, channel: VirtualChannel) -> str:
        quirks = self.device.quirks
        name = channel.name or channel.channel_id[-4:]
        if GbQuirk.BARE_AMPERSAND in quirks:
            name += " A&B"
        words = ("ONLINE", "OFFLINE") if GbQuirk.SAYS_ONLINE in quirks else ("ON", "OFF")
        status = words[channel.channel_id in self.condition.off]
        parent = channel.parent or self.device.device_id
        if channel.is_group:
            return (
                f"<Item><DeviceID>{channel.channel_id}</DeviceID><Name>{name}</Name><Parental>1</Parental>"
                f"<ParentID>{parent}</ParentID></Item>"
            )
        return (
            f"<Item><DeviceID>{channel.channel_id}</DeviceID><Name>{name}</Name><Manufacturer>Virtual</Manufacturer>"
            f"<Model>V-GB</Model><CivilCode>{channel.channel_id[:6]}</CivilCode><Address>1</Address>"
            f"<Parental>0</Parental><ParentID>{parent}</ParentID><RegisterWay>1</RegisterWay>"
            f"<Secrecy>0</Secrecy><Status>{status}</Status><Info><PTZType>3</PTZType></Info></Item>"
        )

    # -- media --------------------------------------------------------------------------------------------------------

    async def _invite(self, message: Request, key: str) -> None:
        channel_id = message.uri.partition(":")[2].partition("@")[0]
        channel = next((each for each in self.device.channels if each.channel_id == channel_id), None)
        self._reply(message, key, 100, "Trying")
        self.invited += 1
        if GbQuirk.BUSY in self.device.quirks:
            self._reply(
                message, key, 486, "Busy Here", (("Warning", '399 "Session number has reached the limit"'),)
            )
            return
        if channel is None or self._pictures is None:
            self._reply(message, key, 404, "Not Found")
            return
        is_sub = f"a={self.device.sub_stream}\r\n".encode() in message.body
        clip = await self._pictures(replace(channel, codec=channel.sub_codec) if is_sub else channel)
        sender = MediaSender(
            message,
            clip,
            self.device.host,
            ps_quirks=self.device.ps_quirks,
            is_framed_like_rtsp=GbQuirk.FRAMES_LIKE_RTSP in self.device.quirks,
            preamble=bytes(256) if GbQuirk.PREAMBLE in self.device.quirks else b"",
        )
        if GbQuirk.OWN_SSRC in self.device.quirks:
            sender.ssrc = 703_036_487
        elif GbQuirk.NO_SSRC in self.device.quirks:
            sender.ssrc = 0
        answer = await sender.prepare(tells_ssrc=GbQuirk.NO_SSRC not in self.device.quirks)
        self._senders[message.call_id] = sender
        contact = ("Contact", f"<sip:{channel_id}@{self.device.host}:5060>")
        self._reply(message, key, 200, "OK", (contact, ("Content-Type", "application/sdp")), answer)
        if not self.condition.gives_no_picture and self._tasks is not None:
            self._tasks.create_task(self._give(message.call_id, sender))

    async def _give(self, call_id: str, sender: MediaSender) -> None:
        """Send until the session is over; one whose connection is gone is over, too."""
        await sender.run(lambda: not self.condition.is_silent)
        if self._senders.get(call_id) is sender:
            del self._senders[call_id]
            sender.close()


# -- sockets -----------------------------------------------------------------------------------------------------------


class _Wire(asyncio.DatagramProtocol, asyncio.Protocol):
    """One socket to the server, UDP or TCP."""

    def __init__(self, server: tuple[str, int], receive: Callable[[Message], None]) -> None:
        self._server = server
        self._receive = receive
        self._framer = Framer()
        self._transport: asyncio.BaseTransport | None = None
        self.is_closed = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str | int, ...]) -> None:  # noqa: ARG002 - one server
        with contextlib.suppress(RemoteProtocolError):
            self._receive(parse_sip(data))

    def data_received(self, data: bytes) -> None:
        with contextlib.suppress(RemoteProtocolError):
            for message in self._framer.receive(data):
                self._receive(message)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - either way it is gone
        self.is_closed = True

    @property
    def local(self) -> tuple[str, int]:
        if self._transport is None:
            return "127.0.0.1", 5060
        host, port = self._transport.get_extra_info("sockname")[:2]
        return str(host), int(port)

    def send(self, data: bytes) -> None:
        match self._transport:
            case asyncio.DatagramTransport() as datagrams:
                datagrams.sendto(data, self._server)
            case asyncio.BaseTransport() as stream if not stream.is_closing():
                if hasattr(stream, "sendto"):
                    stream.sendto(data, self._server)
                else:
                    cast(asyncio.Transport, stream).write(data)
            case _:
                pass

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def _open(device: VirtualGbDevice, receive: Callable[[Message], None]) -> _Wire:
    loop = asyncio.get_running_loop()
    if device.transport == "udp":
        _, wire = await loop.create_datagram_endpoint(
            lambda: _Wire(device.server, receive), local_addr=(device.host, 0)
        )
        return wire
    _, wire = await loop.create_connection(
        lambda: _Wire(device.server, receive), *device.server, local_addr=(device.host, 0)
    )
    return wire


def clip_maker() -> Callable[[VirtualChannel], Awaitable[Clip]]:
    """Return what makes the clip of a channel, once for each codec: its code's last digits stand in the picture."""
    made: dict[tuple[str, str], Clip] = {}

    async def make(channel: VirtualChannel) -> Clip:
        key = (channel.channel_id, channel.codec)
        if key not in made:
            camera = VirtualCamera(name=channel.channel_id, host="127.0.0.1", codec=channel.codec)
            made[key] = await asyncio.to_thread(make_clip, camera, channel.channel_id[-7:])
        return made[key]

    return make
