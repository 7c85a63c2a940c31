"""The HTTP application: every operation with its guard, the operator's page, and the server around them."""

import asyncio
import logging
import ssl
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

from aiohttp import web

from catalog.access import Role
from catalog.errors import CatalogError
from catalog.reading import Region
from gateway.api import (
    access_acts,
    acting,
    case_acts,
    case_reads,
    compliance_acts,
    discovery_acts,
    dispute_acts,
    event_stream,
    gb_acts,
    health,
    incident_reads,
    onvif_acts,
    public_catalog,
    reads,
    report_reads,
    stored_reports,
    suspension_acts,
)
from gateway.api.dispatch import SERVICES, endpoint, guard, harden, run
from gateway.api.door import Door
from gateway.api.event_stream import STREAMS, EventStreams
from gateway.api.principal import Principal
from gateway.api.problem import ApiProblem
from gateway.api.public_catalog import LAST_VIEWS, LastViews
from gateway.api.registry import BODY_LIMIT, Call, Operation
from gateway.api.services import ApiServices
from gateway.api.verbs import ROLL_LIMIT
from gateway.api.whep import add_live_pictures
from gateway.console.pages import add_console

logger = logging.getLogger(__name__)

OPERATIONS: Final[Sequence[Operation]] = tuple(
    operation
    for registry in (
        reads.registry,
        report_reads.registry,
        incident_reads.registry,
        stored_reports.registry,
        case_reads.registry,
        case_acts.registry,
        acting.registry,
        discovery_acts.registry,
        access_acts.registry,
        onvif_acts.registry,
        gb_acts.registry,
        suspension_acts.registry,
        compliance_acts.registry,
        dispute_acts.registry,
        event_stream.registry,
        public_catalog.registry,
        health.registry,
    )
    for operation in registry.operations
)

WARM_EVERY: Final = 20.0
"""Seconds between two readings of what is kept for while the database is away."""

SHUTDOWN: Final = 5.0
"""Seconds that calls under way get when the server stops."""

HANDSHAKE: Final = 10.0
"""Seconds that TLS may take with a new caller, who is not counted before."""

_WARM_REGIONS: Final = 20

_WARM: Final = tuple(operation for operation in OPERATIONS if operation.cached and "{" not in operation.path)


def build_api(services: ApiServices) -> web.Application:
    """Return the application; it starts nothing by itself, see `keep_warm`."""
    app = web.Application(middlewares=[guard], client_max_size=max(BODY_LIMIT, ROLL_LIMIT))
    app[SERVICES] = services
    app[STREAMS] = EventStreams()
    app[LAST_VIEWS] = LastViews()
    for operation in OPERATIONS:
        app.router.add_route(operation.method, operation.path, endpoint(operation))
    add_live_pictures(app)
    add_console(app)
    app.on_response_prepare.append(harden)
    app.on_shutdown.append(app[STREAMS].close)
    app.on_cleanup.append(_flush)
    return app


async def _flush(app: web.Application) -> None:
    await app[SERVICES].recorder.flush()


async def keep_warm(app: web.Application) -> None:
    """Read the first pages again and again, for while the database is away, and write what the log still holds.

    Runs until cancelled; the composition root runs it beside the server.
    """
    services = app[SERVICES]
    while True:
        await warm_once(app)
        await services.clock.sleep(WARM_EVERY)


async def warm_once(app: web.Application) -> None:
    """Read each first page once, for every role and region that holds a token."""
    services = app[SERVICES]
    await services.recorder.flush()
    try:
        await services.authentication.refresh()
        services.stale.confirmed_at = services.clock.now()
    except CatalogError as error:
        logger.debug("nothing to keep warm: %s", error, extra={"action": "warm_skipped"})
        return
    for role, prefix in sorted(services.authentication.regions)[:_WARM_REGIONS]:
        principal = Principal(client="gateway", role=Role(role), region=Region(prefix))
        for operation in _WARM:
            if principal.role in operation.answers:
                await _warm(services, operation, principal)
    try:
        await app[LAST_VIEWS].read(services, None)
    except CatalogError as error:
        logger.debug("the public catalog was not read: %s", error, extra={"action": "warm_skipped"})


async def _warm(services: ApiServices, operation: Operation, principal: Principal) -> None:
    call: Call[Any, Any] = Call(services=services, principal=principal, query=operation.query(), body=None)
    try:
        await run(operation, call)
    except (ApiProblem, CatalogError) as error:
        logger.debug("%s was not read: %s", operation.operation_id, error, extra={"action": "warm_skipped"})


async def serve_api(app: web.Application) -> None:
    """Listen as the configuration says and keep the cache warm, until cancelled.

    Raises:
        OSError: the address is taken, or a TLS file cannot be read.
    """
    services = app[SERVICES]
    config = services.config.api
    # Headers of 8 KiB at most and one connection's requests in turn are aiohttp's own bounds.
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=SHUTDOWN, keepalive_timeout=75)
    await runner.setup()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(_clean_up, runner)
        assert runner.server is not None  # made by setup()
        listener = await asyncio.get_running_loop().create_server(
            Door(runner.server),
            config.host,
            config.port,
            ssl=tls_context(services),
            ssl_handshake_timeout=HANDSHAKE if config.tls_cert is not None else None,
        )
        stack.callback(listener.close)
        scheme = "https" if config.tls_cert is not None else "http"
        logger.info(
            "listening on %s://%s:%d", scheme, config.host, config.port, extra={"action": "api_listening"}
        )
        await keep_warm(app)


async def _clean_up(runner: web.AppRunner) -> None:
    try:
        async with asyncio.timeout(2 * SHUTDOWN):
            await runner.cleanup()
    except TimeoutError:
        # Of kind OSError: it must not pass for an address that cannot be listened on.
        logger.warning("calls under way were cut off", extra={"action": "api_cut_off"})


def tls_context(services: ApiServices) -> ssl.SSLContext | None:
    """Return the TLS context from the configured files, None on loopback without them."""
    config = services.config.api
    if config.tls_cert is None or config.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(config.tls_cert, config.tls_key)
    return context
