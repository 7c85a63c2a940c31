"""The viewing process: `python -m gateway.viewing.worker FD`, one process that makes pictures for browsers.

It is apart from the control plane, whose status must not wait for encryption, and from the relay workers, whose
media must not. The control plane starts it when somebody first looks, and it lives as long as their connection.
"""

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import Any, Final

import uvloop
from aioice import ice

from adapters.errors import AdapterError
from gateway.relay.worker import die_with_parent
from gateway.supervisor import isolated
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
from gateway.viewing.pictures import Pictures
from gateway.viewing.still import to_jpeg
from gateway.viewing.viewer import NoCommonCodec, Viewer

logger = logging.getLogger("gateway.viewing.worker")
# By name: run as a program, this module is `__main__`.

SNAPPED_WITHIN: Final = 10.0
"""Seconds until a single picture is given up."""

MAX_AT_ONCE: Final = 64
"""Views and single pictures under way; the control plane bounds them lower."""


_ADDRESSES: Final[ContextVar[tuple[str, ...]]] = ContextVar("addresses", default=())
"""Our own addresses that the present view's browser may be told; each view has a task of its own."""


class ViewingWorker:
    """Everything under way in this process."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._viewers: dict[int, Viewer] = {}
        self._under_way = 0
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Obey until the control plane is gone."""
        loop = asyncio.get_running_loop()
        async with asyncio.TaskGroup() as tasks:
            loop.add_reader(self._control.fileno(), lambda: self._read(tasks))
            try:
                await self._ended.wait()
            finally:
                loop.remove_reader(self._control.fileno())
            for viewer in list(self._viewers.values()):
                await viewer.leave()

    def _read(self, tasks: asyncio.TaskGroup) -> None:
        try:
            packet, descriptors, _, _ = socket.recv_fds(self._control, MAX_PACKET, 1)
        except BlockingIOError:
            return
        except OSError:
            packet, descriptors = b"", []
        if not packet:
            self._ended.set()
            return
        connections = [socket.socket(fileno=descriptor) for descriptor in descriptors]
        try:
            order = decode(packet)
        except ValueError:
            logger.exception("the control plane speaks nonsense")
            order = None
        work = self._work(order, connections)
        if work is None:
            for connection in connections:
                connection.close()
            return
        tasks.create_task(work)

    def _work(
        self, order: Message | None, connections: list[socket.socket]
    ) -> Coroutine[Any, Any, None] | None:
        match order:
            case View() | Snap() if not connections or self._under_way >= MAX_AT_ONCE:
                self._send(Left(order.viewer_id, "local_error", 0, 0))
                return None
            case View():
                return self._guarded(order.viewer_id, self._view(order, connections[0]))
            case Snap():
                return self._guarded(order.viewer_id, self._snap(order, connections[0]))
            case Leave(viewer_id) if viewer_id in self._viewers:
                return self._viewers[viewer_id].leave()
            case _:
                return None

    async def _guarded(self, viewer_id: int, work: Coroutine[Any, Any, Left]) -> None:
        """Do one thing; a bug in it ends it alone. What it tells last is how it ended."""
        self._under_way += 1
        try:
            left = await isolated(
                f"view {viewer_id}", lambda: work, lambda: Left(viewer_id, "local_error", 0, 0)
            )
            self._send(left)
        finally:
            self._under_way -= 1

    async def _view(self, order: View, connection: socket.socket) -> Left:
        # aioice asks this module for our addresses; only those that the browser can know are told.
        _ADDRESSES.set(order.addresses)
        viewer = Viewer(order)
        self._viewers[order.viewer_id] = viewer
        try:
            try:
                answer = await viewer.answer()
            except NoCommonCodec as error:
                return self._refused(order, connection, "no_h264", error)
            except ValueError as error:
                return self._refused(order, connection, "bad_offer", error)
            except TimeoutError as error:
                return self._refused(order, connection, "timeout", error)
            self._send(Answered(order.viewer_id, answer))
            return await viewer.run(connection, lambda: self._send(Waiting(order.viewer_id)))
        finally:
            del self._viewers[order.viewer_id]
            await viewer.leave()

    def _refused(self, order: View, connection: socket.socket, cause: str, error: Exception) -> Left:
        logger.info("view %d: %s", order.viewer_id, error, extra={"action": "view_refused", "cause": cause})
        connection.close()
        return Left(order.viewer_id, cause, 0, 0)

    async def _snap(self, order: Snap, connection: socket.socket) -> Left:
        try:
            async with (
                asyncio.timeout(SNAPPED_WITHIN),
                Pictures(connection, order.code, lambda: self._send(Waiting(order.viewer_id))) as pictures,
            ):
                async for picture in pictures:
                    jpeg, width, height = await asyncio.to_thread(to_jpeg, pictures.codec, picture.data)
                    self._hand_over(Snapped(order.viewer_id, width, height), jpeg)
                    return Left(order.viewer_id, "done", 1, len(jpeg))
        except TimeoutError:
            return Left(order.viewer_id, "timeout", 0, 0)
        except AdapterError as error:
            return Left(order.viewer_id, error.cause, 0, 0)
        except ValueError as error:
            logger.info("no picture: %s", error, extra={"action": "snapshot_failed"})
            return Left(order.viewer_id, "unsupported_media", 0, 0)
        return Left(order.viewer_id, "closed", 0, 0)

    def _hand_over(self, message: Snapped, jpeg: bytes) -> None:
        file = os.memfd_create("picture")
        try:
            with os.fdopen(os.dup(file), "wb") as writing:
                writing.write(jpeg)
            self._send(message, file)
        finally:
            os.close(file)

    def _send(self, message: Message, descriptor: int | None = None) -> None:
        try:
            socket.send_fds(self._control, [encode(message)], [] if descriptor is None else [descriptor])
        except (BrokenPipeError, ConnectionResetError):
            # The control plane is gone, and we are about to be.
            return
        except OSError as error:
            # It hangs, and will make an end of us.
            logger.warning("not told: %s", error, extra={"action": "viewing_mute"})


def _told_addresses(use_ipv4: bool, use_ipv6: bool) -> list[str]:
    return [address for address in _ADDRESSES.get() if (use_ipv6 if ":" in address else use_ipv4)]


async def _serve(control: socket.socket) -> None:
    ice.get_host_addresses = _told_addresses
    await ViewingWorker(control).run()


def main() -> int:
    """Run on the descriptor named by the argument."""
    if len(sys.argv) != 2 or not sys.argv[1].isdecimal():
        sys.stderr.write("this program is started by the gateway\n")
        return 2
    control = socket.socket(fileno=int(sys.argv[1]))
    control.setblocking(False)
    die_with_parent(control)
    uvloop.run(_serve(control))
    return 0


if __name__ == "__main__":
    sys.exit(main())
