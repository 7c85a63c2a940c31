"""Session descriptions (RFC 8866, formerly 4566) as RTSP uses them (RFC 2326, appendix C), sans-IO."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

MAX_DESCRIPTION: Final = 64 * 1024
"""Longest description, bytes."""
MAX_LINES: Final = 1024
MAX_MEDIA: Final = 32
MAX_FORMATS: Final = 64
"""Most payload types in one `m=` line."""

VIDEO_CODECS: Final = frozenset({"H264", "H265", "JPEG"})
"""The RTP encodings that are relayed as video."""

_LINE: Final = re.compile(r"([a-z])=(.*)", re.DOTALL)
_MEDIA: Final = re.compile(r"([A-Za-z]+) +([0-9]{1,5})(?:/[0-9]{1,5})? +([A-Za-z0-9/]+)((?: +[^ ]+)*) *")
_RTPMAP: Final = re.compile(r"([0-9]{1,3}) +([A-Za-z0-9\-_.]+)/([0-9]{1,7})(?:/([0-9]{1,2}))? *")

# RFC 3551, tables 4 and 5: payload types that need no rtpmap.
_STATIC: Final = MappingProxyType(
    {0: ("PCMU", 8000), 8: ("PCMA", 8000), 14: ("MPA", 90000), 26: ("JPEG", 90000), 32: ("MPV", 90000)}
)


@dataclass(frozen=True)
class Format:
    """One payload type of a media."""

    payload_type: int
    encoding: str
    "RTP encoding name in upper case: `H264`, `PCMA`, `MPEG4-GENERIC`, ..."
    clock_rate: int
    "Hz."
    channels: int | None = None
    parameters: str | None = None
    "The `a=fmtp` value behind the payload type, unchanged."


@dataclass(frozen=True)
class Media:
    """One `m=` section."""

    kind: str
    "`video`, `audio`, `application`, in lower case."
    protocol: str
    "`RTP/AVP`, `RTP/SAVP`, ..."
    formats: tuple[Format, ...]
    "Those whose encoding is known, in the order of the `m=` line."
    attributes: tuple[tuple[str, str], ...]
    "All `a=` lines: name and value, the value empty for a flag."

    def attribute(self, name: str) -> str | None:
        """Return the first value of attribute `name`, or None."""
        return next((value for key, value in self.attributes if key == name), None)

    @property
    def control(self) -> str | None:
        """Return the `a=control` value, or None."""
        return self.attribute("control")

    @property
    def is_backchannel(self) -> bool:
        """Return whether the client would send this media: ONVIF's way to speak to a camera."""
        return self.attribute("sendonly") is not None


@dataclass(frozen=True)
class SessionDescription:
    """What DESCRIBE answers with."""

    attributes: tuple[tuple[str, str], ...]
    "Session-level `a=` lines."
    media: tuple[Media, ...]

    @property
    def control(self) -> str | None:
        """Return the aggregate `a=control` value, or None."""
        return next((value for key, value in self.attributes if key == "control"), None)

    @property
    def video(self) -> Media | None:
        """Return the first video that we relay (`VIDEO_CODECS`), or None."""
        return next(
            (
                m
                for m in self.media
                if m.kind == "video" and m.formats and m.formats[0].encoding in VIDEO_CODECS
            ),
            None,
        )

    @property
    def audio(self) -> Media | None:
        """Return the first audio that the camera sends, or None."""
        return next((m for m in self.media if m.kind == "audio" and m.formats and not m.is_backchannel), None)

    @classmethod
    def parse(cls, data: bytes) -> "SessionDescription":
        """Parse a description; unknown lines are passed over.

        Cameras leave out mandatory lines (`s=`, `t=`), misplace others and end lines in LF alone, so
        only what is needed for SETUP is required: well-formed `m=` lines.

        Raises:
            ValueError: not a description, or a bound of this module is exceeded.
        """
        if len(data) > MAX_DESCRIPTION:
            raise ValueError(f"description of {len(data)} bytes")
        sections: list[list[str]] = [[]]
        lines = [line.strip() for line in data.decode("utf-8", "replace").replace("\r", "\n").split("\n")]
        lines = [line for line in lines if line.strip("\x00")]
        if len(lines) > MAX_LINES:
            raise ValueError(f"description of {len(lines)} lines")
        for line in lines:
            if _LINE.fullmatch(line) is None:
                raise ValueError(f"not a description line: {line[:80]!r}")
            if line.startswith("m="):
                sections.append([])
            sections[-1].append(line)
        if len(sections) - 1 > MAX_MEDIA:
            raise ValueError(f"description of {len(sections) - 1} media")
        media = tuple(_parse_media(section) for section in sections[1:])
        return cls(_attributes(sections[0]), media)


