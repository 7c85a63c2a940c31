"""Invitations to give live pictures: SDP, Subject and SSRC of GB/T 28181 (2022, 9.2, Annex G and L). Sans-IO."""

import re
from dataclasses import dataclass
from typing import Final

from adapters.errors import RemoteProtocolError, UnsupportedMedia
from catalog.model.plan import MediaWay, StreamKind

CONTENT_TYPE: Final = "application/sdp"
MOST_SESSIONS: Final = 10_000
"""At the same time: four digits of `y=` number them (Annex G)."""
NINE: Final = 9
"""The port that a side gives which connects by itself (RFC 4145)."""

_SETUP: Final = {MediaWay.TCP_PASSIVE: "passive", MediaWay.TCP_ACTIVE: "active"}
_SUB_STREAM: Final = ("a=streamnumber:1", "a=stream:1", "a=streamprofile:1", "a=streamMode:SUB")
"""The spelling of 2022, and three of makers: whoever does not know an attribute has to ignore it (RFC 8866, 5.13)."""
_MEDIA: Final = re.compile(r"(\w+) +(\d{1,5})(?:/\d+)? +(\S+)((?: +\S+)*)")
_PRIVATE: Final = re.compile(r"rtpmap:\d+ +(?:HIKVISION|DAHUA)/", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"IN IP[46] ([0-9A-Fa-f.:]+)")


class Serials:
    """Numbers of sessions: each is used by one at a time, and by another as late as possible.

    Args:
        domain: digits of our own code; 4 to 8 stand in each number.
    """

    def __init__(self, domain: str) -> None:
        self._domain = (domain[3:8] if domain[:8].isdecimal() else "").rjust(5, "0")
        self._used: set[int] = set()
        self._next = 1

    def take(self) -> str | None:
        """Return the ten digits of a new live session, None where all are in use."""
        if len(self._used) >= MOST_SESSIONS:
            return None
        while self._next in self._used:
            self._next = (self._next + 1) % MOST_SESSIONS
        number, self._next = self._next, (self._next + 1) % MOST_SESSIONS
        self._used.add(number)
        return f"0{self._domain}{number:04d}"

    def give_back(self, serial: str) -> None:
        """Let a number be used again."""
        self._used.discard(int(serial[-4:]))


@dataclass(frozen=True)
class Offer:
    """What we offer a device."""

    own_id: str
    channel_id: str
    serial: str
    "The ten digits of `y=`."
    host: str
    "Our address for the media."
    port: int
    "Where they are to come to; not looked at where we connect."
    media: MediaWay
    stream: StreamKind = StreamKind.MAIN

    def render(self) -> bytes:
        """Return the description."""
        protocol = "RTP/AVP" if self.media is MediaWay.UDP else "TCP/RTP/AVP"
        port = NINE if self.media is MediaWay.TCP_ACTIVE else self.port
        family = "IP6" if ":" in self.host else "IP4"
        lines = [
            "v=0",
            f"o={self.channel_id} 0 0 IN {family} {self.host}",
            "s=Play",
            f"c=IN {family} {self.host}",
            "t=0 0",
            f"m=video {port} {protocol} 96",
            "a=recvonly",
        ]
        if self.media in _SETUP:
            lines += [f"a=setup:{_SETUP[self.media]}", "a=connection:new"]
        if self.stream is StreamKind.SUB:
            lines += _SUB_STREAM
        lines += ["a=rtpmap:96 PS/90000", f"y={self.serial}"]
        return "".join(f"{line}\r\n" for line in lines).encode("ascii")

    @property
    def subject(self) -> str:
        """Return the Subject header: who sends which stream to whom (Annex K)."""
        return f"{self.channel_id}:{self.serial},{self.own_id}:0"


@dataclass(frozen=True)
class Answer:
    """What the device answered."""

    host: str
    "Of c=, empty where it named none; o= is never looked at."
    port: int
    "0 where it named none that we could connect to."
    serial: str
    "Its `y=`, empty where it gave none."


def read_answer(body: bytes, *, peer: str = "") -> Answer:
    """Return what a 200 to our INVITE says.

    Raises:
        RemoteProtocolError: it is no description.
        UnsupportedMedia: it offers a maker's private stream, or no video.
    """
    text = body.decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines or not lines[0].startswith("v="):
        raise RemoteProtocolError("the answer to the invitation is no description", peer=peer, received=body)
    host = port = serial = ""
    for line in lines:
        kind, _, value = line.partition("=")
        if kind == "m" and (media := _MEDIA.fullmatch(value)) is not None:
            if media[1].lower() == "video" and not port:
                port = media[2]
        elif kind == "c" and (address := _ADDRESS.match(value)) is not None:
            host = address[1]
        elif kind == "y" and value.isdecimal():
            serial = value[:10]
        elif kind == "a" and _PRIVATE.match(value):
            raise UnsupportedMedia(f"a private stream: {value[:60]}", peer=peer)
    if not port:
        raise UnsupportedMedia("the answer to the invitation holds no video", peer=peer)
    number = int(port)
    return Answer(host, number if number not in (0, NINE) and number < 65536 else 0, serial)
