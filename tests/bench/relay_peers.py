"""Media servers as contenders, given by path: what their configuration must say, and nothing more.

Each pulls every source from its start on and serves it over RTSP. All else that they can do is off.
"""

import asyncio
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Protocol
from urllib.parse import quote

from tests.fakes.certificates import Certificate

_SECRET: Final = "035c73f7-bb6b-4889-a715-d9eb2d1925cc"
STARTED: Final = 10.0
"""Seconds until a peer must listen."""


@dataclass(frozen=True)
class Files:
    """A configuration that was written, and where its peer will serve."""

    arguments: tuple[str, ...]
    port: int
    prefix: str = "/"
    "Of the path, before the stream's name."
    api: int = 0


class Peer(Protocol):
    """What has to be known of a media server."""

    name: ClassVar[str]
    takes_udp: ClassVar[bool]
    has_tls: ClassVar[bool]

    def configure(
        self, folder: Path, sources: Mapping[str, str], certificate: Certificate | None, *, udp: bool
    ) -> Files:
        """Write the configuration for `sources`, name to URL, into `folder`."""
        ...

    async def add(self, files: Files, sources: Mapping[str, str], *, udp: bool) -> None:
        """Wait until it listens; add `sources` where its configuration cannot hold them."""
        ...


class Go2rtc:
    """go2rtc; pulls when the first reader comes."""

    name: ClassVar = "go2rtc"
    takes_udp: ClassVar = False
    has_tls: ClassVar = False

    def configure(
        self, folder: Path, sources: Mapping[str, str], certificate: Certificate | None, *, udp: bool
    ) -> Files:
        file, port = folder / "go2rtc.yaml", free_port()
        settings = {
            "api": {"listen": ""},
            "webrtc": {"listen": ""},
            "srtp": {"listen": ""},
            "rtsp": {"listen": f"127.0.0.1:{port}"},
            "log": {"level": "error"},
            # Asked for a way back, it would ask every camera for one.
            "streams": {name: f"{url}#backchannel=0" for name, url in sources.items()},
        }
        # JSON is YAML.
        file.write_text(json.dumps(settings))
        return Files(("-config", str(file)), port)

    async def add(self, files: Files, sources: Mapping[str, str], *, udp: bool) -> None:
        await listening(files.port)


class MediaMtx:
    """MediaMTX, from 1.12 on (earlier ones name some settings otherwise)."""

    name: ClassVar = "mediamtx"
    takes_udp: ClassVar = True
    has_tls: ClassVar = True

    def configure(
        self, folder: Path, sources: Mapping[str, str], certificate: Certificate | None, *, udp: bool
    ) -> Files:
        file, port = folder / "mediamtx.yml", free_port()
        path = {"rtspTransport": "udp" if udp else "tcp"}
        settings: dict[str, object] = {
            "logLevel": "error",
            "rtsp": True,
            "rtspTransports": ["tcp"],
            "rtspAddress": f"127.0.0.1:{port}",
            **dict.fromkeys(("api", "rtmp", "hls", "webrtc", "srt"), False),
        }
        if certificate is not None:
            path["sourceFingerprint"] = certificate.pin_sha256
            settings |= {
                "rtspEncryption": "strict",
                "rtspsAddress": f"127.0.0.1:{port}",
                "rtspAddress": f"127.0.0.1:{free_port()}",
                "rtspServerKey": str(certificate.file),
                "rtspServerCert": str(certificate.file),
            }
        settings["paths"] = {name: {"source": url, **path} for name, url in sources.items()}
        file.write_text(json.dumps(settings))
        return Files((str(file),), port)

    async def add(self, files: Files, sources: Mapping[str, str], *, udp: bool) -> None:
        await listening(files.port)


class ZlMediaKit:
    """ZLMediaKit with RTSP alone and packets passed through; sources are added over its HTTP interface."""

    name: ClassVar = "zlmediakit"
    takes_udp: ClassVar = True
    has_tls: ClassVar = False

    def configure(
        self, folder: Path, sources: Mapping[str, str], certificate: Certificate | None, *, udp: bool
    ) -> Files:
        file, port, api = folder / "config.ini", free_port(), free_port()
        protocols = ("hls", "hls_fmp4", "mp4", "rtmp", "ts", "fmp4", "audio")
        sections: dict[str, dict[str, str | int]] = {
            "api": {"secret": _SECRET, "apiDebug": 0},
            "general": {"listen_ip": "127.0.0.1", "mergeWriteMS": 0},
            "http": {"port": api, "sslport": 0},
            "rtsp": {"port": port, "sslport": 0, "directProxy": 1, "lowLatency": 1},
            "protocol": {
                **dict.fromkeys((f"enable_{name}" for name in protocols), 0),
                "enable_rtsp": 1,
                "add_mute_audio": 0,
            },
            "rtmp": {"port": 0, "sslport": 0},
            "rtp_proxy": {"port": 0},
            "rtc": {"port": 0, "tcpPort": 0, "signalingPort": 0, "icePort": 0, "iceTcpPort": 0},
            "srt": {"port": 0},
            "shell": {"port": 0},
            "onvif": {"port": 0},
        }
        lines = []
        for section, values in sections.items():
            lines += [f"[{section}]", *(f"{name}={value}" for name, value in values.items()), ""]
        file.write_text("\n".join(lines))
        return Files(("-c", str(file), "-l", "4"), port, "/live/", api)

    async def add(self, files: Files, sources: Mapping[str, str], *, udp: bool) -> None:
        await listening(files.port)
        await listening(files.api)
        for name, url in sources.items():
            await get(
                files.api,
                f"/index/api/addStreamProxy?secret={_SECRET}&vhost=__defaultVhost__&app=live"
                f"&stream={name}&rtp_type={int(udp)}&url={quote(url, safe='')}",
            )


PEERS: Final[tuple[Peer, ...]] = (Go2rtc(), MediaMtx(), ZlMediaKit())


def free_port() -> int:
    """Return a TCP port of loopback that nobody had a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def listening(port: int) -> None:
    """Wait until somebody listens on `port`.

    Raises:
        TimeoutError: nobody did within `STARTED` seconds.
    """
    async with asyncio.timeout(STARTED):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def get(port: int, path: str) -> bytes:
    """Return the answer to a GET over HTTP/1.0."""
    async with asyncio.timeout(STARTED):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
            return await reader.read()
        finally:
            writer.close()
