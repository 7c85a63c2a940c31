"""The door to RTSP peers on asyncio: connections, TLS, and the probe.

Foreign errors end here: whatever the socket or TLS raises leaves as a kind of `adapters.errors`.
"""

import asyncio
import errno
import functools
import hashlib
import hmac
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

from adapters.base import Credential, RtspTarget, TlsPolicy
from adapters.errors import (
    AdapterError,
    LocalProtocolError,
    LocalResourcesExhausted,
    PeerClosed,
    PeerTimeout,
    PeerUnreachable,
    RemoteProtocolError,
    TlsPinMismatch,
    TlsUntrusted,
)
from adapters.rtsp.exchange import SessionOptions
from adapters.rtsp.message import Demultiplexer, InterleavedFrame, MessageParser
from adapters.rtsp.probe import ProbeResult, ProbeSession

READ_SIZE: Final = 64 * 1024

EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL})
"""What the kernel says when it has nothing left for us: no word about the peer."""

_P = TypeVar("_P", bound=asyncio.BaseProtocol)


@contextmanager
def translated(peer: str) -> Iterator[None]:
    """Turn what a socket or TLS raises into an `AdapterError` of `peer`."""
    try:
        yield
    except TimeoutError as error:
        raise PeerTimeout("no answer in time", peer=peer) from error
    except ssl.SSLCertVerificationError as error:
        raise TlsUntrusted(f"certificate not trusted: {error.verify_message}", peer=peer) from error
    except ssl.SSLError as error:
        raise RemoteProtocolError(f"TLS failed: {error.reason or 'unknown reason'}", peer=peer) from error
    except (ConnectionResetError, ConnectionAbortedError, BrokenPipeError) as error:
        raise PeerClosed("the connection was closed by the peer", peer=peer) from error
    except UnicodeError as error:
        # A host name that IDNA cannot encode.
        raise PeerUnreachable("not a host name", peer=peer) from error
    except OSError as error:
        kind = LocalResourcesExhausted if error.errno in EXHAUSTED else PeerUnreachable
        raise kind(error.strerror or type(error).__name__, peer=peer) from error


@functools.lru_cache(maxsize=8)
def _checking_context(ca_file: str | None) -> ssl.SSLContext:
    """Return a context that checks chain and host; kept, for loading authorities takes milliseconds."""
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def tls_context(policy: TlsPolicy) -> ssl.SSLContext:
    """Return the TLS context of `policy`, TLS 1.2 at least; reads files, so call it in a thread.

    With a pin nothing is checked inside TLS: `open_transport` compares the certificate before the
    first byte is sent. Without one both the chain and the host name are checked.

    Raises:
        LocalProtocolError: the file of authorities cannot be read.
    """
    if policy.pin_sha256 is None:
        try:
            return _checking_context(policy.ca_file)
        except OSError as error:
            raise LocalProtocolError(f"cannot use the authorities in {policy.ca_file}") from error
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


async def open_transport(
    target: RtspTarget,
    timeout: float,  # noqa: ASYNC109 - one limit over three steps, and errors are translated outside it
    protocol_factory: Callable[[], _P],
) -> tuple[asyncio.Transport, _P]:
    """Connect to `target` and, for RTSPS, prove who it is.

    The protocol is made and its `connection_made` called only once the peer is proven.

    Args:
        target: where to.
        timeout: seconds for name, connection and TLS together.
        protocol_factory: makes the `Protocol` or `BufferedProtocol`.

    Raises:
        PeerUnreachable: no connection.
        PeerTimeout: not within `timeout`.
        PeerClosed: the peer closed during TLS.
        TlsPinMismatch: the certificate is not the pinned one.
        TlsUntrusted: chain or host name do not hold.
        RemoteProtocolError: TLS failed otherwise.
        LocalProtocolError: the file of authorities cannot be read.
    """
    loop = asyncio.get_running_loop()
    with translated(target.peer):
        async with asyncio.timeout(timeout):
            context = None if target.tls is None else await asyncio.to_thread(tls_context, target.tls)
            transport, _ = await loop.create_connection(
                asyncio.Protocol,
                target.host,
                target.port,
                ssl=context,
                server_hostname=target.host if context is not None else None,
            )
    try:
        if target.tls is not None and target.tls.pin_sha256 is not None:
            _check_pin(transport, target.tls.pin_sha256, target.peer)
        protocol = protocol_factory()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
    except BaseException:
        transport.abort()
        raise
    return transport, protocol


def _check_pin(transport: asyncio.Transport, pin: str, peer: str) -> None:
    tls = transport.get_extra_info("ssl_object")
    certificate = tls.getpeercert(binary_form=True) if tls is not None else None
    seen = hashlib.sha256(certificate or b"").hexdigest()
    if certificate is None or not hmac.compare_digest(seen, pin.lower().replace(":", "")):
        raise TlsPinMismatch(f"the certificate's SHA-256 is {seen}, which is not the pinned one", peer=peer)


async def open_connection(
    target: RtspTarget,
    timeout: float,  # noqa: ASYNC109 - as open_transport
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connect as `open_transport` and return asyncio streams.

    Raises:
        AdapterError: as `open_transport`.
    """
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=READ_SIZE, loop=loop)
    transport, protocol = await open_transport(
        target, timeout, lambda: asyncio.StreamReaderProtocol(reader, loop=loop)
    )
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


async def probe(
    target: RtspTarget,
    *,
    credential: Credential | None = None,
    describe: bool = False,
    allow_basic: bool = False,
    timeout: float = 10.0,  # noqa: ASYNC109 - as open_transport
) -> ProbeResult:
    """Ask `target` OPTIONS and, with `describe`, DESCRIBE on a connection of its own.

    Args:
        target: whom to ask.
        credential: used for DESCRIBE alone.
        describe: whether to ask DESCRIBE.
        allow_basic: whether Basic is answered outside TLS.
        timeout: seconds for everything together.

    Raises:
        AdapterError: any remote kind: no connection, no answer, no RTSP, credential refused.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout
    reader, writer = await open_connection(target, timeout)
    options = SessionOptions(allow_basic=allow_basic, answer_timeout=timeout)
    session = ProbeSession(target, credential, describe=describe, options=options, now=loop.time())
    parser = Demultiplexer(MessageParser(peer=target.peer))
    try:
        with translated(target.peer):
            async with asyncio.timeout_at(end):
                while session.result is None:
                    writer.write(session.bytes_to_send())
                    await writer.drain()
                    data = await reader.read(READ_SIZE)
                    if not data:
                        raise PeerClosed("closed before the answer was complete", peer=target.peer)
                    for message in parser.feed(data):
                        if not isinstance(message, InterleavedFrame):
                            session.receive(message, loop.time())
    finally:
        await close_writer(writer)
    return session.result


async def close_writer(writer: asyncio.StreamWriter) -> None:
    """Close without waiting for a peer that does not take leave."""
    writer.transport.abort()
    try:
        with translated(""):
            async with asyncio.timeout(1.0):
                await writer.wait_closed()
    except AdapterError:
        return
