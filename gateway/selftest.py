"""Is it us? Looks at our own routes and interfaces, and at machines of ours that should always answer.

Answers the one question that keeps an outage of ours from being charged to a site (status model 4.3, E2 and E3).
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from gateway.interfaces import Kernel, Link, LinuxKernel, NoRoute
from gateway.liveness import SelfTest

logger = logging.getLogger(__name__)

SAMPLE: Final = 32
"""Hosts whose route is looked at, at most; a route is asked of the kernel, nothing is sent."""

REFERENCE_TIMEOUT: Final = 3.0

Reference = tuple[str, int]
"""Host and TCP port of a machine that should always accept a connection."""


class OwnNetwork:
    """Checks this machine's side of the network."""

    def __init__(
        self,
        hosts: Callable[[], Sequence[str]],
        *,
        references: Iterable[Reference] = (),
        superiors: Callable[[], Sequence[Reference]] = tuple,
        kernel: Kernel | None = None,
    ) -> None:
        """Prepare.

        Args:
            hosts: gives IP addresses of sources; to one of them a route must exist over an interface that is up.
            references: machines of ours; when all are silent, it is us.
            superiors: the central platforms; asked only when many sources went silent together.
            kernel: knows routes and interfaces; this machine's when not given.
        """
        self._hosts = hosts
        self._references = tuple(references)
        self._superiors = superiors
        self._kernel = kernel or LinuxKernel()

    async def is_up(self) -> bool:
        """Return whether a route of ours stands and, where references are configured, at least one answers."""
        fault = self._route_fault()
        if fault is not None:
            logger.warning("own network: %s", fault, extra={"action": "own_network_fault"})
            return False
        if self._references and not await _any_answers(self._references):
            logger.warning(
                "own network: none of %d references answers",
                len(self._references),
                extra={"action": "own_network_fault"},
            )
            return False
        return True

    async def judge_suspicion(self) -> SelfTest:
        """Say whether many sources fell silent together because of us.

        Here the central platforms count as references too: when none of anything answers any more, it is us.
        """
        if not await self.is_up():
            return SelfTest.OURS
        others = (*self._references, *self._superiors())
        if others and not await _any_answers(others):
            return SelfTest.OURS
        return SelfTest.NOT_OURS

    def fault_towards(self, host: str) -> str | None:
        """Return what is wrong with our own way to the IP address `host`, or None; nothing is sent."""
        try:
            interface = self._kernel.interface_to(host)
        except NoRoute as error:
            return str(error)
        if interface is None or self._kernel.link(interface) is Link.UP:
            return None
        return f"interface {interface} is down"

    def _route_fault(self) -> str | None:
        """Return what is wrong with all our ways to the sources; one of several says nothing about the others."""
        fault: str | None = None
        for host in self._hosts()[:SAMPLE]:
            fault = self.fault_towards(host)
            if fault is None:
                return None
        return fault


async def _any_answers(references: Iterable[Reference]) -> bool:
    """Return whether any of the machines accepts a TCP connection within `REFERENCE_TIMEOUT` seconds."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(_answers(host, port), name=f"reference-{host}") for host, port in references
        ]
    return any(task.result() for task in tasks)


async def _answers(host: str, port: int) -> bool:
    try:
        async with asyncio.timeout(REFERENCE_TIMEOUT):
            _, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return True  # the machine itself answered
    except (OSError, TimeoutError):
        return False
    writer.transport.abort()
    return True
