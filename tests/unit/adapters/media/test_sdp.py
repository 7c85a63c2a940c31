import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.media.sdp import (
    MAX_DESCRIPTION,
    Format,
    Media,
    SessionDescription,
    render_announce,
    render_describe,
    track_control,
)

HEAD = b"v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n"
FORMATS = st.builds(
    Format,
    st.integers(96, 127),
    st.sampled_from(["H264", "H265", "PCMA", "MPEG4-GENERIC"]),
    st.integers(1, 192000),
    st.one_of(st.none(), st.integers(1, 8)),
    st.one_of(st.none(), st.text("abcXYZ019=;,-", min_size=1, max_size=30)),
)
MEDIA = st.builds(
    lambda kind, chosen: Media(kind, "RTP/AVP", (chosen,), ()), st.sampled_from(["video", "audio"]), FORMATS
)


@given(st.lists(MEDIA, max_size=4))
def test_what_is_announced_reads_the_same(media: list[Media]) -> None:
    parsed = SessionDescription.parse(render_announce("s-1", media))
    assert [(m.kind, m.formats) for m in parsed.media] == [(m.kind, m.formats) for m in media]
    assert [m.control for m in parsed.media] == [f"trackID={i}" for i in range(len(media))]
    again = render_announce("s-1", parsed.media)
    assert again == render_announce("s-1", media)


@given(st.one_of(st.binary(max_size=300), st.text("vmoa=:0123456789 /RTPAVidecontrlpf\r\n", max_size=300)))
def test_any_bytes_parse_or_raise_value_error(data: bytes | str) -> None:
    wire = data if isinstance(data, bytes) else data.encode()
    try:
        SessionDescription.parse(wire)
    except ValueError:
        return


@pytest.mark.parametrize(
    "body",
    [
        b"m=video\r\n",
        b"m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/0\r\n",
        b"m=video 123456 RTP/AVP 96\r\n",
        b"m=video x RTP/AVP 96\r\n",
        b"no equals sign\r\n",
        b"vv=0\r\n",
        b"m=video 0 RTP/AVP" + b" 96" * 65 + b"\r\n",
        b"m=video 0 RTP/AVP 96\r\n" * 33,
        b"a=x\r\n" * 1025,
        b"a=" + b"x" * MAX_DESCRIPTION,
    ],
)
def test_malformed_descriptions_are_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        SessionDescription.parse(HEAD + body)


@pytest.mark.parametrize(
    "body",
    [
        b"m=video 0 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
        b"a=rtpmap:1 x\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96  h264/90000 \r\n\x00",
        b"m=video 0/2 RTP/AVP 96 97\r\na=rtpmap:97 rtx/90000\r\na=rtpmap:96 H264/90000\r\n",
        b"m=application 0 RTP/AVP 107\r\n\r\nm=video 0 RTP/AVP 96 \r\na=rtpmap:96 H264/90000\r\n",
    ],
)
def test_untidy_descriptions_are_read(body: bytes) -> None:
    video = SessionDescription.parse(body).video
    assert video is not None
    assert video.formats[0] == Format(96, "H264", 90000)


def test_static_payload_types_need_no_rtpmap() -> None:
    parsed = SessionDescription.parse(HEAD + b"m=video 0 RTP/AVP 26\r\nm=audio 0 RTP/AVP 8\r\n")
    assert parsed.video is not None
    assert parsed.audio is not None
    assert parsed.video.formats == (Format(26, "JPEG", 90000),)
    assert parsed.audio.formats == (Format(8, "PCMA", 8000),)


def test_a_backchannel_is_no_audio_of_the_camera() -> None:
    parsed = SessionDescription.parse(HEAD + b"m=audio 0 RTP/AVP 8\r\na=sendonly\r\n")
    assert parsed.media[0].is_backchannel
    assert parsed.audio is None


def test_nothing_of_the_cameras_own_text_is_announced() -> None:
    wire = HEAD + b"i=front door\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=x-serial:SECRET1\r\n"
    announced = render_announce("code", SessionDescription.parse(wire).media)
    assert b"SECRET1" not in announced
    assert b"front door" not in announced


@pytest.mark.parametrize("name", ["", "a b", "a\r\nb", "x" * 65])
def test_a_session_name_never_breaks_the_description(name: str) -> None:
    with pytest.raises(ValueError, match="session name"):
        render_announce(name, [])


@given(st.lists(MEDIA, max_size=4))
def test_what_is_described_is_what_is_announced_and_live(media: list[Media]) -> None:
    described = SessionDescription.parse(render_describe("s-1", media))
    assert described.media == SessionDescription.parse(render_announce("s-1", media)).media
    assert described.attributes == (("control", "*"), ("range", "npt=now-"))
    assert [m.control for m in described.media] == [track_control(i) for i in range(len(media))]
