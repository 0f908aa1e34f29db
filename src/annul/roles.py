"""Keep the processes of one machine: forked from a template that has loaded the code, watched, started again when they die.

To load the code takes a worker a second or two, to fork a few milliseconds. So one process, the *template*, loads it once
and does nothing else: it opens no file, no thread and no loop, so that every fork of it is a clean start. It loads in stages:
a role that needs little code is forked as soon as that is there, and loads the rest itself. A role is forked twice and the
process in between ends, so that the supervisor inherits the role, hears of its end and its exit code, and the role never
depends on the template again.

    template = Template([sys.executable, "-m", "annul.app"], environment, descriptors)
    first = template.fork(["worker", "0", "5"], environment, stage=1)
    process = template.fork(["worker", "1", "5"], environment)
    process.poll(), process.terminate(), process.wait(20)

The template's side is `stand_by`: it returns in a forked role only, with the role's arguments.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import resource
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from annul.errors import SourceDown

TEMPLATE: Final = "template"
"""First argument of the process that `stand_by` runs in; the second is the descriptor of its channel."""
LOAD_WAIT_S: Final = 60.0
"""Longest wait for a process from the template; the first one waits until the code is loaded."""
ADOPTION_WAIT_S: Final = 5.0
MESSAGE_BYTES_MAX: Final = 1 << 16
RESTART_PAUSE_S: Final = 0.05
"""First pause before a role that died again starts again; doubles up to the maximum."""
RESTART_PAUSE_MAX_S: Final = 2.0
STEADY_S: Final = 5.0
"""A role that lived so long is started again without delay."""
WHOLE: Final = 1 << 10
"""Stage of a role that needs all code."""
_ONE_THREAD: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
_PR_SET_PDEATHSIG: Final = 1
_PR_SET_DUMPABLE: Final = 4
_PR_SET_NAME: Final = 15
_PR_SET_CHILD_SUBREAPER: Final = 36


class Process:
    """Watch one running role; this process is its parent.

    Args:
        pid: process id of a child.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.descriptor = os.pidfd_open(pid)
        self._exit_code: int | None = None

    def poll(self) -> int | None:
        """Return the exit code (negative: the signal that ended it), None while it runs."""
        if self._exit_code is None:
            with contextlib.suppress(ChildProcessError):
                found, status = os.waitpid(self.pid, os.WNOHANG)
                if not found:
                    return None
                self._exit_code = os.waitstatus_to_exitcode(status)
                os.close(self.descriptor)
        return self._exit_code

    def terminate(self) -> None:
        """Ask it to stop."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it now."""
        self._send(signal.SIGKILL)

    def wait(self, longest_s: float) -> bool:
        """Wait for its end; False when the time is over."""
        if self.poll() is None:
            select.select([self.descriptor], [], [], longest_s)
        return self.poll() is not None

    def _send(self, number: signal.Signals) -> None:
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.descriptor, number)


class Template:
    """Fork processes from one that has loaded the code; start that one anew when it has died.

    Args:
        command: what starts the template; `template` and the number of its channel are added.
        environment: its environment, which roles inherit.
        descriptors: open files that roles use.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], descriptors: Collection[int]) -> None:
        self._command, self._environment, self._descriptors = list(command), dict(environment), tuple(descriptors)
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._channel, self._process = self._start()

    def fork(self, arguments: Sequence[str], environment: Mapping[str, str], *, stage: int = WHOLE) -> Process:
        """Start a role.

        Args:
            environment: variables the role gets besides those of the template.
            stage: how many stages of the code the role waits for; it may have more.

        Raises:
            SourceDown: the template does not come up.
        """
        wanted = {"arguments": list(arguments), "environment": dict(environment), "stage": stage}
        request = json.dumps(wanted).encode()
        for _ in range(2):
            with contextlib.suppress(OSError, ValueError):  # it died, or does not answer: once more with a new one
                self._channel.send(request)
                return Process(int(self._channel.recv(MESSAGE_BYTES_MAX)))
            self._process.kill()
            self.close()
            self._channel, self._process = self._start()
        raise SourceDown("The process that loads the code does not start.", where="template")

    def revive(self) -> bool:
        """Start the template anew when it has died, so that the next role need not wait for that; whether it had."""
        if self._process.poll() is None:
            return False
        self.close()
        self._channel, self._process = self._start()
        return True

    def close(self) -> None:
        """End the template; roles go on."""
        self._channel.close()
        self._process.wait()

    @property
    def pid(self) -> int:
        """Return the template's process id."""
        return self._process.pid

    def _start(self) -> tuple[socket.socket, subprocess.Popen[bytes]]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(LOAD_WAIT_S)
        with theirs:
            process = subprocess.Popen(
                [*self._command, TEMPLATE, str(theirs.fileno())],
                env=self._environment | _ONE_THREAD,
                pass_fds=(theirs.fileno(), *self._descriptors),
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which keeps the order
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - one C call, no locks
            )
        return ours, process


