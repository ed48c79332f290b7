"""A TCP proxy before mongod: connections can be cut and refused, or held up."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self


class Proxy:
    """Forwards a port of loopback to another one, in a thread."""

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task] = set()
        self._flows = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._flows.set()
        self._do(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def drop(self) -> None:
        """Cut all connections and refuse new ones."""
        self._do(self._cut())

    def restore(self) -> None:
        """Accept connections again."""
        self._do(self._listen())

    def hold(self) -> None:
        """Forward nothing, and close nothing: as a network that loses all packets."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def release(self) -> None:
        """Forward again, also what was held."""
        self._loop.call_soon_threadsafe(self._flows.set)

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            writer.transport.abort()  # a reset, not a polite end

    async def _end(self) -> None:
        self._flows.set()
        await self._cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        self._open.add(writer)
        try:
            there = await asyncio.open_connection("127.0.0.1", self.target)
            self._open.add(there[1])
            await asyncio.gather(self._copy(reader, there[1]), self._copy(there[0], writer))
            self._open.discard(there[1])
        except OSError:
            writer.transport.abort()
        finally:
            self._open.discard(writer)
            self._tasks.discard(asyncio.current_task())

    async def _copy(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(1 << 16):
                await self._flows.wait()
                sink.write(data)
                await sink.drain()
        finally:
            sink.close()
