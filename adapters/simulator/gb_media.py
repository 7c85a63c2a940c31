"""What a virtual GB/T 28181 device sends when it is invited: its clip as a program stream, over UDP or TCP."""

import asyncio
import contextlib
import re
import socket
from collections.abc import Callable
from typing import Final

from adapters.simulator.clip import CLOCK_RATE, Clip
from adapters.simulator.ps_mux import PsQuirk, PsWriter
from adapters.sip.message import Request

_MEDIA: Final = re.compile(rb"m=video (\d+) (\S+)")
_ADDRESS: Final = re.compile(rb"c=IN IP4 ([0-9.]+)")
_SERIAL: Final = re.compile(rb"y=(\d{10})")
MAX_BEHIND: Final = 1024 * 1024


class MediaSender:
    """Sends one clip for one invitation.

    Args:
        invite: the INVITE; its description says where to.
        clip: what to send.
        host: our own address.
        ps_quirks: of the program stream.
        preamble: octets in front of everything over TCP.
        is_framed_like_rtsp: whether `$` and a channel stand before each packet over TCP.
    """

    def __init__(
        self,
        invite: Request,
        clip: Clip,
        host: str,
        *,
        ps_quirks: frozenset[PsQuirk] = frozenset(),
        is_framed_like_rtsp: bool = False,
        preamble: bytes = b"",
    ) -> None:
        self.invite = invite
        self._clip = clip
        self._host = host
        self._writer = PsWriter(clip.format.encoding, ps_quirks)
        self._preamble = preamble
        self._is_framed_like_rtsp = is_framed_like_rtsp
        body = invite.body
        media, address, serial = _MEDIA.search(body), _ADDRESS.search(body), _SERIAL.search(body)
        self._port = int(media[1]) if media else 0
        self._is_tcp = media is not None and media[2].startswith(b"TCP")
        self._is_listening = b"a=setup:active" in body
        self._server_host = address[1].decode() if address else host
        self._serial = serial[1].decode() if serial else ""
        self.ssrc = int(self._serial or "0")
        self._datagrams: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._stream: asyncio.StreamWriter | None = None
        self._connected: asyncio.Future[asyncio.StreamWriter] | None = None
        self._is_closed = False

    async def prepare(self, *, tells_ssrc: bool) -> bytes:
        """Open what is needed and return the description that answers the invitation."""
        loop = asyncio.get_running_loop()
        port = 9
        if not self._is_tcp:
            self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            self._datagrams.bind((self._host, 0))
            port = self._datagrams.getsockname()[1]
        elif self._is_listening:
            self._connected = loop.create_future()
            self._server = await asyncio.start_server(self._accept, self._host, 0)
            port = self._server.sockets[0].getsockname()[1]
        protocol = "TCP/RTP/AVP" if self._is_tcp else "RTP/AVP"
        lines = ["v=0", f"o=- 0 0 IN IP4 {self._host}", "s=Play", f"c=IN IP4 {self._host}", "t=0 0"]
        lines += [f"m=video {port} {protocol} 96", "a=sendonly", "a=rtpmap:96 PS/90000"]
        if self._is_tcp:
            lines.append("a=setup:passive" if self._is_listening else "a=setup:active")
        if tells_ssrc:
            lines.append(f"y={self.ssrc:010d}")
        return "".join(f"{line}\r\n" for line in lines).encode()

    async def _accept(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._connected is not None and not self._connected.done():
            self._connected.set_result(writer)

    async def run(self, is_on: Callable[[], bool]) -> None:
        """Send until closed; while `is_on` says no, nothing."""
        with contextlib.suppress(OSError, TimeoutError):
            if self._is_tcp:
                async with asyncio.timeout(10.0):
                    if self._connected is not None:
                        self._stream = await self._connected
                    else:
                        _, self._stream = await asyncio.open_connection(
                            self._server_host, self._port, local_addr=(self._host, 0)
                        )
                self._stream.write(self._preamble)
            await self._play(is_on)

    async def _play(self, is_on: Callable[[], bool]) -> None:
        loop = asyncio.get_running_loop()
        began, number, sequence = loop.time(), 0, 0
        clip = self._clip
        while not self._is_closed:
            at = number % len(clip.units)
            clock = number * CLOCK_RATE // clip.frame_rate
            pack = self._writer.picture(clip.units[at], clock, is_key=at % clip.key_every == 0)
            packets = self._writer.rtp(pack, self.ssrc, sequence, clock)
            sequence += len(packets)
            if is_on():
                self._send(packets)
            number += 1
            await asyncio.sleep(max(0.0, began + number / clip.frame_rate - loop.time()))

    def _send(self, packets: list[bytes]) -> None:
        if self._datagrams is not None:
            for packet in packets:
                with contextlib.suppress(OSError):
                    self._datagrams.sendto(packet, (self._server_host, self._port))
        elif self._stream is not None:
            if self._stream.transport.is_closing():
                self._is_closed = True
            elif self._stream.transport.get_write_buffer_size() < MAX_BEHIND:
                mark = b"$\0" if self._is_framed_like_rtsp else b""
                self._stream.write(b"".join(mark + len(each).to_bytes(2, "big") + each for each in packets))

    def close(self) -> None:
        """Stop sending and close everything."""
        self._is_closed = True
        if self._datagrams is not None:
            self._datagrams.close()
        if self._stream is not None:
            self._stream.transport.abort()
        if self._server is not None:
            self._server.close()
