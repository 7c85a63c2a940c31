"""HTTP between us and a device, as values: one request, one whole answer."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Answer:
    """One whole HTTP answer."""

    status: int
    body: bytes
    challenges: tuple[str, ...]
    "The WWW-Authenticate headers."
    date: str | None
    "The Date header."
    location: str
    'Where a redirect points; "" for any other answer.'


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request to one device."""

    method: str
    url: str
    "On the host of the target."
    headers: Mapping[str, str]
    body: bytes = b""
    limit: int = 512 * 1024
    "Bytes of the answer's body that are taken."
