"""The vault gives a password back only with its own key, in its own place, unchanged."""

import base64
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.credentials import Vault
from catalog.errors import CredentialUnreadable, KeyUnusable
from catalog.model.secret import Secret

KEY = bytes(range(32))
PASSWORD = "correct-horse-Kamera-密码"


def sealed(vault: Vault) -> str:
    return vault.encrypt("credential", "password_encrypted", 7, Secret(PASSWORD))


@given(st.text(max_size=200), st.integers(min_value=0))
def test_what_is_encrypted_comes_back(text: str, row_id: int) -> None:
    vault = Vault(KEY)
    stored = vault.encrypt("credential", "password_encrypted", row_id, Secret(text))
    assert vault.decrypt("credential", "password_encrypted", row_id, stored) == Secret(text)


def test_the_stored_text_names_scheme_and_key_and_hides_the_password() -> None:
    vault = Vault(KEY)
    stored = sealed(vault)
    assert stored.startswith(f"enc:v1:{vault.key_id}:")
    assert PASSWORD.encode() not in base64.b64decode(stored.rpartition(":")[2])
    assert stored != sealed(vault)


@pytest.mark.parametrize(
    ("table", "column", "row_id"),
    [("credential", "password_encrypted", 8), ("credential", "other", 7), ("sink", "password_encrypted", 7)],
)
def test_a_password_moved_to_another_place_is_an_error(table: str, column: str, row_id: int) -> None:
    vault = Vault(KEY)
    with pytest.raises(CredentialUnreadable, match="moved"):
        vault.decrypt(table, column, row_id, sealed(vault))


def test_another_key_is_an_error_that_names_both_keys() -> None:
    ours, theirs = Vault(KEY), Vault(bytes(32))
    with pytest.raises(CredentialUnreadable, match=f"{ours.key_id}.*{theirs.key_id}"):
        theirs.decrypt("credential", "password_encrypted", 7, sealed(ours))


def test_another_key_under_the_same_name_is_an_error() -> None:
    ours, theirs = Vault(KEY), Vault(bytes(32))
    forged = sealed(ours).replace(ours.key_id, theirs.key_id)
    with pytest.raises(CredentialUnreadable):
        theirs.decrypt("credential", "password_encrypted", 7, forged)


@given(st.data())
def test_one_changed_byte_is_an_error(data: st.DataObject) -> None:
    vault = Vault(KEY)
    head, _, payload = sealed(vault).rpartition(":")
    raw = bytearray(base64.b64decode(payload))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(CredentialUnreadable):
        vault.decrypt(
            "credential", "password_encrypted", 7, f"{head}:{base64.b64encode(bytes(raw)).decode()}"
        )


@given(st.text(max_size=80) | st.text(max_size=60).map(lambda text: f"enc:v1:{Vault(KEY).key_id}:{text}"))
def test_anything_else_in_the_column_is_an_error_and_never_a_password(stored: str) -> None:
    with pytest.raises(CredentialUnreadable):
        Vault(KEY).decrypt("credential", "password_encrypted", 7, stored)


def test_no_error_and_no_repr_shows_key_or_password() -> None:
    vault = Vault(KEY)
    with pytest.raises(CredentialUnreadable) as caught:
        vault.decrypt("credential", "password_encrypted", 7, PASSWORD)
    assert PASSWORD not in str(caught.value)
    assert repr(vault) == f"Vault({vault.key_id})"
    assert KEY.hex() not in repr(vault)


def test_a_missing_key_file_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "credential.key"
    first = Vault.open(path, create=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_bytes()) == 32
    assert Vault.open(path, create=True).key_id == first.key_id
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_key_file_is_an_error_when_none_may_be_made(tmp_path: Path) -> None:
    with pytest.raises(KeyUnusable, match="No such file"):
        Vault.open(tmp_path / "credential.key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_file_open_to_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "credential.key"
    path.write_bytes(KEY)
    path.chmod(mode)
    with pytest.raises(KeyUnusable, match="chmod 600"):
        Vault.open(path)


@pytest.mark.parametrize("size", [0, 16, 31, 33, 5000])
def test_a_key_of_another_size_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "credential.key"
    path.write_bytes(os.urandom(size))
    path.chmod(0o600)
    with pytest.raises(KeyUnusable, match="32 are needed"):
        Vault.open(path)


def test_the_key_may_come_as_base64() -> None:
    assert Vault.from_text(Secret(base64.b64encode(KEY).decode())).key_id == Vault(KEY).key_id


@pytest.mark.parametrize("text", ["", "not base64!", "AAAA", "密"])
def test_a_key_that_is_no_base64_of_32_bytes_is_refused(text: str) -> None:
    with pytest.raises(KeyUnusable):
        Vault.from_text(Secret(text))
