"""Programs that nobody here wrote judge what we send and make what we receive: tshark, and ffmpeg's program streams."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import av
import pytest
from av.video.codeccontext import VideoCodecContext

from adapters.gb28181.play import Offer
from adapters.gb28181.superior import Draft
from adapters.media.packetizer import split_units
from adapters.media.ps import Elementary, PsDemuxer, codec_of
from adapters.simulator.gb_device import GbDevice, VirtualChannel, VirtualGbDevice, clip_maker
from adapters.sip.dialog import Dialog
from catalog.model.plan import MediaWay
from catalog.model.secret import Secret
from tests.fakes.gb_superior import OWN_ID, PASSWORD, Listened, listening

pytestmark = [pytest.mark.interop]

RECORDER = "34020000001180000001"
CHANNEL = VirtualChannel("34020000001310000001", "东门")


async def command(*arguments: str, within: float = 60.0) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(within):
        output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode("utf-8", "replace")[-2_000:]
    return output


# -- tshark ------------------------------------------------------------------------------------------------------------


def capture(file: Path, datagrams: Sequence[tuple[int, int, bytes]]) -> None:
    """Write datagrams (from port, to port, payload) as a capture, as if somebody had listened on loopback."""
    records = [bytes.fromhex("d4c3b2a1 0200 0400 00000000 00000000 ffff0000 65000000")]
    for number, (source, target, payload) in enumerate(datagrams):
        udp = (
            source.to_bytes(2, "big")
            + target.to_bytes(2, "big")
            + (8 + len(payload)).to_bytes(2, "big")
            + b"\0\0"
        )
        size = 20 + len(udp) + len(payload)
        ip = b"\x45\0" + size.to_bytes(2, "big") + b"\0\0\0\0\x40\x11\0\0\x7f\0\0\1\x7f\0\0\1"
        packet = ip + udp + payload
        stamp = number.to_bytes(4, "little") + b"\0\0\0\0"
        records.append(stamp + len(packet).to_bytes(4, "little") * 2 + packet)
    file.write_bytes(b"".join(records))


async def dissected(file: Path, port: int) -> list[dict[str, Any]]:
    output = await command("tshark", "-r", str(file), "-d", f"udp.port=={port},sip", "-T", "json")
    return [packet["_source"]["layers"] for packet in json.loads(output)]


class Between:
    """Stands between a device and the server and keeps what passes, as a listener on the wire would."""

    def __init__(self, server: Listened) -> None:
        self.server_port = server.udp_port
        self.passed: list[tuple[int, int, bytes]] = []
        self._device: tuple[str, int] | None = None
        self._inner: asyncio.DatagramTransport | None = None
        self._outer: asyncio.DatagramTransport | None = None

    async def open(self) -> int:
        """Return the port that the device shall use."""
        loop = asyncio.get_running_loop()
        self._inner, _ = await loop.create_datagram_endpoint(
            lambda: _Side(self._from_device), local_addr=("127.0.0.1", 0)
        )
        self._outer, _ = await loop.create_datagram_endpoint(
            lambda: _Side(self._from_server), remote_addr=("127.0.0.1", self.server_port)
        )
        return int(self._inner.get_extra_info("sockname")[1])

    def close(self) -> None:
        for each in (self._inner, self._outer):
            if each is not None:
                each.close()

    def _from_device(self, data: bytes, sender: tuple[str, int]) -> None:
        self._device = sender
        self.passed.append((40_000, self.server_port, data))
        if self._outer is not None:
            self._outer.sendto(data)

    def _from_server(self, data: bytes, _: tuple[str, int]) -> None:
        self.passed.append((self.server_port, 40_000, data))
        if self._inner is not None and self._device is not None:
            self._inner.sendto(data, self._device)


class _Side(asyncio.DatagramProtocol):
    def __init__(self, take: Any) -> None:
        self._take = take

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        self._take(data, addr)


async def invite(server: Listened) -> None:
    """Invite the channel as the gateway does, acknowledge, and take leave."""
    superior, endpoint = server.superior, server.superior.endpoint
    presence = superior.reachable(RECORDER)
    offer = Offer(OWN_ID, CHANNEL.channel_id, "0200000001", "127.0.0.1", 30_000, MediaWay.UDP)
    headers = (("Subject", offer.subject), ("Content-Type", "application/sdp"))
    draft = Draft("INVITE", CHANNEL.channel_id, headers, offer.render())
    sent = []

    def make(via: str) -> Any:
        sent.append(superior.new_request(draft, presence, via))
        return sent[-1]

    answer = await endpoint.request(presence.way, make, within=10.0)
    assert answer.status == 200
    dialog = Dialog.begun(sent[0], answer)
    endpoint.acknowledge(dialog.ack(endpoint.via(presence.way, endpoint.new_branch())), presence.way, answer)
    bye = await endpoint.request(presence.way, lambda via: dialog.request("BYE", via), within=10.0)
    assert bye.status == 200


async def test_tshark_reads_every_message_of_every_procedure(tmp_path: Path) -> None:
    async with listening({RECORDER: PASSWORD}) as server:
        between = Between(server)
        port = await between.open()
        device = GbDevice(
            VirtualGbDevice(
                RECORDER, Secret(PASSWORD), OWN_ID, ("127.0.0.1", port), (CHANNEL,), keepalive=0.3
            ),
            clip_maker(),
        )
        async with asyncio.TaskGroup() as group:
            task = group.create_task(device.run())
            async with asyncio.timeout(10):
                await device.is_registered.wait()
            await server.superior.catalog(RECORDER)
            await server.superior.query(RECORDER, "DeviceStatus")
            await server.superior.subscribe_catalog(RECORDER)
            await server.superior.check(RECORDER)
            await device.notify(CHANNEL.channel_id, "OFF")
            await invite(server)
            await device.register(expires=0)
            task.cancel()
        between.close()
    file = tmp_path / "sip.pcap"
    capture(file, between.passed)
    packets = await dissected(file, between.server_port)
    assert len(packets) == len(between.passed)
    methods: set[str] = set()
    for packet in packets:
        assert "sip" in packet, packet
        text = json.dumps(packet)
        assert "_ws.malformed" not in text
        assert "PI_MALFORMED" not in text
        line = packet["sip"].get("sip.Request-Line", "")
        methods.add(line.partition(" ")[0])
    assert methods >= {
        *("REGISTER", "MESSAGE", "NOTIFY", "SUBSCRIBE", "OPTIONS", "INVITE", "ACK", "BYE"),
        "",
    }
    offers = [
        packet["sip"] for packet in packets if packet["sip"].get("sip.Request-Line", "").startswith("INVITE")
    ]
    text = json.dumps(offers[0])
    assert "PS/90000" in text
    assert "127.0.0.1 30000" not in text
    assert '"sdp.media.port": "30000"' in text


# -- ffmpeg ------------------------------------------------------------------------------------------------------------


def demuxed(stream: bytes, size: int) -> list[Elementary]:
    """What a program stream holds, cut into packets of `size` bytes, each with a timestamp of its own."""
    demuxer = PsDemuxer()
    found: list[Elementary] = []
    for number, at in enumerate(range(0, len(stream), size)):
        found += demuxer.feed(stream[at : at + size], number * 7, marker=at + size >= len(stream))
    return found


def decoded(codec: str, stream: bytes) -> int:
    """How many pictures a decoder makes of an elementary stream."""
    context = cast(VideoCodecContext, av.CodecContext.create({"H264": "h264", "H265": "hevc"}[codec], "r"))
    packets = [*context.parse(stream), *context.parse(b"")]
    return sum(len(context.decode(packet)) for packet in (*packets, None))


@pytest.mark.parametrize(("encoder", "codec"), [("libx264", "H264"), ("libx265", "H265")])
@pytest.mark.parametrize("muxer", ["vob", "mpeg"])
async def test_a_program_stream_that_ffmpeg_made_is_taken_apart(
    tmp_path: Path, encoder: str, codec: str, muxer: str
) -> None:
    file = tmp_path / f"made.{muxer}"
    await command(
        *("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=4"),
        *(
            "-c:v",
            encoder,
            "-preset",
            "ultrafast",
            "-tune",
            "zerolatency",
            "-bf",
            "0",
            "-g",
            "25",
            "-b:v",
            "2M",
        ),
        *("-f", muxer, str(file)),
    )
    for size in (1_400, 317):
        pictures = [each for each in demuxed(file.read_bytes(), size) if each.is_video]
        assert codec_of(split_units(pictures[0].data)) == codec
        # ffmpeg writes no map, and packets that hold the end of one picture and the beginning of the next: no octet of
        # them may be missing or out of place.
        assert decoded(codec, b"".join(each.data for each in pictures)) == 100
