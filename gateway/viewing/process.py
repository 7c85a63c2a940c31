"""The viewing process as the control plane sees it: started when somebody looks, spoken to, replaced."""

import asyncio
import contextlib
import itertools
import logging
import os
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from adapters.errors import LocalResourcesExhausted
from gateway.clock import Clock
from gateway.relay.process import WorkerDied, worker_environment
from gateway.supervisor import Backoff, keep_running
from gateway.viewing.messages import (
    MAX_PACKET,
    Answered,
    Leave,
    Left,
    Message,
    Snap,
    Snapped,
    View,
    Waiting,
    decode,
    encode,
)

logger = logging.getLogger(__name__)

READY_WITHIN: Final = 15.0
"""Seconds from the first look until the process takes orders: it loads codecs and cryptography."""

ANSWERED_WITHIN: Final = 15.0
SNAPPED_WITHIN: Final = 15.0
LEAVE_WITHIN: Final = 3.0

_ROOT: Final = Path(__file__).resolve().parents[2]


class NotShown(Exception):
    """Raised when there is no picture.

    Attributes:
        cause: one word: `no_h264`, `bad_offer`, `timeout`, `unsupported_media`, `no_stream`, `worker_died`, …
    """

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


@dataclass(frozen=True)
class Still:
    """A single picture."""

    jpeg: bytes
    width: int
    height: int