def _attributes(lines: Sequence[str]) -> tuple[tuple[str, str], ...]:
    found = []
    for line in lines:
        if line.startswith("a="):
            name, _, value = line[2:].partition(":")
            found.append((name.strip(), value.strip()))
    return tuple(found)


def _parse_media(lines: Sequence[str]) -> Media:
    match = _MEDIA.fullmatch(lines[0], 2)
    if match is None:
        raise ValueError(f"not a media line: {lines[0][:80]!r}")
    names = match[4].split()
    if len(names) > MAX_FORMATS:
        raise ValueError(f"media of {len(names)} formats")
    attributes = _attributes(lines)
    formats: list[Format] = []
    for name in names:
        found = _format(name, attributes)
        if found is not None:
            formats.append(found)
    return Media(match[1].lower(), match[3].upper(), tuple(formats), attributes)


def _format(name: str, attributes: Sequence[tuple[str, str]]) -> Format | None:
    """Return the format of payload type `name`, or None where nothing says what it is."""
    if re.fullmatch(r"[0-9]{1,3}", name) is None or int(name) > 127:
        return None
    payload_type = int(name)
    parameters = None
    for key, value in attributes:
        number, _, rest = value.partition(" ")
        if key == "fmtp" and number == name:
            parameters = rest.strip()
    for key, value in attributes:
        rtpmap = _RTPMAP.fullmatch(value) if key == "rtpmap" else None
        if rtpmap is None or int(rtpmap[1]) != payload_type:
            continue
        if int(rtpmap[3]) == 0:
            raise ValueError(f"clock rate of zero: {value[:80]!r}")
        channels = int(rtpmap[4]) if rtpmap[4] else None
        return Format(payload_type, rtpmap[2].upper(), int(rtpmap[3]), channels, parameters)
    if payload_type in _STATIC:
        encoding, clock_rate = _STATIC[payload_type]
        return Format(payload_type, encoding, clock_rate, None, parameters)
    return None


def render_announce(name: str, media: Sequence[Media]) -> bytes:
    """Return the description that announces `media` for RECORD.

    Every media keeps its first format alone and gets `a=control:trackID=<n>`, n from 0; no address
    and no other text of the camera's description goes out.

    Args:
        name: the session name, e.g. the source's code; letters, digits and `-_.` only.
        media: as parsed from the camera.

    Raises:
        ValueError: `name` holds another character, or a media has no format.
    """
    return _render(name, media, ("a=control:*",))


def render_describe(name: str, media: Sequence[Media]) -> bytes:
    """Return the description that answers DESCRIBE: as `render_announce`, and live (RFC 2326, C.1.5).

    Raises:
        ValueError: as `render_announce`.
    """
    return _render(name, media, ("a=control:*", "a=range:npt=now-"))


def track_control(index: int) -> str:
    """Return the `a=control` value of the media with this index in a description of ours."""
    return f"trackID={index}"


def _render(name: str, media: Sequence[Media], attributes: Sequence[str]) -> bytes:
    if re.fullmatch(r"[A-Za-z0-9\-_.]{1,64}", name) is None:
        raise ValueError(f"not a session name: {name!r}")
    lines = ["v=0", "o=- 0 0 IN IP4 127.0.0.1", f"s={name}", "c=IN IP4 0.0.0.0", "t=0 0", *attributes]
    for index, one in enumerate(media):
        if not one.formats:
            raise ValueError("a media without format")
        chosen = one.formats[0]
        channels = f"/{chosen.channels}" if chosen.channels is not None else ""
        lines.append(f"m={one.kind} 0 RTP/AVP {chosen.payload_type}")
        lines.append(f"a=rtpmap:{chosen.payload_type} {chosen.encoding}/{chosen.clock_rate}{channels}")
        if chosen.parameters:
            lines.append(f"a=fmtp:{chosen.payload_type} {chosen.parameters}")
        lines.append(f"a=control:{track_control(index)}")
    return "".join(f"{line}\r\n" for line in lines).encode()
