"""One view: a browser's offer answered, and a source's pictures sent to it until one of the two is gone."""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Final

from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.exceptions import InvalidStateError, OperationError

from adapters.errors import AdapterError
from gateway.viewing.messages import Left, View
from gateway.viewing.pictures import Pictures
from gateway.viewing.track import PictureTrack

logger = logging.getLogger(__name__)

CONNECTED_WITHIN: Final = 20.0
"""Seconds from the answer until media flow."""

ANSWERED_WITHIN: Final = 10.0

_OVER: Final = frozenset({"failed", "closed"})


class NoCommonCodec(Exception):
    """Raised when the browser cannot play H.264: it gets single pictures."""


class Viewer:
    """One browser that looks at one source."""

    def __init__(self, order: View) -> None:
        self._order = order
        self._peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self._track = PictureTrack()
        self._pictures: Pictures | None = None
        self._changed = asyncio.Event()
        self._peer.add_listener("connectionstatechange", self._note_state)

    async def answer(self) -> str:
        """Return the answer to the offer, with our addresses in it.

        Raises:
            ValueError: the offer cannot be read.
            NoCommonCodec: it has no H.264.
            TimeoutError: our addresses could not be gathered in time.
        """
        known = RTCRtpSender.getCapabilities("video").codecs
        # Before the offer is read: what both sides can is chosen then.
        transceiver = self._peer.addTransceiver(self._track, direction="sendonly")
        transceiver.setCodecPreferences(
            [codec for codec in known if codec.mimeType in ("video/H264", "video/rtx")]
        )
        async with asyncio.timeout(ANSWERED_WITHIN):
            try:
                await self._peer.setRemoteDescription(RTCSessionDescription(self._order.sdp, "offer"))
                await self._peer.setLocalDescription(await self._peer.createAnswer())
            except OperationError as error:
                raise NoCommonCodec(str(error)) from error
            except (ValueError, InvalidStateError, LookupError, AttributeError, TypeError) as error:
                # aiortc's parser raises what it runs into.
                raise ValueError(f"the offer cannot be read: {error}") from error
        if transceiver.mid is None:
            raise NoCommonCodec("the offer asks for no video")
        return str(self._peer.localDescription.sdp)

    async def run(self, connection: socket.socket, on_waiting: Callable[[], None]) -> Left:
        """Send pictures until the browser or the source is gone; return how it ended.

        Args:
            connection: to the worker that holds the source.
            on_waiting: called once when no key picture comes to begin with.
        """
        cause = "closed"
        try:
            async with Pictures(connection, self._order.code, on_waiting) as pictures:
                self._pictures = pictures
                await self._connected()
                cause = await self._send(pictures)
        except TimeoutError:
            cause = "timeout"
        except AdapterError as error:
            cause = error.cause
        finally:
            self._track.end()
            await self._peer.close()
        return Left(self._order.viewer_id, cause, self._track.pictures, self._track.size)

    async def _send(self, pictures: Pictures) -> str:
        loop = asyncio.get_running_loop()
        async for picture in pictures:
            if pictures.codec != "H264":
                return "no_h264"
            self._track.offer(picture, loop.time())
        return "closed"

    async def _connected(self) -> None:
        async with asyncio.timeout(CONNECTED_WITHIN):
            while self._peer.connectionState != "connected":
                if self._peer.connectionState in _OVER:
                    raise TimeoutError
                self._changed.clear()
                await self._changed.wait()

    async def leave(self) -> None:
        """End the view."""
        await self._peer.close()

    def _note_state(self) -> None:
        self._changed.set()
        if self._peer.connectionState in _OVER and self._pictures is not None:
            # Nobody looks any more: the loop over the pictures ends with its connection.
            self._pictures.hang_up()
