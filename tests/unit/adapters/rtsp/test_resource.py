import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.errors import RemoteProtocolError
from adapters.rtsp.resource import Resource, without_user


@pytest.mark.parametrize(
    ("uri", "path", "control"),
    [
        ("rtsp://h/a", "/a", None),
        ("rtsp://h:554/a/", "/a", None),
        ("RTSPS://u:p@h:1/a//", "/a", None),
        ("rtsp://[::1]:554/a/trackID=1", "/a", "trackID=1"),
        ("rtsp://h/a/trackID=1/", "/a", "trackID=1"),
        ("rtsp://h/a//trackID=1", "/a", "trackID=1"),
        ("rtsp://h/a?x=1", "/a?x=1", None),
        ("rtsp://h/a/?x=1/", "/a?x=1", None),
        ("rtsp://h/a?x=1/trackID=1", "/a?x=1", "trackID=1"),
        ("rtsp://h/a/trackID=1?x=1", "/a?x=1", "trackID=1"),
        ("rtsp://h/a/xtrackID=1", "/a/xtrackID=1", None),
        ("rtsp://h/a/trackID=1/b", "/a/trackID=1/b", None),
        ("rtsp://h/a/trackID=1000", "/a/trackID=1000", None),
        ("rtsp://h", "/", None),
        ("rtsp://h/", "/", None),
        ("rtsp://h/trackID=0", "/", "trackID=0"),
        ("rtsp://h?x=1", "/?x=1", None),
        ("/a/", "/a", None),
        ("*", "*", None),
    ],
)
def test_a_uri_names_a_stream_and_perhaps_a_track(uri: str, path: str, control: str | None) -> None:
    assert Resource.parse(uri) == Resource(path, control)


@pytest.mark.parametrize("uri", ["", "a", "http://h/a", "rtsp:/a", "?a", "**"])
def test_anything_else_is_a_protocol_error(uri: str) -> None:
    with pytest.raises(RemoteProtocolError):
        Resource.parse(uri)


@given(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=60), st.booleans())
def test_any_uri_reads_or_raises_a_documented_error(text: str, is_absolute: bool) -> None:
    try:
        found = Resource.parse(f"rtsp://h/{text}" if is_absolute else text)
    except RemoteProtocolError:
        return
    assert found.path == "*" or found.path.startswith("/")
    assert len(found.path) + len(found.control or "") <= len(text) + 2


@pytest.mark.parametrize(
    ("uri", "clean"),
    [
        ("rtsp://u:p@h:1/a@b", "rtsp://h:1/a@b"),
        ("rtsp://u:p@q@h/a", "rtsp://h/a"),
        ("rtsp://h/a", "rtsp://h/a"),
        ("*", "*"),
    ],
)
def test_user_and_password_are_taken_out(uri: str, clean: str) -> None:
    assert without_user(uri) == clean
