"""Signatures of WS-Security UsernameToken, and how refusals and clocks are read."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from lxml import etree

from adapters.base import Credential
from adapters.onvif.security import WSSE, WSU, blames_clock, is_refusal, offset_of_date, username_token
from catalog.model.secret import Secret

NOW = datetime(2010, 9, 16, 7, 50, 45, tzinfo=UTC)


def test_the_example_of_the_programmers_guide() -> None:
    """ONVIF Application Programmer's Guide 1.0, 6.1.1.3: its nonce, date and password give its digest."""
    token = username_token(
        Credential("user", Secret("userpassword")),
        created=NOW,
        nonce=base64.b64decode("LKqI6G/AikKCQrN0zqZFlg=="),
    )
    assert token.findtext(f".//{{{WSSE}}}Password") == "tuOSpGlFlIXsozq4HFNeeGeFLEI="
    assert token.findtext(f".//{{{WSU}}}Created") == "2010-09-16T07:50:45Z"
    assert "userpassword" not in etree.tostring(token, encoding="unicode")


@pytest.mark.parametrize(
    ("status", "code", "reason", "refused"),
    [
        (401, "", "", True),
        (400, "NotAuthorized", "", True),
        (500, "Receiver", "Sender not authorized", True),
        (400, "MessageExpired", "", True),
        (400, "InvalidArgVal", "no such profile", False),
        (500, "ActionNotSupported", "", False),
    ],
)
def test_a_refusal_is_known_in_each_form(status: int, code: str, reason: str, refused: bool) -> None:
    assert is_refusal(status, code, reason) is refused


def test_a_refusal_that_names_the_clock() -> None:
    assert blames_clock("MessageExpired", "")
    assert blames_clock("", "Timestamp out of range")
    assert not blames_clock("NotAuthorized", "Sender not authorized")


@pytest.mark.parametrize(
    ("header", "offset"),
    [
        ("Thu, 16 Sep 2010 09:50:45 GMT", timedelta(hours=2)),
        ("Thu, 16 Sep 2010 07:50:45 -0000", timedelta(0)),
        ("soon", None),
        ("", None),
        (None, None),
        ("Thu, 16 Sep 99999 09:50:45 GMT", None),
        ("1" * 100, None),
    ],
)
def test_the_clock_behind_a_date_header(header: str | None, offset: timedelta | None) -> None:
    assert offset_of_date(header, NOW) == offset