def stand_by(channel: socket.socket, stages: Sequence[Callable[[], None]]) -> list[str] | None:
    """Load the code, and fork a role for every request; runs in the template.

    Args:
        stages: what loads the code, a part each. Between two parts roles are forked for which those loaded are enough.

    Returns:
        In a forked role its arguments; in the template itself None, when the supervisor has gone.
    """
    supervisor = os.getppid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    loaded = 0
    gc.disable()  # nearly all of what is loaded stays, and looking at it again and again takes a fifth of the time
    while True:
        if loaded < len(stages) and not select.select([channel], [], [], 0)[0]:
            loaded = _load(stages, loaded)
            continue
        raw = channel.recv(MESSAGE_BYTES_MAX)
        if not raw:
            return None
        wanted = json.loads(raw)
        while loaded < min(wanted["stage"], len(stages)):
            loaded = _load(stages, loaded)
        between = os.fork()
        if between:
            os.waitpid(between, 0)
            continue
        if os.fork():
            os._exit(0)
        _be_adopted(supervisor)
        channel.send(str(os.getpid()).encode())
        channel.close()
        arguments: list[str] = wanted["arguments"]
        for name in _ONE_THREAD:
            os.environ.pop(name, None)
        os.environ.update(wanted["environment"])
        os.setsid()
        gc.enable()
        ctypes.CDLL(None).prctl(_PR_SET_NAME, "-".join(["annul", *arguments[:2]]).encode()[:15], 0, 0, 0)
        return arguments


def _load(stages: Sequence[Callable[[], None]], loaded: int) -> int:
    """Load the next stage; return how many are loaded."""
    stages[loaded]()
    if loaded + 1 == len(stages):
        gc.collect()
    gc.freeze()  # the collector of a role need not touch, and so copy, what all of them share
    return loaded + 1


def forbid_core_dumps() -> None:
    """Make this process leave no core dump, so that a crash writes no secret and no sample to disk. Call it first."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


FILES_MAX: Final = 1 << 20
"""More files a process needs not; some libraries keep a table of all there may be."""


def raise_file_limit() -> int:
    """Let this process, and those it starts, open as many files as the machine lets it; return how many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, FILES_MAX) if most >= 0 else FILES_MAX, most))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _be_adopted(supervisor: int) -> None:
    """Wait until the process in between is gone and the supervisor is the parent; end when there is none."""
    deadline = time.monotonic() + ADOPTION_WAIT_S
    while os.getppid() != supervisor:
        if time.monotonic() > deadline:
            os._exit(1)
        time.sleep(0.0005)
    _die_with_parent()
    if os.getppid() != supervisor:
        os._exit(1)


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def reap_orphans(known: Collection[int]) -> None:
    """Reap what a killed role or database had started and left to this process; never what this process waits for itself.

    Args:
        known: process ids that somebody here waits for. Others count as left behind when they are of another session.
    """
    with contextlib.suppress(ChildProcessError, ProcessLookupError):
        while True:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None or ended.si_pid in known or os.getsid(ended.si_pid) == os.getsid(0):
                return
            os.waitpid(ended.si_pid, os.WNOHANG)


@dataclass
class Role:
    """Keep one role running."""

    name: str
    arguments: list[str]
    process: Process | None = None
    started_at: float = 0.0
    pause_s: float = RESTART_PAUSE_S
    start_at: float = 0.0  # monotonic time of the next start while down

    def start(self, template: Template, environment: Mapping[str, str], *, stage: int = WHOLE) -> None:
        """Start the process; it is told to stop when the supervisor dies. See `Template.fork`."""
        self.process = template.fork(self.arguments, environment, stage=stage)
        self.started_at = time.monotonic()

    def died(self, now: float) -> None:
        """Note an unexpected end and when to start again."""
        steady = now - self.started_at >= STEADY_S
        self.pause_s = RESTART_PAUSE_S if steady else min(self.pause_s * 2, RESTART_PAUSE_MAX_S)
        self.start_at = now if steady else now + self.pause_s
        self.process = None
