from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import MessageTooLarge, RemoteProtocolError
from adapters.sip.message import (
    MAX_BODY,
    MAX_HEAD,
    Answer,
    Framer,
    Request,
    Response,
    parse,
    render,
    render_answer,
    request,
    response,
    shown,
)
from adapters.sip.quirks import REASONS, Quirk

REGISTER = (
    b"REGISTER sip:34020000002000000001@3402000000 SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP 192.0.2.10:5060;rport;branch=z9hG4bK7d1a0001\r\n"
    b"From: <sip:34020000001320000001@3402000000>;tag=9a01\r\n"
    b"To: <sip:34020000001320000001@3402000000>\r\n"
    b"Call-ID: 3f6a1b22@192.0.2.10\r\n"
    b"CSeq: 1 REGISTER\r\n"
    b"Contact: <sip:34020000001320000001@192.0.2.10:5060>\r\n"
    b"Max-Forwards: 70\r\nExpires: 3600\r\nContent-Length: 0\r\n\r\n"
)


def message(head: str, body: bytes = b"") -> bytes:
    return head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body


def test_a_request_is_read() -> None:
    found = parse(REGISTER)
    assert isinstance(found, Request)
    assert (found.method, found.uri) == ("REGISTER", "sip:34020000002000000001@3402000000")
    assert found.cseq == (1, "REGISTER")
    assert found.get("expires") == "3600"
    assert not found.quirks


def test_compact_names_and_any_case_are_the_long_ones() -> None:
    found = parse(
        message("OPTIONS sip:a@b SIP/2.0\nv: SIP/2.0/UDP h\nI: x1\nm: <sip:a@h>\nl: 0\ncSEQ: 7 OPTIONS")
    )
    assert (found.call_id, found.get("contact"), found.cseq) == ("x1", "<sip:a@h>", (7, "OPTIONS"))
    assert found.all("via") == ["SIP/2.0/UDP h"]


def test_a_response_repeats_what_it_must_and_gets_a_tag_once() -> None:
    asked = parse(REGISTER)
    assert isinstance(asked, Request)
    answer = response(asked, 200, "OK", (("Expires", "60"),), tag="b77c")
    read = parse(render(answer))
    assert isinstance(read, Response)
    assert read.status == 200
    assert [read.get(name) for name in ("via", "from", "call-id", "cseq")] == [
        asked.get(name) for name in ("via", "from", "call-id", "cseq")
    ]
    assert read.get("to") == "<sip:34020000001320000001@3402000000>;tag=b77c"
    tagged = response(
        Request((("To", "<sip:a@b>;tag=x"),), b"", frozenset(), "BYE", "sip:a@b"), 200, "OK", tag="y"
    )
    assert tagged.get("to") == "<sip:a@b>;tag=x"


def test_an_answer_made_in_one_go_is_the_same_to_the_octet() -> None:
    asked = parse(REGISTER)
    assert isinstance(asked, Request)
    headers = (("Expires", "60"),)
    made = render_answer(asked, Answer(200, "OK", headers, b"body"), tag="t", origin=("192.0.2.10", 5060))
    whole = parse(render(response(asked, 200, "OK", headers, b"body", tag="t")))
    read = parse(made)
    assert isinstance(read, Response)
    assert {k.lower(): v for k, v in read.headers if k != "Via"} == {
        k.lower(): v for k, v in whole.headers if k != "Via"
    }
    assert (
        read.get("via") == "SIP/2.0/UDP 192.0.2.10:5060;rport=5060;branch=z9hG4bK7d1a0001;received=192.0.2.10"
    )
    assert read.body == b"body"
    with pytest.raises(ValueError, match="line break"):
        render_answer(asked, Answer(200, "OK", (("X", "y\r\nZ: 1"),)), tag="t", origin=("h", 1))


