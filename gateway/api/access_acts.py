"""Handlers of sinks and tokens."""

from typing import Final

from pydantic import BaseModel

from catalog import sinks
from catalog.access import AccessToken, Role
from gateway.api import bodies, verbs
from gateway.api.acting import REFUSALS, WHOLE, acting
from gateway.api.problem import Code
from gateway.api.reads import number_of
from gateway.api.registry import Call, NoQuery, Registry

registry: Final = Registry()

_OPERATOR: Final = Role.OPERATOR


@registry.operation(
    "GET",
    "/api/v1/sinks",
    tag="sinks",
    region_rule=WHOLE,
    answers={_OPERATOR: bodies.SinksAnswer},
    problems=(Code.REGION_FORBIDDEN,),
)
async def list_sinks(call: Call[NoQuery, None]) -> BaseModel:
    """List the central platforms that take our streams."""
    acting(call).require_whole()
    return bodies.SinksAnswer(
        items=tuple(sink_answer(sink) for sink in await sinks.list_sinks(call.services.database))
    )


def sink_answer(sink: sinks.Sink) -> bodies.SinkAnswer:
    """Return a sink; of its credential only the name."""
    return bodies.SinkAnswer(
        name=sink.name,
        host=sink.host,
        port=sink.port,
        path_prefix=sink.path_prefix,
        tls=sink.tls,
        pinned=sink.tls_pin_sha256 is not None,
        allow_basic=sink.allow_basic,
        enabled=sink.enabled,
        credential_ref=sink.credential.ref if sink.credential is not None else None,
    )


@registry.operation(
    "POST",
    "/api/v1/sinks",
    tag="sinks",
    region_rule=WHOLE,
    answers={_OPERATOR: bodies.DoneAnswer},
    body=bodies.SinkBody,
    status=201,
    problems=REFUSALS,
)
async def add_sink(call: Call[NoQuery, bodies.SinkBody]) -> BaseModel:
    """Add a central platform."""
    await verbs.add_sink(acting(call), call.body)
    return bodies.DoneAnswer()


@registry.operation(
    "PATCH",
    "/api/v1/sinks/{name}",
    tag="sinks",
    region_rule=WHOLE,
    answers={_OPERATOR: bodies.DoneAnswer},
    body=bodies.SinkEnabledBody,
    problems=REFUSALS,
)
async def enable_sink(call: Call[NoQuery, bodies.SinkEnabledBody]) -> BaseModel:
    """Use a central platform, or leave it unused."""
    acting(call).require_whole()
    await sinks.enable_sink(
        call.services.database, call.path["name"], enabled=call.body.enabled, person=call.principal.name
    )
    return bodies.DoneAnswer()


@registry.operation(
    "DELETE",
    "/api/v1/sinks/{name}",
    tag="sinks",
    region_rule=WHOLE,
    answers={_OPERATOR: bodies.DoneAnswer},
    problems=REFUSALS,
)
async def remove_sink(call: Call[NoQuery, None]) -> BaseModel:
    """Forget a central platform."""
    acting(call).require_whole()
    await sinks.remove_sink(call.services.database, call.path["name"], person=call.principal.name)
    return bodies.DoneAnswer()


def token_answer(token: AccessToken) -> bodies.TokenAnswer:
    """Return a token, without its secret."""
    return bodies.TokenAnswer(
        token_id=token.token_id,
        prefix=token.prefix,
        person=token.person,
        role=token.role,
        region=token.region.prefix,
        created_at=token.created_at,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
    )


@registry.operation(
    "GET",
    "/api/v1/tokens",
    tag="access",
    region_rule=WHOLE,
    answers={_OPERATOR: bodies.TokensAnswer},
    problems=(Code.REGION_FORBIDDEN,),
)
async def list_tokens(call: Call[NoQuery, None]) -> BaseModel:
    """List all tokens, revoked and expired ones too."""
    acting(call).require_whole()
    return bodies.TokensAnswer(
        items=tuple(token_answer(token) for token in await call.services.tokens.list())
    )


@registry.operation(
    "POST",
    "/api/v1/tokens",
    tag="access",
    region_rule=WHOLE,
    answers={_OPERATOR: bodies.NewTokenAnswer},
    body=bodies.TokenBody,
    status=201,
    problems=REFUSALS,
)
async def create_token(call: Call[NoQuery, bodies.TokenBody]) -> BaseModel:
    """Make a token for a named person; its secret is shown this once."""
    token, secret = await verbs.create_token(acting(call), call.body)
    call.scope = f"token {token.prefix}"
    return bodies.NewTokenAnswer(token=token_answer(token), secret=secret.reveal())


@registry.operation(
    "DELETE",
    "/api/v1/tokens/{token_id}",
    tag="access",
    region_rule=WHOLE,
    answers={_OPERATOR: bodies.DoneAnswer},
    problems=REFUSALS,
)
async def revoke_token(call: Call[NoQuery, None]) -> BaseModel:
    """Revoke a token for good."""
    await verbs.revoke_token(acting(call), number_of(call.path["token_id"]))
    return bodies.DoneAnswer()