class ViewingProcess:
    """Orders views and pictures of one process.

    Args:
        clock: the gateway's.
        on_left: is told when a view ends.
    """

    def __init__(self, clock: Clock, on_left: Callable[[Left], None]) -> None:
        self._clock = clock
        self._on_left = on_left
        self._control: socket.socket | None = None
        self._wanted = asyncio.Event()
        self._ready = asyncio.Event()
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[str]] = {}
        self._stills: dict[int, asyncio.Future[Still]] = {}
        self._views: set[int] = set()
        self._waiting: dict[int, Callable[[], None]] = {}

    @property
    def views(self) -> int:
        """Return how many views are under way."""
        return len(self._views)

    def is_under_way(self, viewer_id: int) -> bool:
        """Tell whether a view goes on."""
        return viewer_id in self._views

    async def run(self) -> None:
        """Keep a process running from the first look on, until cancelled."""
        await self._wanted.wait()
        await keep_running(
            "viewing process",
            self._run_once,
            clock=self._clock,
            backoff=Backoff(first=0.2, longest=10.0),
            healthy_after=30.0,
        )

    async def view(
        self,
        code: str,
        sdp: str,
        addresses: tuple[str, ...],
        connection: socket.socket,
        on_waiting: Callable[[], None],
    ) -> tuple[int, str]:
        """Show a source to a browser; return the number of the view and the answer to its offer.

        Args:
            code: under which the source goes out.
            sdp: the offer.
            addresses: our own that the browser may be told.
            connection: over which the source can be pulled; the caller closes its copy in any case.
            on_waiting: called when the source plays, and no key picture comes to begin with.

        Raises:
            NotShown: why not.
        """
        viewer_id = next(self._numbers)
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._answers[viewer_id] = answer
        self._views.add(viewer_id)
        self._waiting[viewer_id] = on_waiting
        try:
            await self._order(View(viewer_id, code, sdp, addresses), connection)
            async with asyncio.timeout(ANSWERED_WITHIN):
                return viewer_id, await answer
        except BaseException as error:
            # A caller that hung up too: nobody would end this view.
            self._views.discard(viewer_id)
            self._waiting.pop(viewer_id, None)
            self.leave(viewer_id)
            if isinstance(error, TimeoutError):
                raise NotShown("timeout") from error
            raise
        finally:
            self._answers.pop(viewer_id, None)

    async def snap(self, code: str, connection: socket.socket, on_waiting: Callable[[], None]) -> Still:
        """Return a single picture; arguments and errors as `view`."""
        viewer_id = next(self._numbers)
        still: asyncio.Future[Still] = asyncio.get_running_loop().create_future()
        self._stills[viewer_id] = still
        self._waiting[viewer_id] = on_waiting
        try:
            await self._order(Snap(viewer_id, code), connection)
            async with asyncio.timeout(SNAPPED_WITHIN):
                return await still
        except TimeoutError as error:
            raise NotShown("timeout") from error
        finally:
            self._stills.pop(viewer_id, None)
            self._waiting.pop(viewer_id, None)

    def leave(self, viewer_id: int) -> None:
        """End a view."""
        if self._control is not None:
            with contextlib.suppress(OSError):
                self._control.send(encode(Leave(viewer_id)))

    async def _order(self, order: View | Snap, connection: socket.socket) -> None:
        self._wanted.set()
        try:
            async with asyncio.timeout(READY_WITHIN):
                await self._ready.wait()
        except TimeoutError as error:
            raise NotShown("worker_died") from error
        if self._control is None:
            raise NotShown("worker_died")
        try:
            socket.send_fds(self._control, [encode(order)], [connection.fileno()])
        except OSError as error:
            raise NotShown(LocalResourcesExhausted.cause) from error

    async def _run_once(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        with ours:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "gateway.viewing.worker",
                    str(theirs.fileno()),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    pass_fds=(theirs.fileno(),),
                    env=worker_environment(),
                    cwd=_ROOT,
                )
            self._control = ours
            loop.add_reader(ours.fileno(), lambda: self._read(ours))
            self._ready.set()
            try:
                await process.wait()
            finally:
                self._ready.clear()
                loop.remove_reader(ours.fileno())
                self._control = None
                self._fail_all()
                ours.close()
                await _end(process)
        raise WorkerDied(f"the viewing process ended with status {process.returncode}")

    def _read(self, control: socket.socket) -> None:
        try:
            packet, descriptors, _, _ = socket.recv_fds(control, MAX_PACKET, 1)
        except BlockingIOError:
            return
        except OSError:
            packet, descriptors = b"", []
        if not packet:
            asyncio.get_running_loop().remove_reader(control.fileno())
            return
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(os.fdopen(descriptor, "rb")) for descriptor in descriptors]
            try:
                message = decode(packet)
            except ValueError as error:
                logger.error("the viewing process speaks nonsense: %s", error)  # noqa: TRY400 - its own log tells
                return
            jpeg = b""
            if files:
                files[0].seek(0)
                jpeg = files[0].read()
            self._take(message, jpeg)

    def _take(self, message: Message, jpeg: bytes) -> None:
        match message:
            case Answered(viewer_id, sdp):
                answer = self._answers.get(viewer_id)
                if answer is not None and not answer.done():
                    answer.set_result(sdp)
            case Waiting(viewer_id):
                self._waiting.get(viewer_id, lambda: None)()
            case Snapped(viewer_id, width, height):
                still = self._stills.get(viewer_id)
                if still is not None and not still.done():
                    still.set_result(Still(jpeg, width, height))
            case Left(viewer_id, cause):
                self._views.discard(viewer_id)
                self._waiting.pop(viewer_id, None)
                self._fail(viewer_id, cause)
                self._on_left(message)
            case _:
                pass

    def _fail(self, viewer_id: int, cause: str) -> None:
        answer, still = self._answers.get(viewer_id), self._stills.get(viewer_id)
        if answer is not None and not answer.done():
            answer.set_exception(NotShown(cause))
        if still is not None and not still.done():
            still.set_exception(NotShown(cause))

    def _fail_all(self) -> None:
        for viewer_id in (*self._answers, *self._stills):
            self._fail(viewer_id, "worker_died")
        for viewer_id in list(self._views):
            self._views.discard(viewer_id)
            self._waiting.pop(viewer_id, None)
            self._on_left(Left(viewer_id, "worker_died", 0, 0))


async def _end(process: asyncio.subprocess.Process) -> None:
    """Let the process go, which sees its connection closed; kill it when it stays."""
    try:
        async with asyncio.timeout(LEAVE_WITHIN):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
