"""HTTP to ONVIF devices: one session for the process, every answer bounded in bytes and time.

Owns the connections. Follows no redirect, keeps no cookie, asks no proxy, and calls IP addresses alone, each only
after `may_reach` let it: what a device writes into its answers cannot lead us elsewhere.
"""

import asyncio
import contextlib
import errno
import functools
import ipaddress
import ssl
from collections.abc import Callable, Iterator
from typing import Final, Self
from urllib.parse import urlsplit

import aiohttp

from adapters.base import OnvifTarget
from adapters.errors import (
    AddressForbidden,
    LocalResourcesExhausted,
    MessageTooLarge,
    PeerClosed,
    PeerTimeout,
    PeerUnreachable,
    RemoteProtocolError,
    TlsPinMismatch,
    TlsUntrusted,
)
from adapters.onvif.http_message import Answer, Request

MAX_HEADER: Final = 8 * 1024
"""Bytes of one header line."""

_OUR_ERRORS: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})


class HttpTransport:
    """Sends requests to devices, so many at once at most.

    Args:
        concurrency: requests under way at once; more wait for their turn.
        timeout: seconds for one request, from its turn to the last byte of the answer.
    """

    def __init__(self, *, concurrency: int, timeout: float) -> None:
        self._timeout = timeout
        self._turns = asyncio.Semaphore(concurrency)
        self._concurrency = concurrency
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._concurrency, limit_per_host=4, keepalive_timeout=5.0),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            # Ours below counts from the turn; aiohttp's own would be another clock for the same thing.
            timeout=aiohttp.ClientTimeout(total=None),
            max_line_size=MAX_HEADER,
            max_field_size=MAX_HEADER,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def send(self, request: Request, target: OnvifTarget, may_reach: Callable[[str], bool]) -> Answer:
        """Send one request and return its whole answer.

        Raises:
            AddressForbidden: the address is no IP address, or `may_reach` says no.
            PeerUnreachable, PeerTimeout, PeerClosed, TlsPinMismatch, TlsUntrusted: what became of it.
            MessageTooLarge: the answer exceeds `request.limit`.
            RemoteProtocolError: the answer is no HTTP.
            LocalResourcesExhausted: it is us who cannot connect.
        """
        _require_reachable(request.url, target, may_reach)
        async with self._turns:
            with _translated(target.peer):
                async with asyncio.timeout(self._timeout):
                    return await self._exchange(request, target)

    async def _exchange(self, request: Request, target: OnvifTarget) -> Answer:
        if self._session is None:
            raise RuntimeError("the transport is not open")
        async with self._session.request(
            request.method,
            request.url,
            data=request.body or None,
            headers=request.headers,
            allow_redirects=False,
            ssl=_tls_of(target),
        ) as response:
            body = await _read(response, request.limit, target.peer)
            return Answer(
                status=response.status,
                body=body,
                challenges=tuple(response.headers.getall("WWW-Authenticate", [])),
                date=response.headers.get("Date"),
                location=response.headers.get("Location", "") if 300 <= response.status < 400 else "",
            )


async def _read(response: aiohttp.ClientResponse, limit: int, peer: str) -> bytes:
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > limit:
            # What is still under way is not read: the connection ends here.
            response.close()
            raise MessageTooLarge(
                f"an answer of more than {limit} bytes", peer=peer, received=b"".join(chunks[:1])
            )
        chunks.append(chunk)
    return b"".join(chunks)


def _require_reachable(url: str, target: OnvifTarget, may_reach: Callable[[str], bool]) -> None:
    host = urlsplit(url).hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError as error:
        raise AddressForbidden(
            "an ONVIF device is called by IP address, not by name", peer=target.peer
        ) from error
    if host != urlsplit(target.url).hostname:
        raise AddressForbidden(f"asked to call {host}, which is another host", peer=target.peer)
    if not may_reach(host):
        raise AddressForbidden("outside the authorised networks", peer=target.peer)


def _tls_of(target: OnvifTarget) -> ssl.SSLContext | aiohttp.Fingerprint | bool:
    if target.tls is None:
        return True
    if target.tls.pin_sha256 is not None:
        return aiohttp.Fingerprint(bytes.fromhex(target.tls.pin_sha256))
    return _trusting(target.tls.ca_file)


@functools.lru_cache(maxsize=8)
def _trusting(ca_file: str | None) -> ssl.SSLContext:
    """Return a context that checks chain and host; kept, for a new one each time would also end keep-alive."""
    return ssl.create_default_context(cafile=ca_file)


@contextlib.contextmanager
def _translated(peer: str) -> Iterator[None]:
    """Turn aiohttp's errors into the adapters' kinds."""
    try:
        yield
    except TimeoutError as error:
        raise PeerTimeout("no whole answer in time", peer=peer) from error
    except aiohttp.ServerFingerprintMismatch as error:
        raise TlsPinMismatch("the certificate is not the pinned one", peer=peer) from error
    except aiohttp.ClientConnectorCertificateError as error:
        raise TlsUntrusted("nothing vouches for the certificate", peer=peer) from error
    except aiohttp.ClientConnectorSSLError as error:
        raise RemoteProtocolError("no TLS there that we speak", peer=peer) from error
    except aiohttp.ClientConnectorError as error:
        if error.errno in _OUR_ERRORS:
            raise LocalResourcesExhausted(f"no connection: {error.strerror}", peer=peer) from error
        raise PeerUnreachable(f"no connection: {error.strerror}", peer=peer) from error
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError, ConnectionError) as error:
        raise PeerClosed("closed before the answer was whole", peer=peer) from error
    except (aiohttp.ClientError, ValueError) as error:
        # Their texts quote the peer's bytes at length; its kind says enough.
        raise RemoteProtocolError(f"no HTTP: {type(error).__name__}", peer=peer) from error
