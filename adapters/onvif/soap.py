"""Calls one operation of one ONVIF service: message, signature, answer, fault (no state but the login's).

zeep writes the message and reads the answer; between the two everything is ours, so that zeep's transports, which
have no bound on size and tell no failure from another, are not used.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import zeep.exceptions
from lxml import etree

from adapters.base import OnvifTarget
from adapters.errors import (
    AddressForbidden,
    CredentialMissing,
    NotOnvif,
    RemoteProtocolError,
    RequestRefused,
    SoapFault,
)
from adapters.onvif.documents import Documents
from adapters.onvif.envelope import MAX_ANSWER, Envelope, Fault, fault_of, read_envelope
from adapters.onvif.http_message import Answer, Request
from adapters.onvif.login import Login
from adapters.onvif.security import is_refusal
from adapters.onvif.transport import HttpTransport

READ_APART: Final = 32 * 1024
"""Bytes of an answer from which it is read in a thread: zeep takes some 0.1 ms for each KB."""

_ENVELOPE: Final = "http://www.w3.org/2003/05/soap-envelope"

_UNREADABLE: Final = (
    zeep.exceptions.Error,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)
"""What zeep raises on an answer of the wrong shape; it has no error of its own for most of them."""


class WallClock(Protocol):
    """What the client asks of a clock."""

    def monotonic(self) -> float:
        """Return seconds since an arbitrary point."""
        ...

    def now(self) -> datetime:
        """Return the wall time, timezone-aware UTC."""
        ...


@dataclass(frozen=True, slots=True)
class Reply:
    """What an operation returned."""

    value: Any
    "zeep's object, or None for an empty answer."
    undeclared: tuple[str, ...]
    "Prefixes that the device used undeclared."


@dataclass(frozen=True)
class Caller:
    """Calls operations of one device."""

    target: OnvifTarget
    login: Login
    documents: Documents
    transport: HttpTransport
    clock: WallClock
    may_reach: Callable[[str], bool]

    async def call(
        self,
        service: str,
        name: str,
        arguments: Mapping[str, object] = MappingProxyType({}),
        *,
        url: str = "",
        signed: bool = True,
    ) -> Reply:
        """Call operation `name` of `service` and return its reply.

        Args:
            service: the service's namespace.
            name: the operation.
            arguments: the operation's parameters, as zeep takes them.
            url: the service's address; "" for the device service.
            signed: whether the credential signs it.

        Raises:
            AdapterError: one of the kinds that `HttpTransport.send` and `Login.after_refusal` document, or
                NotOnvif, SoapFault, RequestRefused, RemoteProtocolError.
        """
        operation = self.documents.operation(service, name)
        message = operation.create(**arguments)
        tries = 0
        while True:
            answer = await self._post(url or self.target.url, message, signed=signed)
            now = self.clock.now()
            envelope, fault = self._read(answer)
            if not is_refusal(answer.status, *((fault.code, fault.reason) if fault else ("", ""))):
                break
            if not signed:
                self.login.learn_clock(answer, now)
                raise CredentialMissing(f"{name}: asks for a credential", peer=self.target.peer)
            self.login.after_refusal(answer, fault, now, tries)
            tries += 1
        self.login.learn_clock(answer, now)
        if fault is not None:
            raise SoapFault(
                f"{name}: {fault.code} {fault.reason}".rstrip(),
                peer=self.target.peer,
                status=answer.status,
                code=fault.code,
            )
        if envelope is None or answer.status != 200:
            raise RequestRefused(f"{name}: HTTP {answer.status}", peer=self.target.peer, status=answer.status)
        return Reply(await self._decode(operation, name, envelope, len(answer.body)), envelope.undeclared)

    async def _post(self, url: str, message: Any, *, signed: bool) -> Answer:
        token = self.login.token(self.clock.now()) if signed else None
        content = message.content
        header = content.find(f"{{{_ENVELOPE}}}Header")
        if header is not None:
            content.remove(header)
        if token is not None:
            header = etree.Element(f"{{{_ENVELOPE}}}Header")
            header.append(token)
            content.insert(0, header)
        action = message.headers.get("SOAPAction", "").strip('"')
        headers = {"Content-Type": f'application/soap+xml; charset=utf-8; action="{action}"'}
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if signed and (authorization := self.login.authorization("POST", path)) is not None:
            headers["Authorization"] = authorization
        body = etree.tostring(content, xml_declaration=True, encoding="utf-8")
        request = Request("POST", url, headers, body, MAX_ANSWER)
        return await self.transport.send(request, self.target, self.may_reach)

    def _read(self, answer: Answer) -> tuple[Envelope | None, Fault | None]:
        """Return the envelope and the fault of an answer.

        Raises:
            AddressForbidden, NotOnvif, RemoteProtocolError: what the answer is instead.
        """
        peer = self.target.peer
        if answer.location:
            host = urlsplit(answer.location).hostname
            if host is not None and host != self.target.host:
                raise AddressForbidden("redirects to another host, which is not followed", peer=peer)
            raise RequestRefused(
                "redirects: enter the address that it redirects to", peer=peer, status=answer.status
            )
        try:
            envelope = read_envelope(answer.body, peer=peer)
        except (NotOnvif, RemoteProtocolError):
            if answer.status in (401, 403):
                return None, None  # the door before the service (a web server's own page)
            if answer.status in (404, 405, 501):
                raise NotOnvif(f"HTTP {answer.status} at {self.target.path}", peer=peer) from None
            raise
        return envelope, fault_of(envelope)

    async def _decode(self, operation: Any, name: str, envelope: Envelope, size: int) -> Any:
        try:
            if size < READ_APART:
                return operation.process_reply(envelope.root)
            return await asyncio.to_thread(operation.process_reply, envelope.root)
        except _UNREADABLE as error:
            raise RemoteProtocolError(
                f"{name}: an answer that does not fit its description ({type(error).__name__})",
                peer=self.target.peer,
                received=etree.tostring(envelope.root),
            ) from error
