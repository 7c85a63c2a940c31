"""Which stream and which track of it a client's URI names, sans-IO.

Only path and query count. Host and port are those that the client happened to use, be it through a
NAT or by a name, and a user name in the URI is nobody's credential.
"""

import re
from dataclasses import dataclass
from typing import Final

from adapters.errors import RemoteProtocolError

_ORIGIN: Final = re.compile(r"(?i:rtsps?|rtspu)://[^/?]*")
_TRACK: Final = re.compile(r"/(trackID=[0-9]{1,3})/*$")


@dataclass(frozen=True)
class Resource:
    """What a URI names."""

    path: str
    "Of the stream: absolute path and query as written, without the last slash; `*` for the whole server."
    control: str | None
    "The track in it, e.g. `trackID=0`; None for the aggregate."

    @classmethod
    def parse(cls, uri: str) -> "Resource":
        """Read an absolute RTSP URI, an absolute path or `*`.

        Where the path has a query, players put the track behind either (FFmpeg, live555: behind the
        query; GStreamer: before it); both name the same.

        Raises:
            RemoteProtocolError: `uri` is none of these.
        """
        if uri == "*":
            return cls("*", None)
        origin = _ORIGIN.match(uri)
        rest = uri[origin.end() :] if origin is not None else uri
        if origin is None and not rest.startswith("/"):
            raise RemoteProtocolError("not an RTSP URI", received=uri.encode("latin-1", "replace"))
        path, mark, query = rest.partition("?")
        path, control = _split(path)
        if mark:
            query, in_query = _split(query)
            control = control or in_query
        return cls((path or "/") + mark + query, control)


def _split(text: str) -> tuple[str, str | None]:
    """Return `text` without a track and the last slash, and the track."""
    track = _TRACK.search(text)
    return (text[: track.start()].rstrip("/"), track[1]) if track is not None else (text.rstrip("/"), None)


def without_user(uri: str) -> str:
    """Return `uri` without the user name and password that a careless client left in it."""
    return re.sub(r"^([A-Za-z]+://)[^/?]*@", r"\1", uri)
