"""Reads XML that a device, or anybody who claims to be one, sent us (sans-IO).

Nothing here resolves an entity, loads a DTD or opens a file: a document that declares a DTD is refused whole
(XML bombs and external entities need one), and size and depth are bounded before a tree is walked.
"""

from typing import Final

from lxml import etree

from adapters.errors import MessageTooLarge, RemoteProtocolError

MAX_DEPTH: Final = 64
"""Nested elements; the deepest ONVIF answer in the field (analytics configurations) stays under 30."""


def parse_document(data: bytes, *, limit: int, peer: str = "") -> etree._Element:
    """Return the root element of one XML document.

    Args:
        data: one whole document, as bytes in the encoding that it declares.
        limit: bytes of `data` that are read at most.
        peer: `host:port` of the sender, for the error.

    Raises:
        MessageTooLarge: `data` is longer than `limit`, or nested deeper than `MAX_DEPTH`.
        RemoteProtocolError: `data` is not well-formed XML, or declares a DTD.
    """
    if len(data) > limit:
        raise MessageTooLarge(f"XML of {len(data)} bytes, more than {limit}", peer=peer, received=data)
    try:
        root = etree.fromstring(data, _parser())
    except (etree.XMLSyntaxError, ValueError) as error:
        raise RemoteProtocolError(f"broken XML: {error}", peer=peer, received=data) from error
    if root.getroottree().docinfo.doctype:
        raise RemoteProtocolError("XML with a DTD, which no device needs", peer=peer, received=data)
    if _deeper_than(root, MAX_DEPTH):
        raise MessageTooLarge(f"XML nested deeper than {MAX_DEPTH} elements", peer=peer, received=data)
    return root


def local_name(element: etree._Element) -> str:
    """Return the element's name without its namespace."""
    return str(etree.QName(element).localname)


def _parser() -> etree.XMLParser:
    # One for each document: a parser keeps the names that it met, and these are a stranger's.
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )


def _deeper_than(root: etree._Element, bound: int) -> bool:
    depth = 0
    for event, _ in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        if depth > bound:
            return True
    return False