def test_a_name_in_gbk_comes_back_as_it_came() -> None:
    raw = '"东门" <sip:34020000001320000001@3402000000>;tag=1'.encode("gbk")
    found = parse(b"OPTIONS sip:a@b SIP/2.0\r\nFrom: " + raw + b"\r\nTo: <sip:a@b>\r\n\r\n")
    assert isinstance(found, Request)
    assert raw in render(response(found, 200, "OK"))
    assert shown(found.get("from") or "").startswith('"东门"')


@pytest.mark.parametrize(
    ("data", "quirk"),
    [
        (REGISTER.replace(b"\r\n", b"\n"), Quirk.BARE_LF),
        (message("MESSAGE sip:a@b SIP/2.0\nContent-Length: 0", b"<a/>"), Quirk.CONTENT_LENGTH_WRONG),
        (message("MESSAGE sip:a@b SIP/2.0\nContent-Length: 900", b"<a/>"), Quirk.CONTENT_LENGTH_WRONG),
        (message("MESSAGE sip:a@b SIP/2.0\nSubject: one\n two\nContent-Length: 0"), Quirk.FOLDED_HEADER),
    ],
)
def test_what_devices_get_wrong_is_read_and_named(data: bytes, quirk: Quirk) -> None:
    assert quirk in parse(data).quirks


def test_every_leniency_has_its_reason() -> None:
    assert set(REASONS) == set(Quirk)


