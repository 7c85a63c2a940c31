"""The sound of a program stream as RTP packets: G.711 as it is, AAC one access unit at a time. Sans-IO."""

import secrets
from typing import Final, Protocol

from adapters.media.aac import SAMPLES, AacFormat, AdtsReader, payloads, starts_with_adts
from adapters.media.packetizer import Packetizer
from adapters.media.ps import Elementary
from adapters.media.sdp import Format, Media

AAC_TYPE: Final = 97
"""Payload type of the AAC that we make."""
MAX_G711: Final = 1_280
"""Octets in one packet: 160 ms, within what the standard allows."""

_G711: Final = {"PCMA": 8, "PCMU": 0}
_G711_RATE: Final = 8_000
_PTS_RATE: Final = 90_000


class Sound(Protocol):
    """One kind of sound."""

    media: Media
    "How it is described."

    def packets(self, piece: Elementary) -> list[bytes]:
        """Return the RTP packets that are whole with this piece."""
        ...


def sound_of(mapped: str | None, first: Elementary | None) -> Sound | None:
    """Return what the sound of a stream is made with; None where it is of no kind that we carry.

    Args:
        mapped: what the stream map says it is; some devices say G.711 and send AAC.
        first: the first piece, None where none came yet.
    """
    form = starts_with_adts(first.data) if first is not None else None
    if form is not None:
        return _Aac(form)
    return _G711Sound(mapped) if mapped in _G711 else None


class _Timeline:
    """RTP timestamps that go on from the last, unless what the sender says is more than a second from it."""

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._next = -1

    def take(self, piece: Elementary, samples: int) -> int:
        told = (piece.timestamp if piece.pts is None else piece.pts) * self._rate // _PTS_RATE
        if self._next < 0 or abs(told - self._next) > self._rate:
            self._next = told
        at = self._next
        self._next += samples
        return at


class _G711Sound:
    def __init__(self, encoding: str) -> None:
        kind = _G711[encoding]
        self.media = Media("audio", "RTP/AVP", (Format(kind, encoding, _G711_RATE),), ())
        self._packetizer = Packetizer(encoding, kind, _ssrc())
        self._clock = _Timeline(_G711_RATE)

    def packets(self, piece: Elementary) -> list[bytes]:
        if starts_with_adts(piece.data) is not None:
            # Found out too late what it really is: silence, for as G.711 it would be noise.
            return []
        at = self._clock.take(piece, len(piece.data))
        made: list[bytes] = []
        for begin in range(0, len(piece.data), MAX_G711):
            made += self._packetizer.picture([piece.data[begin : begin + MAX_G711]], at + begin)
        return made


class _Aac:
    def __init__(self, form: AacFormat) -> None:
        self.media = Media("audio", "RTP/AVP", (form.describe(AAC_TYPE),), ())
        self._reader = AdtsReader(form)
        self._packetizer = Packetizer("MPEG4-GENERIC", AAC_TYPE, _ssrc())
        self._clock = _Timeline(form.rate)

    def packets(self, piece: Elementary) -> list[bytes]:
        if piece.follows_loss:
            self._reader.gap()
        made: list[bytes] = []
        for unit in self._reader.feed(piece.data):
            made += self._packetizer.picture(list(payloads(unit)), self._clock.take(piece, SAMPLES))
        return made


def _ssrc() -> int:
    return int.from_bytes(secrets.token_bytes(4), "big")
