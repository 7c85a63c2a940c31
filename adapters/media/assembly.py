"""Coded pictures put together again from RTP payloads, as decoders take them: Annex B (sans-IO)."""

from collections.abc import Iterable, Iterator
from typing import Final

START_CODE: Final = b"\x00\x00\x00\x01"


def annex_b(codec: str, payloads: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the units that the payloads carry, each with its start code; fragments follow as they come.

    Args:
        codec: `H264` or `H265`.
        payloads: in order, none of them empty.
    """
    return _h264_units(payloads) if codec == "H264" else _h265_units(payloads)


def _h264_units(payloads: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what RFC 6184, sections 5.6 to 5.8 carries: single units, STAP-A and FU-A."""
    for payload in payloads:
        kind = payload[0] & 0x1F
        if kind == 24:
            yield from _aggregated(payload, 1)
        elif kind == 28 and len(payload) > 2:
            if payload[1] & 0x80:
                yield START_CODE + bytes((payload[0] & 0xE0 | payload[1] & 0x1F,))
            yield payload[2:]
        else:
            yield START_CODE + payload


def _h265_units(payloads: Iterable[bytes]) -> Iterator[bytes]:
    """Yield what RFC 7798, section 4.4 carries: single units, aggregation and fragmentation units."""
    for payload in payloads:
        kind = payload[0] >> 1 & 0x3F
        if kind == 48:
            yield from _aggregated(payload, 2)
        elif kind == 49 and len(payload) > 3:
            if payload[2] & 0x80:
                yield START_CODE + bytes((payload[0] & 0x81 | (payload[2] & 0x3F) << 1, payload[1]))
            yield payload[3:]
        else:
            yield START_CODE + payload


def _aggregated(payload: bytes, at: int) -> Iterator[bytes]:
    while at + 2 < len(payload):
        size = int.from_bytes(payload[at : at + 2], "big")
        if size == 0:
            return
        yield START_CODE + payload[at + 2 : at + 2 + size]
        at += 2 + size
