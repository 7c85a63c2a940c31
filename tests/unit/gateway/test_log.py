"""One line an event, and no secret in any of them."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.model.secret import Secret
from gateway.log import configure_logging, redact

CANARY = "canary9f3b7c"
FORMS: list[Literal["json", "console"]] = ["json", "console"]
logger = logging.getLogger("tests.log")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Give the text written, and put pytest's own handlers back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    warnings.resetwarnings()
    warnings.simplefilter("error")


def test_a_record_is_one_json_line_with_its_stable_word(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)
    logger.info("source %s is %s", "S-1", "online", extra={"action": "source_online", "source": "S-1"})
    line = json.loads(stream.getvalue())
    assert line["event"] == "source S-1 is online"
    assert (line["action"], line["source"]) == ("source_online", "S-1")
    assert (line["level"], line["logger"]) == ("info", "tests.log")
    assert line["timestamp"].endswith("Z")


def test_the_level_is_kept(stream: io.StringIO) -> None:
    configure_logging("warning", "json", stream)
    logger.info("not shown")
    assert stream.getvalue() == ""


def test_configuring_twice_writes_once(stream: io.StringIO) -> None:
    configure_logging("info", "json", stream)
    configure_logging("info", "json", stream)
    logger.info("once")
    assert stream.getvalue().count("once") == 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "message",
    [
        f"rtsp://admin:{CANARY}@10.0.0.1:554/live",
        f"rtsp://admin:p@ss@{CANARY}@10.0.0.1/live",
        f"postgresql://muster:{CANARY}@db/muster",
        f"Authorization: Basic {CANARY}\r\nCSeq: 1",
        f'Authorization: Digest username="a", response="{CANARY}"',
        f"b'DESCRIBE rtsp://h/ RTSP/1.0\\r\\nAuthorization: Digest {CANARY}, r={CANARY}\\r\\nCSeq: 2'",
        f"Bearer {CANARY}",
        f"password={CANARY}",
        f"password = '{CANARY} two words'",
        f'{{"password": "{CANARY}"}}',
        f"db_password: {CANARY}",
        f"?token={CANARY}&x=1",
        f"Cookie: session={CANARY}",
    ],
)
def test_secrets_in_a_message_are_masked(
    stream: io.StringIO, form: Literal["json", "console"], message: str
) -> None:
    configure_logging("info", form, stream)
    logger.info("%s", message)
    assert CANARY not in stream.getvalue()
    assert "***" in stream.getvalue()


@pytest.mark.parametrize("form", FORMS)
def test_secrets_in_fields_are_masked(stream: io.StringIO, form: Literal["json", "console"]) -> None:
    configure_logging("info", form, stream)
    fields = {
        "password": CANARY,
        "nested": {"list": [{"api_token": CANARY}, f"rtsp://a:{CANARY}@h/"]},
        "bytes": b"Authorization: Basic " + CANARY.encode(),
        "hidden": Secret(CANARY),
    }
    logger.info("fields", extra=fields)
    assert CANARY not in stream.getvalue()


def fail_with_a_secret_in_a_local_variable() -> None:
    password = CANARY
    try:
        raise ConnectionError(f"rtsp://admin:{password}@10.0.0.1/ refused")
    except ConnectionError as error:
        raise RuntimeError("cannot go on") from error


@pytest.mark.parametrize("form", FORMS)
def test_secrets_in_tracebacks_and_their_causes_are_masked(
    stream: io.StringIO, form: Literal["json", "console"]
) -> None:
    configure_logging("info", form, stream)
    try:
        fail_with_a_secret_in_a_local_variable()
    except RuntimeError:
        logger.exception("failed", extra={"action": "failed"})
    assert "cannot go on" in stream.getvalue()
    assert "ConnectionError" in stream.getvalue()
    assert CANARY not in stream.getvalue()


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://10.0.0.1:554/Streaming/Channels/101?a=b@c",
        "source 34020000001320000001 is offline since 12:00",
        "unknown tokens in line 3",
        "mail to office@example.org",
    ],
)
def test_what_is_no_secret_stays_readable(text: str) -> None:
    assert redact(text) == text


def test_the_rest_of_a_message_survives_the_redaction() -> None:
    text = "DESCRIBE\r\nAuthorization: Digest x\r\nCSeq: 7\r\n"
    assert redact(text) == "DESCRIBE\r\nAuthorization: ***\r\nCSeq: 7\r\n"


@given(st.text(max_size=200))
def test_redaction_is_total_and_settles(text: str) -> None:
    assert redact(redact(text)) == redact(text)


@given(
    st.text(
        alphabet=st.characters(exclude_characters=" \t\r\n/?#\"'<>", exclude_categories=["Z", "C"]),
        min_size=1,
    )
)
def test_no_userinfo_survives(password: str) -> None:
    assert redact(f"rtsp://user:{password}@host/live") == "rtsp://***@host/live"


@pytest.mark.parametrize("form", FORMS)
def test_a_peers_text_neither_moves_the_cursor_nor_forges_a_line(
    form: Literal["json", "console"], stream: io.StringIO
) -> None:
    forged = "2026-01-01T00:00:00Z [error    ] forged"
    configure_logging("info", form, stream)
    logger.info("it said %s", f"\x1b[2J\x9b2J\r\u202e\n{forged}", extra={"said": f"x\n{forged}"})
    lines = stream.getvalue().rstrip("\n").split("\n")
    assert not any(line.startswith(forged) for line in lines)
    assert all(character.isprintable() for line in lines for character in line)
