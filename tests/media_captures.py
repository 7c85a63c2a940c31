"""Captured RTP streams (`tests/data/media`), whole or with bytes edited as a misbehaving camera would send them."""

from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

DATA = Path(__file__).parent / "data" / "media"
HEADER = 4


@cache
def captured(name: str) -> tuple[bytes, ...]:
    """Return the interleaved frames of a capture, all on channel 0."""
    data, frames, at = (DATA / f"{name}.rtp").read_bytes(), [], 0
    while at < len(data):
        after = at + HEADER + int.from_bytes(data[at + 2 : at + 4], "big")
        frames.append(data[at:after])
        at = after
    return tuple(frames)


def sequence(frame: bytes) -> int:
    return int.from_bytes(frame[6:8], "big")


def timestamp(frame: bytes) -> int:
    return int.from_bytes(frame[8:12], "big")


def payload(frame: bytes) -> bytes:
    return frame[16:]


def edited(
    frame: bytes,
    *,
    sequence: int | None = None,
    timestamp: int | None = None,
    ssrc: int | None = None,
    payload_type: int | None = None,
    marker: bool | None = None,
) -> bytes:
    """Return `frame` with fields of its RTP header replaced; numbers wrap."""
    data = bytearray(frame)
    if payload_type is not None:
        data[5] = data[5] & 0x80 | payload_type
    if marker is not None:
        data[5] = data[5] & 0x7F | marker << 7
    if sequence is not None:
        data[6:8] = (sequence % 2**16).to_bytes(2, "big")
    if timestamp is not None:
        data[8:12] = (timestamp % 2**32).to_bytes(4, "big")
    if ssrc is not None:
        data[12:16] = ssrc.to_bytes(4, "big")
    return bytes(data)


def moved(
    frames: Iterable[bytes], *, sequence: int = 0, timestamp: int = 0, ssrc: int | None = None
) -> list[bytes]:
    """Return `frames` with sequence and timestamp moved on by as much."""
    return [
        edited(f, sequence=_sequence(f) + sequence, timestamp=_timestamp(f) + timestamp, ssrc=ssrc)
        for f in frames
    ]


def behind(first: Sequence[bytes], second: Iterable[bytes], *, step: int = 9000) -> list[bytes]:
    """Return `second` as the same encoder would have sent it behind `first`: an encoder set to something else."""
    second = list(second)
    latest = max(first, key=lambda f: (_timestamp(f) - _timestamp(first[0])) % 2**32)
    return moved(
        second,
        sequence=_sequence(first[-1]) + 1 - _sequence(second[0]),
        timestamp=_timestamp(latest) + step - _timestamp(second[0]),
        ssrc=int.from_bytes(first[0][12:16], "big"),
    )


def without_units(frames: Iterable[bytes], kinds: Iterable[int]) -> list[bytes]:
    """Return H.264 `frames` whose aggregates and single units of `kinds` are gone, numbered without a hole."""
    left: list[bytes] = []
    dropped = frozenset(kinds)
    for frame in frames:
        units = _units(payload(frame))
        kept = [unit for unit in units if unit[0] & 0x1F not in dropped]
        if not kept:
            continue
        if len(kept) != len(units):
            content = (
                kept[0]
                if len(kept) == 1
                else b"\x78" + b"".join(len(unit).to_bytes(2, "big") + unit for unit in kept)
            )
            frame = frame[:2] + (12 + len(content)).to_bytes(2, "big") + frame[4:16] + content
        left.append(frame)
    first = _sequence(left[0])
    return [edited(frame, sequence=first + index) for index, frame in enumerate(left)]


def _units(content: bytes) -> list[bytes]:
    if content[0] & 0x1F != 24:
        return [content]
    units, at = [], 1
    while at < len(content):
        size = int.from_bytes(content[at : at + 2], "big")
        units.append(content[at + 2 : at + 2 + size])
        at += 2 + size
    return units


_sequence, _timestamp = sequence, timestamp
