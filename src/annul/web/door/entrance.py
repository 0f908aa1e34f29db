"""Take connections in, spread over the workers: who has more than another leaves the next one to it.

All workers listen on one socket. By itself each takes all that wait when it wakes, and keeps them as long as they live: half of
a machine may idle beside a full worker. So each says in shared memory how many it has; a worker that has more than one of the
others waits a few milliseconds for that one, and takes the connection after all when nobody does. Once a second the fullest
asks some of its clients to come again (`Gate.shed`): after a worker was started anew it has its share within seconds.

What must never happen here: a connection that nobody takes, a listening socket that is not watched any more.
"""

from __future__ import annotations

import asyncio
import errno
import mmap
import os
import select
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from annul import durable, logs

WORKERS_MAX: Final = 64
TAKEN_AT_ONCE_MAX: Final = 16
"""Connections taken before the others of the loop have a turn."""
AHEAD_MAX: Final = 1
"""Connections a worker may have more than another and still take the next one."""
PAUSE_S: Final = 0.003
"""How long the next connection is left to the others before this worker looks again."""
LEFT_MAX_S: Final = 0.02
"""How long it is left to them at most: they may be busy."""
FULL_PAUSE_S: Final = 0.1
"""Pause after the machine had no descriptor or memory for another connection."""
_FULL: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_log = logs.get("entrance")


class Shares:
    """Share how many connections each worker of a machine has: a process id and a count each, in mapped memory.

    Args:
        file: made anew by the first worker of a start.
        worker: this worker's number, below WORKERS_MAX.
    """

    def __init__(self, file: Path, worker: int) -> None:
        if not 0 <= worker < WORKERS_MAX:
            raise ValueError(f"worker must be 0..{WORKERS_MAX - 1}")
        durable.folder(file.parent)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            durable.reserve(descriptor, WORKERS_MAX * 16, file)
            self._map = mmap.mmap(descriptor, WORKERS_MAX * 16)
        finally:
            os.close(descriptor)
        self._cells = memoryview(self._map).cast("Q")
        self._worker = worker
        self._cells[2 * worker + 1] = 0
        self._cells[2 * worker] = os.getpid()

    @property
    def own(self) -> int:
        """Connections of this worker."""
        return int(self._cells[2 * self._worker + 1])

    @own.setter
    def own(self, count: int) -> None:
        self._cells[2 * self._worker + 1] = count

    def others(self) -> list[int]:
        """Return the connections of every other worker that lives."""
        cells, found = self._cells, []
        for worker in range(WORKERS_MAX):
            if worker != self._worker and cells[2 * worker] and _lives(int(cells[2 * worker])):
                found.append(int(cells[2 * worker + 1]))
        return found

    def close(self) -> None:
        """Take this worker out; its connections do not count any more."""
        self._cells[2 * self._worker] = 0
        self._cells.release()
        self._map.close()


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


class Entrance:
    """Take connections of a listening socket into this worker; uvicorn sees a server in it.

    Args:
        door: the socket, listening already; its workers share it.
        make: makes the protocol of a connection.
        shares: what the workers have.
    """

    def __init__(self, door: socket.socket, make: Callable[[], asyncio.Protocol], shares: Shares) -> None:
        self._door, self._make, self._shares = door, make, shares
        self._loop = asyncio.get_running_loop()
        self._entering: set[asyncio.Task[object]] = set()
        self._left_since: float | None = None  # when a connection that waits was left to the others first
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._poll = select.poll()
        self._poll.register(door.fileno(), select.POLLIN)
        door.setblocking(False)
        self._watch()

    def close(self) -> None:
        """Take no more connections."""
        if not self._closed:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
            self._loop.remove_reader(self._door.fileno())

    async def wait_closed(self) -> None:
        """Wait for those who were just coming in."""
        if self._entering:
            await asyncio.wait(self._entering)

    def _watch(self) -> None:
        self._loop.add_reader(self._door.fileno(), self._come)

    def _look_again(self) -> None:
        self._timer = None
        if not self._poll.poll(0):
            self._left_since = None  # somebody took it
        self._watch()

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._door.fileno())
        self._timer = self._loop.call_later(seconds, self._look_again)

    def _come(self) -> None:
        """Take those who wait, or leave them to another worker for a moment."""
        for _ in range(TAKEN_AT_ONCE_MAX):
            if self._is_ahead():
                now = self._loop.time()
                self._left_since = self._left_since or now
                if now - self._left_since < LEFT_MAX_S:
                    self._pause(PAUSE_S)
                    return
            self._left_since = None
            try:
                client, _ = self._door.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError as error:
                if error.errno not in _FULL:
                    raise
                _log.error("no room for another connection", error=type(error).__name__)
                self._pause(FULL_PAUSE_S)
                return
            self._enter(client)

    def _is_ahead(self) -> bool:
        own = self._shares.own + len(self._entering)
        return own > AHEAD_MAX and any(own > other + AHEAD_MAX for other in self._shares.others())

    def _enter(self, client: socket.socket) -> None:
        client.setblocking(False)
        if client.family in (socket.AF_INET, socket.AF_INET6):
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task: asyncio.Task[object] = self._loop.create_task(self._loop.connect_accepted_socket(self._make, client))
        self._entering.add(task)
        task.add_done_callback(self._entered)

    def _entered(self, task: asyncio.Task[object]) -> None:
        self._entering.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.warning("a connection ended while it came in", error=type(error).__name__)
