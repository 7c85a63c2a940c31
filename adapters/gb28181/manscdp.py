"""MANSCDP, the XML bodies of GB/T 28181 (Annex A): read as devices send them, written as the standard says. Sans-IO."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from xml.sax.saxutils import escape

from lxml import etree

from adapters.errors import RemoteProtocolError
from adapters.sip.message import MAX_BODY
from adapters.xml import local_name, parse_document

CONTENT_TYPE: Final = "Application/MANSCDP+xml"
MAX_TEXT: Final = 200
"""Characters kept of what a device writes into one field."""
MAX_FIELDS: Final = 60
"""Fields kept of one item."""

_DECLARATION: Final = re.compile(rb"^\s*<\?xml[^>]*\?>")
_SAYS_UTF8: Final = re.compile(rb"encoding\s*=\s*[\"']utf-?8[\"']", re.IGNORECASE)
_BARE_AMPERSAND: Final = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9A-Fa-f]{1,6});)")
_BARE_LESS: Final = re.compile(r"<(?![A-Za-z_/!?])")
_FORBIDDEN: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_KEEPALIVE: Final = re.compile(
    rb"\s*(?:<\?xml[^>]{0,80}\?>)?\s*<Notify>\s*<CmdType>Keepalive</CmdType>\s*<SN>\d{1,10}</SN>\s*"
    rb"<DeviceID>\d{20}</DeviceID>\s*<Status>OK</Status>\s*(?:<Info>\s*</Info>\s*)?</Notify>\s*"
)
_PASSWORD: Final = re.compile("passw|pwd|secret", re.IGNORECASE)
_ROOTS: Final = {"query": "Query", "control": "Control", "notify": "Notify", "response": "Response"}


@dataclass(frozen=True)
class Item:
    """An element with fields: the document itself, or one entry of a list in it."""

    element: etree._Element

    def text(self, name: str) -> str:
        """Return the text of the field `name`, whatever its letters' case; trimmed, printable, empty where absent."""
        wanted = name.lower()
        for child in self.element:
            if local_name(child).lower() == wanted:
                return shown(child.text or "")
        return ""

    def number(self, name: str) -> int | None:
        """Return the field as a whole number of 0 or more; None where it is none."""
        text = self.text(name)
        return int(text) if text.isascii() and text.isdecimal() and len(text) <= 10 else None

    def child(self, name: str) -> "Item | None":
        """Return the first element `name`, or None."""
        wanted = name.lower()
        return next((Item(each) for each in self.element if local_name(each).lower() == wanted), None)

    def children(self, name: str) -> "Iterator[Item]":
        """Yield every element `name`."""
        wanted = name.lower()
        return (Item(each) for each in self.element if local_name(each).lower() == wanted)

    def fields(self) -> dict[str, str]:
        """Return every field that holds text, by its name as sent; the first of a name, `MAX_FIELDS` at most.

        A password that a device tells of itself is never among them: what is kept of it is shown to people.
        """
        found: dict[str, str] = {}
        for child in self.element:
            name, text = local_name(child)[:40], shown(child.text or "")
            if text and len(found) < MAX_FIELDS and _PASSWORD.search(name) is None:
                found.setdefault(name, text)
        return found


@dataclass(frozen=True)
class Manscdp(Item):
    """One body."""

    root: str
    "`Query`, `Control`, `Notify` or `Response`."
    command: str
    "CmdType as the standard spells it, where it is one that we know; else as sent."
    serial: int
    "SN: ties a response to its query."
    device_id: str


_COMMANDS: Final = {
    name.lower(): name
    for name in (
        "Keepalive",
        "Catalog",
        "DeviceInfo",
        "DeviceStatus",
        "RecordInfo",
        "ConfigDownload",
        "DeviceControl",
        "DeviceConfig",
        "Alarm",
        "MobilePosition",
        "MediaStatus",
        "PresetQuery",
        "Broadcast",
    )
}


def shown(text: str) -> str:
    """Return text of a device as it may be kept: trimmed, printable, `MAX_TEXT` characters."""
    return "".join(character for character in text.strip()[:MAX_TEXT] if character.isprintable())


def parse(body: bytes, *, peer: str = "") -> Manscdp:
    """Return what one body says.

    Decoded as it is, not as it claims: GB 18030 unless it is UTF-8 beyond doubt. A bare `&` or `<` in a text
    (Hikvision) is taken for the character that it is.

    Raises:
        RemoteProtocolError: it is no MANSCDP; a DTD is refused whole.
        MessageTooLarge: longer than a SIP body may be, or nested too deeply.
    """
    text = _decoded(body)
    try:
        root = _tree(text, peer)
    except RemoteProtocolError:
        repaired = _BARE_LESS.sub("&lt;", _BARE_AMPERSAND.sub("&amp;", text))
        if repaired == text:
            raise
        root = _tree(repaired, peer)
    kind = _ROOTS.get(local_name(root).lower())
    item = Item(root)
    command, serial, device_id = item.text("CmdType"), item.number("SN"), item.text("DeviceID")
    if kind is None or not command:
        raise RemoteProtocolError("XML that is no MANSCDP: root or CmdType", peer=peer, received=body)
    return Manscdp(root, kind, _COMMANDS.get(command.lower(), command[:40]), serial or 0, device_id)


def is_plain_keepalive(body: bytes) -> bool:
    """Return whether a body is a keepalive that says OK, in the standard's own spelling and nothing besides."""
    return _KEEPALIVE.fullmatch(body) is not None


def _tree(text: str, peer: str) -> etree._Element:
    # Four octets a character at most.
    return parse_document(text.encode(), limit=4 * MAX_BODY, peer=peer)


def _decoded(body: bytes) -> str:
    body = body.removeprefix(b"\xef\xbb\xbf").strip(b"\0")
    declaration = _DECLARATION.match(body)
    says_utf8 = declaration is not None and _SAYS_UTF8.search(declaration[0]) is not None
    if declaration is not None:
        body = body[declaration.end() :]
    text = None
    if says_utf8 or not body.isascii():
        with suppress(UnicodeDecodeError):
            text = body.decode()
    if text is None:
        text = body.decode("gb18030", "replace")
    return _FORBIDDEN.sub("", text)


Fields = Sequence[tuple[str, str]]


def render(root: str, command: str, serial: int, device_id: str, fields: Fields = ()) -> bytes:
    """Return a body of ours, in GB 18030 (2022, 6.10; a superset of GB 2312 of 2016).

    Args:
        root: `Query`, `Control`, `Notify` or `Response`.
        command: CmdType.
        serial: SN.
        device_id: what it is about.
        fields: further elements and their text.
    """
    pairs = (("CmdType", command), ("SN", str(serial)), ("DeviceID", device_id), *fields)
    lines = "\r\n".join(f"<{name}>{escape(text)}</{name}>" for name, text in pairs)
    text = f'<?xml version="1.0" encoding="GB18030"?>\r\n<{root}>\r\n{lines}\r\n</{root}>\r\n'
    return text.encode("gb18030")
