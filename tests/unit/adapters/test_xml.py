"""Whatever a stranger sends, reading it costs little and opens nothing."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import MessageTooLarge, RemoteProtocolError
from adapters.xml import MAX_DEPTH, local_name, parse_document

LIMIT = 1 << 20


def test_a_document_is_read_whatever_its_prefixes() -> None:
    root = parse_document(
        b'<?xml version="1.0"?><s:Envelope xmlns:s="urn:x"><s:Body/></s:Envelope>', limit=LIMIT
    )
    assert local_name(root) == "Envelope"
    assert [local_name(child) for child in root] == ["Body"]


def test_a_bomb_is_refused_unexpanded() -> None:
    levels = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    bomb = f'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY e0 "aaaaaaaaaa">{levels}]><b>&e11;</b>'
    with pytest.raises(RemoteProtocolError):
        parse_document(bomb.encode(), limit=LIMIT)


def test_an_external_entity_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("opened")
    data = f'<!DOCTYPE a [<!ENTITY x SYSTEM "file://{tmp_path}/secret">]><a>&x;</a>'.encode()
    with pytest.raises(RemoteProtocolError) as caught:
        parse_document(data, limit=LIMIT)
    assert "opened" not in str(caught.value)


@pytest.mark.parametrize("depth", [MAX_DEPTH + 1, 300, 100_000])
def test_deep_nesting_is_refused(depth: int) -> None:
    with pytest.raises(RemoteProtocolError):
        parse_document(b"<a>" * depth + b"</a>" * depth, limit=LIMIT)


def test_a_document_over_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(MessageTooLarge):
        parse_document(b"<a/>" + b" " * LIMIT, limit=LIMIT)


def test_undeclared_prefixes_are_broken_xml() -> None:
    with pytest.raises(RemoteProtocolError, match="prefix"):
        parse_document(b"<ptz:Status/>", limit=LIMIT)


@given(st.binary(max_size=400))
def test_only_documented_errors(data: bytes) -> None:
    try:
        root = parse_document(data, limit=300)
    except RemoteProtocolError:
        return
    assert local_name(root)
