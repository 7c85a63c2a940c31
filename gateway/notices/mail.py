"""Sends a notice as mail through the mail server that a target names."""

import asyncio
import logging
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final
from urllib.parse import urlsplit

import aiosmtplib

from catalog.notice_targets import Target
from gateway.notices.errors import NoticeNotTaken
from gateway.notices.message import Notice, body_of, subject_of

logger = logging.getLogger(__name__)

TIMEOUT: Final = 20.0
"""Seconds for each step of one attempt."""

LONGEST: Final = 60.0
"""Seconds for all of it."""

_PORTS: Final = {"smtp": 25, "smtps": 465}


def mail_of(notice: Notice, target: Target) -> EmailMessage:
    """Return the mail of a notice.

    Its Message-ID follows from the notice, so that a mail program shows it once when it was sent twice.
    """
    mail = EmailMessage()
    mail["Subject"] = subject_of(notice, target.language)
    mail["From"] = Address(addr_spec=target.sender or "")
    mail["To"] = tuple(Address(addr_spec=recipient) for recipient in target.recipients)
    mail["Date"] = format_datetime(notice.made_at)
    domain = (target.sender or "").rpartition("@")[2] or "localhost"
    mail["Message-ID"] = f"<{notice.notice_id}@{domain}>"
    # RFC 3834: nobody's holiday answers to it.
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(body_of(notice, target.language))
    return mail


async def send(notice: Notice, target: Target, login: tuple[str, str] | None) -> None:
    """Send a notice as mail to all recipients of a target.

    A login is given inside TLS alone: without `smtps://` the server must offer STARTTLS then.

    Raises:
        NoticeNotTaken: the server was not reached, or refused the mail or all recipients; it says why.
    """
    parts = urlsplit(target.address)
    username, password = login or (None, None)
    is_tls = parts.scheme == "smtps"
    try:
        async with asyncio.timeout(LONGEST):
            refused, _ = await aiosmtplib.send(
                mail_of(notice, target),
                hostname=parts.hostname,
                port=parts.port or _PORTS[parts.scheme],
                use_tls=is_tls,
                start_tls=True if login is not None and not is_tls else None,
                username=username,
                password=password,
                timeout=TIMEOUT,
            )
    except aiosmtplib.SMTPResponseException as error:
        raise NoticeNotTaken(f"{target.address}: answered {error.code}") from None
    except (aiosmtplib.SMTPException, OSError) as error:
        raise NoticeNotTaken(f"{target.address}: {type(error).__name__}: {str(error)[:200]}") from None
    except ValueError as error:
        # Its text may quote what could not be written, and that may be the password.
        raise NoticeNotTaken(f"{target.address}: {type(error).__name__}") from None
    if refused:
        # The others have it: sending it again would only repeat it to them.
        logger.warning(
            "notice target %s: the mail server refused %s",
            target.name,
            ", ".join(sorted(refused)),
            extra={"action": "notice_recipient_refused"},
        )
