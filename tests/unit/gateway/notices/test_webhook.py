"""What proves who sent a notice, read by the reference library."""

from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from catalog.model.secret import Secret
from gateway.notices.webhook import signed_headers

SECRET = "whsec_c2VjcmV0IG9mIHRoZSB0ZXN0LCAyNCBi"
BODY = '{"site":"示例公园"}'.encode()


def test_the_reference_library_believes_it() -> None:
    headers = signed_headers("gateway-1-1-7", datetime.now(UTC), BODY, Secret(SECRET))

    assert Webhook(SECRET).verify(BODY, dict(headers)) == {"site": "示例公园"}


@pytest.mark.parametrize(
    ("body", "moved", "notice_id"),
    [(BODY + b" ", 0, "a"), (BODY, 3600, "a"), (BODY, 0, "b")],
    ids=["another body", "an hour ago", "another id"],
)
def test_it_does_not_believe_anything_else(body: bytes, moved: int, notice_id: str) -> None:
    at = datetime.now(UTC) - timedelta(seconds=moved)
    headers = {**signed_headers("a", at, BODY, Secret(SECRET)), "webhook-id": notice_id}

    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body, headers)


@pytest.mark.parametrize("secret", ["any text", "whsec_no base64!"])
def test_any_text_may_be_the_secret(secret: str) -> None:
    headers = signed_headers("a", datetime.now(UTC), BODY, Secret(secret))

    assert Webhook(secret.encode()).verify(BODY, dict(headers)) == {"site": "示例公园"}
