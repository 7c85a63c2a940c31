"""Takes in what a caller sends: no more than may be, and not for longer than a slow line needs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from aiohttp import web

from gateway.api.problem import ApiProblem, Code

BODY_PATIENCE: Final = 30.0
"""Seconds for a body of any size."""

SLOW_LINE: Final = 262_144
"""Bytes a second of the slowest line that large bodies are taken from."""


async def read_body(request: web.Request, limit: int) -> bytes:
    """Return the whole body.

    Raises:
        ApiProblem: it is larger than `limit` bytes, of which no more is ever held, or comes too slowly.
    """
    if request.content_length is not None and request.content_length > limit:
        raise ApiProblem(Code.TOO_LARGE, f"at most {limit} bytes")
    body = bytearray()
    async with in_time(limit):
        async for chunk in request.content.iter_chunked(65_536):
            body += chunk
            if len(body) > limit:
                raise ApiProblem(Code.TOO_LARGE, f"at most {limit} bytes")
    return bytes(body)


@asynccontextmanager
async def in_time(size: int) -> AsyncIterator[None]:
    """Give a caller the time to send `size` bytes at a slow line's pace, and no more.

    Raises:
        ApiProblem: the body did not come in time.
    """
    try:
        async with asyncio.timeout(BODY_PATIENCE + size / SLOW_LINE):
            yield
    except TimeoutError as error:
        raise ApiProblem(Code.MALFORMED, "the body did not come in time") from error
