"""A secret text that does not print itself."""

from typing import Final

MASK: Final = "***"


class Secret:
    """Hold a password or token so that no log line, error or `repr` can show it.

    Equality compares the hidden text; the hash does not reveal it beyond Python's own `hash(str)`.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """Return the hidden text; call this only where the peer needs it on the wire."""
        return self._text

    def __repr__(self) -> str:
        return f"Secret({MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._text == self._text

    def __hash__(self) -> int:
        return hash(("Secret", self._text))

    def __reduce__(self) -> str:
        raise TypeError("a Secret is never pickled: pass it over the worker's pipe on purpose")
