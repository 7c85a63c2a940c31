"""Players by hand: requests as they send them, and digests computed apart from the code under test."""

import hashlib
import re
from collections.abc import Mapping
from typing import Final

from adapters.rtsp.message import Demultiplexer, MessageParser, Response

URL: Final = "rtsp://127.0.0.1:8554/gb/32029900001320000001"
PATH: Final = "/gb/32029900001320000001"
PEER: Final = "192.0.2.9:50000"
USER: Final = "viewer"
PASSWORD: Final = "correct horse"


def request(method: str, uri: str = URL, cseq: int = 1, **headers: str) -> bytes:
    """Return a request; underscores in header names stand for dashes."""
    fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"{method} {uri} RTSP/1.0\r\nCSeq: {cseq}\r\n{fields}\r\n".encode("latin-1")


def responses(data: bytes) -> list[Response]:
    found = Demultiplexer(MessageParser()).feed(data)
    answers = [item for item in found if isinstance(item, Response)]
    assert len(answers) == len(found)
    return answers


def challenge(response: Response, algorithm: str = "MD5") -> Mapping[str, str]:
    """Return the parameters of the challenge with this algorithm."""
    assert response.status == 401
    (value,) = [v for v in response.headers.get_all("WWW-Authenticate") if f"algorithm={algorithm}," in v]
    assert value.startswith('Digest realm="')
    return {
        name: quoted or plain for name, quoted, plain in re.findall(r'(\w+)=(?:"([^"]*)"|([\w-]+))', value)
    }


def answer(
    asked: Mapping[str, str],
    method: str,
    uri: str = URL,
    *,
    username: str = USER,
    password: str = PASSWORD,
    count: int | None = 1,
) -> str:
    """Return an Authorization as FFmpeg computes it, or with `count` None as live555 and GStreamer do."""
    hash_name = "sha256" if asked["algorithm"] == "SHA-256" else "md5"

    def hashed(text: str) -> str:
        return hashlib.new(hash_name, text.encode("latin-1")).hexdigest()

    ha1 = hashed(f"{username}:{asked['realm']}:{password}")
    ha2 = hashed(f"{method}:{uri}")
    head = f'Digest username="{username}", realm="{asked["realm"]}", nonce="{asked["nonce"]}", uri="{uri}"'
    if count is None:
        response = hashed(f"{ha1}:{asked['nonce']}:{ha2}")
        return f'{head}, response="{response}"'
    middle = f"{asked['nonce']}:{count:08x}:c0ffee:auth"
    return (
        f'{head}, response="{hashed(f"{ha1}:{middle}:{ha2}")}", algorithm={asked["algorithm"]}'
        f', qop=auth, nc={count:08x}, cnonce="c0ffee"'
    )