def test_a_datagram_says_itself_where_its_body_ends() -> None:
    assert parse(message("MESSAGE sip:a@b SIP/2.0\nContent-Length: 0", b"<a/>")).body == b"<a/>"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"REGISTER sip:a@b SIP/3.0\r\n\r\n",
        b"register sip:a@b SIP/2.0\r\n\r\n",
        b"REGISTER sip:a @b SIP/2.0\r\n\r\n",
        b"SIP/2.0 OK\r\n\r\n",
        b"SIP/2.0 999 Never\r\n\r\n",
        b"OPTIONS sip:a@b SIP/2.0\r\nno colon\r\n\r\n",
        b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: many\r\n\r\n",
        b"OPTIONS sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h",
        b"OPTIONS sip:a@b SIP/2.0\r\nSubject: a\rContact: b\r\n\r\n",
    ],
)
def test_what_is_no_sip_is_refused(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        parse(data)


@pytest.mark.parametrize(
    "data",
    [
        message("OPTIONS sip:a@b SIP/2.0\nX: " + "x" * MAX_HEAD),
        message("OPTIONS sip:a@b SIP/2.0" + "\nX: y" * 101),
        message("MESSAGE sip:a@b SIP/2.0", b"x" * (MAX_BODY + 1)),
    ],
)
def test_what_is_too_long_is_refused(data: bytes) -> None:
    with pytest.raises(MessageTooLarge):
        parse(data)


def test_no_header_of_ours_can_hold_a_line_break() -> None:
    with pytest.raises(ValueError, match="line break"):
        render(request("OPTIONS", "sip:a@b", (("X", "y\r\nEvil: 1"),)))


# RFC 4475: messages that torture, written from their descriptions. Those of 3.1.1 are to be read, those of 3.1.2 not.


def test_rfc4475_3_1_1_1_a_short_tortuous_invite() -> None:
    found = parse(
        message(
            "INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0\n"
            "TO :\n sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n\n"
            'from   : "J Rosenberg \\\\\\""       <sip:jdrosen@example.com>\n  ;\n  tag = 98asjd8\n'
            "MaX-fOrWaRdS: 0068\nCall-ID: wsinv.ndaksdj@192.0.2.1\nContent-Length   : 150\n"
            "cseq: 0009\n  INVITE\nVia  : SIP  /   2.0\n /UDP\n    192.0.2.2;branch=390skdjuw\n"
            "s :\nNewFangledHeader:   newfangled value\n continued newfangled value\n"
            "v:  SIP  / 2.0  / TCP     spindle.example.com   ;\n  branch  =   z9hG4bK9ikj8\n"
            'm:"Quoted string \\"\\"" <sip:jdrosen@example.com> ; newparam =\n   newvalue ;\n  secondparam ; q = 0.33',
            b"v=0",
        )
    )
    assert isinstance(found, Request)
    assert found.cseq == (9, "INVITE")
    assert len(found.all("via")) == 2


def test_rfc4475_3_1_1_2_wide_range_of_characters() -> None:
    found = parse(
        message("OPTIONS sip:1_unusual.URI~(to-be!sure)@example.com SIP/2.0\nextensionHeader-!.%*+_`'~: x")
    )
    assert found.get("extensionheader-!.%*+_`'~") == "x"


def test_rfc4475_3_1_1_13_a_response_without_a_reason() -> None:
    found = parse(message("SIP/2.0 100 \nContent-Length: 0"))
    assert isinstance(found, Response)
    assert (found.status, found.reason) == (100, "")


@pytest.mark.parametrize(
    "start",
    [
        "INVITE <sip:user@example.com> junk SIP/2.0",
        "INVITE sip:user@example.com; lr SIP/2.0",
        "INVITE  sip:user@example.com  SIP/2.0 ",
    ],
)
def test_rfc4475_3_1_2_request_lines_with_stray_blanks_are_refused(start: str) -> None:
    with pytest.raises(RemoteProtocolError):
        parse(message(f"{start}\nContent-Length: 0"))


def test_rfc4475_3_1_2_3_a_negative_content_length_is_refused() -> None:
    with pytest.raises(RemoteProtocolError):
        parse(message("INVITE sip:user@example.com SIP/2.0\nContent-Length: -999"))


def test_rfc4475_3_1_2_4_a_cseq_beyond_any_number_is_none() -> None:
    assert parse(message("INVITE sip:u@h SIP/2.0\nCSeq: 36893488147419103232 REGISTER")).cseq == (-1, "")


# TCP


BODY = b"<?xml version='1.0'?><Notify/>"
FRAMED = message(f"MESSAGE sip:a@b SIP/2.0\nCall-ID: 1\nContent-Length: {len(BODY)}", BODY)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_messages_on_tcp_are_the_same_wherever_they_are_cut(cuts: list[int]) -> None:
    framer, found, data, at, turn = Framer(), [], (FRAMED + b"\r\n\r\n" + REGISTER) * 3, 0, 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        found += framer.receive(data[at : at + size])
        at, turn = at + size, turn + 1
    assert [each.method for each in found if isinstance(each, Request)] == ["MESSAGE", "REGISTER"] * 3
    assert [each.body for each in found] == [BODY, b""] * 3


def test_a_content_length_of_zero_on_tcp_costs_its_body_and_nothing_else() -> None:
    lying = message("MESSAGE sip:a@b SIP/2.0\nContent-Length: 0", BODY)
    found = Framer().receive(lying + REGISTER)
    assert [each.method for each in found if isinstance(each, Request)] == ["MESSAGE", "REGISTER"]
    assert Quirk.JUNK_BETWEEN_MESSAGES in found[1].quirks


def test_what_never_becomes_sip_on_tcp_ends_the_connection() -> None:
    framer = Framer("192.0.2.9:1")
    with pytest.raises(RemoteProtocolError):
        framer.receive(b"\x16\x03\x01 not sip at all \n" * 2_000)


def test_a_head_without_end_on_tcp_ends_the_connection() -> None:
    framer = Framer()
    with pytest.raises(MessageTooLarge):
        framer.receive(b"OPTIONS sip:a@b SIP/2.0\r\n" + b"X: y\r\n" * 4_000)


@given(st.binary(max_size=300))
def test_nothing_that_comes_breaks_the_reader(data: bytes) -> None:
    for read in (parse, Framer().receive):
        with suppress(RemoteProtocolError):
            read(data)
