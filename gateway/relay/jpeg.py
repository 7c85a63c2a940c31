"""A JPEG file from its RTP payloads (RFC 2435), for the one decoding at verification. Sans-IO."""

from typing import Final

# RFC 2435, appendix A: the tables of ISO 10918-1, annex K, in zigzag order.
_LUMA: Final = bytes.fromhex(
    "100b0c0e0c0a100e0d0e121110131828"
    "1a181616183123251d283a333d3c3933"
    "383740485c4e404457453738506d5157"
    "5f626768673e4d71797064785c656763"
)
_CHROMA: Final = bytes.fromhex("1112121815182f1a1a2f634238426363") + b"\x63" * 48
_RESTART_TYPES: Final = 64


def assemble(payloads: list[bytes]) -> bytes:
    """Return the JPEG file in `payloads`, those of one frame in order.

    Huffman tables are left out: they are the standard's own, which decoders have.

    Raises:
        ValueError: no frame of types 0, 1, 64 or 65 (section 4.1), or a part of it is missing.
    """
    scan = bytearray()
    head = b""
    for payload in payloads:
        if len(payload) < 8:
            raise ValueError("JPEG payload without its header")
        offset = int.from_bytes(payload[1:4], "big")
        kind, quality = payload[4], payload[5]
        at = 8
        interval = 0
        if kind & _RESTART_TYPES:
            interval = int.from_bytes(payload[at : at + 2], "big")
            at += 4
        if offset == 0:
            tables, at = _tables(payload, at, quality)
            head = _head(payload, kind & ~_RESTART_TYPES, tables, interval)
            scan.clear()
        if offset != len(scan):
            raise ValueError("a JPEG fragment is missing")
        scan += payload[at:]
    if not head:
        raise ValueError("no JPEG frame begins here")
    return head + bytes(scan) + b"\xff\xd9"


def _tables(payload: bytes, at: int, quality: int) -> tuple[bytes, int]:
    """Return luma and chroma table one behind the other, and the offset behind their header."""
    if quality < 128:
        factor = min(max(quality, 1), 99)
        scale = 5000 // factor if factor < 50 else 200 - 2 * factor
        return bytes(min(max((q * scale + 50) // 100, 1), 255) for q in _LUMA + _CHROMA), at
    length = int.from_bytes(payload[at + 2 : at + 4], "big")
    tables = payload[at + 4 : at + 4 + length]
    if len(payload) < at + 4 or payload[at + 1] or len(tables) != 128:
        raise ValueError("JPEG with other than two 8-bit quantization tables")
    return tables, at + 4 + length


def _head(payload: bytes, kind: int, tables: bytes, interval: int) -> bytes:
    """Return everything from the start of the image to the start of its scan."""
    if kind not in (0, 1):
        raise ValueError(f"JPEG of type {kind}")
    width, height = 8 * payload[6], 8 * payload[7]
    if not width or not height:
        raise ValueError("JPEG frame without a size")
    sampling = 0x21 if kind == 0 else 0x22
    frame = b"\x08" + height.to_bytes(2, "big") + width.to_bytes(2, "big") + b"\x03"
    frame += bytes((1, sampling, 0, 2, 0x11, 1, 3, 0x11, 1))
    parts = [b"\xff\xd8", _segment(0xDB, b"\x00" + tables[:64]), _segment(0xDB, b"\x01" + tables[64:])]
    if interval:
        parts.append(_segment(0xDD, interval.to_bytes(2, "big")))
    parts += [_segment(0xC0, frame), _segment(0xDA, bytes((3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0)))]
    return b"".join(parts)


def _segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(content) + 2).to_bytes(2, "big") + content
