"""Hands a notice to a target by the way it asked for, with its own credential."""

from datetime import datetime

from catalog.credentials import Vault
from catalog.notice_targets import Target, TargetKind
from gateway.notices import mail, webhook
from gateway.notices.errors import NoticeNotTaken
from gateway.notices.message import Notice, document_of
from gateway.unlocking import unlock


async def deliver(notice: Notice, target: Target, vault: Vault, *, at: datetime) -> None:
    """Send a notice.

    Raises:
        NoticeNotTaken: the target did not take it, or its credential has no password yet.
        CredentialUnreadable: its credential cannot be decrypted.
    """
    credential = unlock(vault, target.credential)
    if credential is None and target.credential is not None:
        raise NoticeNotTaken(
            f"credential {target.credential.ref!r} has no password yet: `muster credential set` stores it"
        )
    match target.kind:
        case TargetKind.WEBHOOK:
            if credential is None:
                raise NoticeNotTaken("a webhook needs a credential to sign with")
            await webhook.post(
                target.address, notice.notice_id, document_of(notice), at=at, secret=credential.password
            )
        case TargetKind.MAIL:
            login = None if credential is None else (credential.username, credential.password.reveal())
            await mail.send(notice, target, login)
