"""The one way from a stored credential to one that can be sent."""

from typing import Final

from adapters.base import Credential
from catalog.credentials import Vault
from catalog.model.plan import StoredCredential

_COLUMN: Final = ("credential", "password_encrypted")


def unlock(vault: Vault, stored: StoredCredential | None) -> Credential | None:
    """Return the credential for the one device or server that it belongs to; None where nobody typed one.

    Raises:
        CredentialUnreadable: it cannot be unlocked with the present key.
    """
    if stored is None or stored.username is None or stored.password_encrypted is None:
        return None
    password = vault.decrypt(*_COLUMN, stored.credential_id, stored.password_encrypted)
    return Credential(stored.username, password)
