"""The other end of an RTSP session, led by hand."""

from adapters.base import Credential, RtspTarget
from adapters.rtsp.message import Demultiplexer, Headers, MessageParser, Request, Response
from adapters.rtsp.session import PullSession, PushSession, Session, SessionOptions
from catalog.model.secret import Secret

TARGET = RtspTarget("192.0.2.7", 554, "/live?x=1")
CREDENTIAL = Credential("operator", Secret("canary-password"))
SDP = (
    b"v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=control:*\r\n"
    b"m=audio 0 RTP/AVP 8\r\na=control:trackID=2\r\n"
    b"m=video 0 RTP/AVP 96\r\na=rtpmap:96 H265/90000\r\na=control:trackID=1\r\n"
)
DIGEST = ("WWW-Authenticate", 'Digest realm="r", nonce="n1", qop="auth", algorithm=SHA-256')
STALE = ("WWW-Authenticate", 'Digest realm="r", nonce="n2", qop="auth", algorithm=SHA-256, stale=true')
SESSION = ("Session", "abc;timeout=60")
Fields = tuple[tuple[str, str], ...]


def fixed(size: int) -> bytes:
    return bytes(size)


class Peer:
    """The other end of a session, by hand."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.now = 0.0

    def request(self) -> Request:
        (found,) = Demultiplexer(MessageParser()).feed(self.session.bytes_to_send())
        assert isinstance(found, Request)
        return found

    def answer(self, status: int = 200, *fields: tuple[str, str], body: bytes = b"") -> Request:
        request = self.request()
        cseq = request.headers.get("CSeq") or ""
        self.session.receive(Response(status, "x", Headers([("CSeq", cseq), *fields]), body), self.now)
        return request

    def echo_transport(self, *fields: tuple[str, str]) -> Request:
        request = self.request()
        cseq, transport = request.headers.get("CSeq") or "", request.headers.get("Transport") or ""
        headers = Headers([("CSeq", cseq), ("Transport", transport), *fields])
        self.session.receive(Response(200, "OK", headers), self.now)
        return request


def pull(options: SessionOptions | None = None, credential: Credential | None = CREDENTIAL) -> Peer:
    return Peer(PullSession(TARGET, credential, options or SessionOptions(random_bytes=fixed), now=0.0))


def described(options: SessionOptions | None = None, public: str = "OPTIONS, GET_PARAMETER") -> Peer:
    peer = pull(options)
    peer.answer(200, ("Public", public))
    peer.answer(200, body=SDP)
    return peer


def playing(options: SessionOptions | None = None, *, session: str = "abc;timeout=60") -> Peer:
    peer = described(options)
    peer.echo_transport(("Session", session))
    peer.answer()
    peer.session.events()
    return peer


def pushing() -> Peer:
    session = PushSession(TARGET, CREDENTIAL, b"v=0\r\n", ("trackID=0",), SessionOptions(), now=0.0)
    return Peer(session)
