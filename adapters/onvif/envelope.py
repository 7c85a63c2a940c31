"""SOAP envelopes of ONVIF devices: what they hold, what was repaired, and which fault they tell (sans-IO)."""

import re
from dataclasses import dataclass
from typing import Final

from lxml import etree

from adapters.errors import NotOnvif, RemoteProtocolError
from adapters.xml import local_name, parse_document

MAX_ANSWER: Final = 512 * 1024
"""Bytes of one answer; 16 profiles with analytics take 80 KB."""

MAX_TEXT: Final = 200
"""Characters of a device's text that are kept."""

WELL_KNOWN: Final = {
    "tt": "http://www.onvif.org/ver10/schema",
    "tds": "http://www.onvif.org/ver10/device/wsdl",
    "trt": "http://www.onvif.org/ver10/media/wsdl",
    "tr2": "http://www.onvif.org/ver20/media/wsdl",
    "tptz": "http://www.onvif.org/ver20/ptz/wsdl",
    # ipycam writes the PTZ service's elements so.
    "ptz": "http://www.onvif.org/ver20/ptz/wsdl",
    "timg": "http://www.onvif.org/ver20/imaging/wsdl",
    "tev": "http://www.onvif.org/ver10/events/wsdl",
    "ter": "http://www.onvif.org/ver10/error",
}
"""The prefixes of the specifications, for devices that use them undeclared."""

_USED: Final = re.compile(rb"</?([A-Za-z][\w.-]{0,15}):")
_ROOT: Final = re.compile(rb"<[A-Za-z][\w.:-]*(?=[\s>/])")


@dataclass(frozen=True, slots=True)
class Envelope:
    """One well-formed answer."""

    root: etree._Element
    undeclared: tuple[str, ...]
    "Prefixes that were declared for the device; empty when its XML is sound."


@dataclass(frozen=True, slots=True)
class Fault:
    """A SOAP 1.1 or 1.2 fault."""

    code: str
    "The innermost subcode without prefix, else the code."
    reason: str


def read_envelope(data: bytes, *, peer: str = "") -> Envelope:
    """Return the envelope in `data`.

    Raises:
        NotOnvif: it is a web page, or no SOAP at all.
        RemoteProtocolError: the XML is broken beyond the known repair, too large or too deep.
    """
    beginning = data[:512].lstrip().lower()
    if beginning.startswith((b"<!doctype html", b"<html")) or not beginning.startswith(
        (b"<", b"\xef\xbb\xbf<")
    ):
        raise NotOnvif("answers with something else than SOAP", peer=peer)
    undeclared: tuple[str, ...] = ()
    try:
        root = parse_document(data, limit=MAX_ANSWER, peer=peer)
    except RemoteProtocolError:
        undeclared, repaired = _declare(data[: MAX_ANSWER + 1])
        if not undeclared:
            raise
        root = parse_document(repaired, limit=MAX_ANSWER + 1024, peer=peer)
    if local_name(root) != "Envelope":
        raise NotOnvif(f"answers with <{local_name(root)[:40]}>, not with a SOAP envelope", peer=peer)
    return Envelope(root, undeclared)


def fault_of(envelope: Envelope) -> Fault | None:
    """Return the fault that an answer tells, or None."""
    fault = next((each for each in envelope.root.iter("{*}Fault")), None)
    if fault is None:
        return None
    values = [element.text or "" for element in fault.iter("{*}Value", "{*}faultcode", "faultcode")]
    code = values[-1].strip().rpartition(":")[2] if values else ""
    texts = [element.text or "" for element in fault.iter("{*}Text", "{*}faultstring", "faultstring")]
    return Fault(code[:MAX_TEXT], printable(" ".join(texts)))


def printable(text: object) -> str:
    """Return a device's text on one line without control characters, at most `MAX_TEXT` characters."""
    if text is None:
        return ""
    kept = "".join(letter if letter.isprintable() else " " for letter in str(text)[: 4 * MAX_TEXT])
    return " ".join(kept.split())[:MAX_TEXT]


def _declare(data: bytes) -> tuple[tuple[str, ...], bytes]:
    """Return which well-known prefixes `data` uses undeclared, and `data` with them declared at its root."""
    names = {name.decode("ascii") for name in _USED.findall(data)} & WELL_KNOWN.keys()
    missing = tuple(sorted(name for name in names if f"xmlns:{name}=".encode() not in data))
    root = _ROOT.search(data)
    if not missing or root is None:
        return (), data
    declared = "".join(f' xmlns:{name}="{WELL_KNOWN[name]}"' for name in missing).encode()
    return missing, data[: root.end()] + declared + data[root.end() :]
