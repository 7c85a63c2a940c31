"""Tries a stored credential once on the devices that ask for it: an operator sees at once whether it is right."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from adapters.base import Credential as PeerCredential
from adapters.errors import AdapterError, AuthenticationFailed
from adapters.rtsp.client import probe
from catalog.credentials import Credential, Vault, credential
from catalog.database import Database
from catalog.errors import CredentialUnreadable
from catalog.model.network import AuthorisedNetworks
from catalog.model.plan import EndpointPlan, RelayMode, SourcePlan
from catalog.model.profile import Bilingual, LocationType, Permitted
from catalog.networks import load_authorised
from catalog.sources import clear_refusals, record_refusal, stream_plans
from gateway.enrolment.admission import Admission, admit
from gateway.enrolment.specs import target_of

MOST_DEVICES: Final = 50
"""Devices tried in one go; one password for more than these deserves a look at the roll first."""

TRIAL_TIMEOUT: Final = 10.0

_ANYWHERE: Final = Permitted(LocationType("anywhere", Bilingual("任意", "anywhere")))


async def try_credential(
    database: Database, vault: Vault, gateway_id: str, ref: str, *, at: datetime
) -> list[tuple[str, str]]:
    """Ask DESCRIBE with the credential `ref` on each confirmed device that asks for it.

    Only devices that enrolment would contact with it too: confirmed, inside a live authorisation, and not resting
    after two refusals. An outcome counts like one of a pull: a refusal is recorded, a success clears them.

    Returns:
        Address and outcome of each device: `accepted`, or one word of the cause.

    Raises:
        CredentialUnreadable: nobody typed the credential yet, or the key does not open it.
        DatabaseAway: no answer.
    """
    unlocked = await credential(database, vault, ref)
    if unlocked is None:
        raise CredentialUnreadable(f"credential {ref}: unknown, or its password was never set")
    networks = await load_authorised(database)
    outcomes: list[tuple[str, str]] = []
    async for plans in stream_plans(database, gateway_id):
        for plan in plans:
            for endpoint in _admitted(plan, ref, networks, at):
                if len(outcomes) < MOST_DEVICES:
                    outcomes.append((endpoint.peer, await _try(database, endpoint, unlocked, plan, at)))
    return outcomes


def _admitted(
    plan: SourcePlan, ref: str, networks: AuthorisedNetworks, at: datetime
) -> tuple[EndpointPlan, ...]:
    mine = tuple(e for e in plan.endpoints if e.credential is not None and e.credential.ref == ref)
    if not mine:
        return ()
    # The location decides about relaying, not about whether a password is right.
    question = replace(plan, endpoints=mine, relay_mode=RelayMode.ALWAYS)
    verdict = admit(question, _ANYWHERE, networks, at)
    return verdict.endpoints if isinstance(verdict, Admission) else ()


async def _try(
    database: Database, endpoint: EndpointPlan, unlocked: Credential, plan: SourcePlan, at: datetime
) -> str:
    try:
        await probe(
            target_of(endpoint),
            credential=PeerCredential(unlocked.username, unlocked.password),
            describe=True,
            allow_basic=plan.allow_basic,
            timeout=TRIAL_TIMEOUT,
        )
    except AuthenticationFailed as error:
        await record_refusal(database, endpoint.endpoint_id, unlocked.version, at=at)
        return error.cause
    except AdapterError as error:
        return error.cause
    await clear_refusals(database, endpoint.endpoint_id)
    return "accepted"
