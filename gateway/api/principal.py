"""Who calls: an anonymous client, or a named person with a role and a region."""

from dataclasses import dataclass, field

from catalog.access import AccessToken, Role
from catalog.reading import Region


@dataclass(frozen=True)
class Principal:
    """The caller of one request."""

    client: str
    "Network address, for the log and the limits."
    role: Role = Role.PUBLIC
    region: Region = field(default_factory=Region)
    person: str | None = None
    token_id: int | None = None
    token_prefix: str | None = None
    purpose: str | None = None

    @classmethod
    def of(cls, token: AccessToken, *, client: str, purpose: str | None) -> "Principal":
        """Return the person a token belongs to."""
        return cls(
            client=client,
            role=token.role,
            region=token.region,
            person=token.person,
            token_id=token.token_id,
            token_prefix=token.prefix,
            purpose=purpose,
        )

    @property
    def name(self) -> str:
        """The person, for records of what was decided; operations that write have one."""
        return self.person or "anonymous"
