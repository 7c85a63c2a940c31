import pytest

from adapters.sip.values import NameAddress, Via, told_origin


@pytest.mark.parametrize(
    ("value", "user", "tag"),
    [
        ("<sip:34020000001320000001@3402000000>;tag=9a01", "34020000001320000001", "9a01"),
        (
            '"East gate" <sip:34020000001320000001@192.0.2.1:5060;transport=tcp> ; tag = "x"',
            "34020000001320000001",
            "x",
        ),
        ("sip:34020000001320000001@3402000000.spvmn.cn;tag=7", "34020000001320000001", "7"),
        ("SIP:34020000001320000001@h", "34020000001320000001", ""),
        ("<sip:broken@h", "", ""),
        ("tel:110", "", ""),
        ("", "", ""),
    ],
)
def test_who_an_address_names(value: str, user: str, tag: str) -> None:
    parsed = NameAddress.parse(value)
    assert (parsed.user, parsed.tag) == (user, tag)


def test_a_via_is_read_with_blanks_and_without_a_port() -> None:
    via = Via.parse("SIP / 2.0 / UDP first.example.com ;ttl=16; branch=z9hG4bKa7c6a8dlze.1")
    assert via is not None
    assert (via.transport, via.sent_by, via.branch) == (
        "UDP",
        "first.example.com:5060",
        "z9hG4bKa7c6a8dlze.1",
    )
    assert Via.parse("HTTP/1.1 h") is None


@pytest.mark.parametrize(
    ("via", "told"),
    [
        (
            "SIP/2.0/UDP 10.0.0.5:5060;rport;branch=z9hG4bK1",
            "SIP/2.0/UDP 10.0.0.5:5060;rport=40000;branch=z9hG4bK1;received=192.0.2.7",
        ),
        ("SIP/2.0/UDP 10.0.0.5;branch=z9hG4bK1", "SIP/2.0/UDP 10.0.0.5;branch=z9hG4bK1;received=192.0.2.7"),
        ("SIP/2.0/UDP 192.0.2.7:40000;branch=z9hG4bK1", "SIP/2.0/UDP 192.0.2.7:40000;branch=z9hG4bK1"),
        (
            "SIP/2.0/UDP 10.0.0.5;received=203.0.113.9;branch=z9hG4bK1;rport=1",
            "SIP/2.0/UDP 10.0.0.5;branch=z9hG4bK1;rport=40000;received=192.0.2.7",
        ),
    ],
)
def test_a_sender_behind_a_nat_is_told_where_it_came_from(via: str, told: str) -> None:
    assert told_origin(via, "192.0.2.7", 40_000) == told
