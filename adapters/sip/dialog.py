"""A dialog that an INVITE or SUBSCRIBE of ours began (RFC 3261, 12), sans-IO."""

from dataclasses import dataclass

from adapters.sip.message import Headers, Request, Response, request
from adapters.sip.values import NameAddress


@dataclass
class Dialog:
    """What later requests in the dialog need: tags, target, route set and the next CSeq."""

    call_id: str
    local: str
    "Our From as sent, tag included."
    remote: str
    "The peer's To of its answer, tag included."
    target: str
    "URI of the peer's Contact, else what was called."
    routes: tuple[str, ...]
    "Route headers in order (12.1.2: Record-Route reversed)."
    sequence: int
    "CSeq number of the last request of ours."

    @classmethod
    def begun(cls, sent: Request, answer: Response) -> "Dialog":
        """Return the dialog that the 2xx `answer` to `sent` began."""
        contact = NameAddress.parse(answer.get("contact") or "").uri
        return cls(
            call_id=sent.call_id,
            local=sent.get("from") or "",
            remote=answer.get("to") or "",
            target=contact or sent.uri,
            routes=tuple(reversed(answer.all("record-route"))),
            sequence=sent.cseq[0],
        )

    def request(self, method: str, via: str, headers: Headers = (), body: bytes = b"") -> Request:
        """Return the next request in the dialog."""
        self.sequence += 1
        return self._request(method, self.sequence, via, headers, body)

    def ack(self, via: str) -> Request:
        """Return the ACK of the 2xx; each repetition of that is answered by another one."""
        return self._request("ACK", self.sequence, via, (), b"")

    def _request(self, method: str, number: int, via: str, headers: Headers, body: bytes) -> Request:
        return request(
            method,
            self.target,
            (
                ("Via", via),
                *(("Route", route) for route in self.routes),
                ("From", self.local),
                ("To", self.remote),
                ("Call-ID", self.call_id),
                ("CSeq", f"{number} {method}"),
                ("Max-Forwards", "70"),
                *headers,
            ),
            body,
        )
