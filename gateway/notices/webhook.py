"""Sends a notice to a webhook, signed as Standard Webhooks says: HMAC-SHA256 over id, time and body."""

import base64
import binascii
import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Final

import aiohttp

from catalog.model.secret import Secret
from gateway.notices.errors import NoticeNotTaken

TIMEOUT: Final = 10.0
"""Seconds for all of one attempt."""

_PREFIX: Final = "whsec_"


def signed_headers(notice_id: str, at: datetime, body: bytes, secret: Secret) -> Mapping[str, str]:
    """Return the headers that prove who sent a body, and when.

    Args:
        notice_id: the same when the body is sent again.
        at: of this attempt.
        body: as it is sent.
        secret: `whsec_` and base64, or any text, whose UTF-8 is the key.
    """
    stamp = str(int(at.timestamp()))
    signed = b".".join((notice_id.encode(), stamp.encode(), body))
    digest = hmac.new(_key(secret), signed, hashlib.sha256).digest()
    return {
        "Content-Type": "application/json",
        "webhook-id": notice_id,
        "webhook-timestamp": stamp,
        "webhook-signature": f"v1,{base64.b64encode(digest).decode('ascii')}",
    }


def _key(secret: Secret) -> bytes:
    text = secret.reveal()
    if text.startswith(_PREFIX):
        try:
            return base64.b64decode(text.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            # Not base64 after all: a text like any other.
            return text.encode()
    return text.encode()


async def post(
    url: str, notice_id: str, document: Mapping[str, object], *, at: datetime, secret: Secret
) -> None:
    """Post a notice; no redirect is followed and nothing of the answer but its status is looked at.

    Raises:
        NoticeNotTaken: no answer in time, or one other than 2xx; it says which.
    """
    body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    headers = signed_headers(notice_id, at, body, secret)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, cookie_jar=aiohttp.DummyCookieJar()) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            status = response.status
    except TimeoutError:
        raise NoticeNotTaken(f"{url}: no answer within {TIMEOUT:g} s") from None
    except aiohttp.ClientError as error:
        raise NoticeNotTaken(f"{url}: {error}") from None
    if not 200 <= status < 300:
        raise NoticeNotTaken(f"{url}: answered {status}")
