"""Cameras and fingerprint scanners of the counter, each behind a program that writes one image to its standard output.

Every maker has a program or library of its own, so the station does not talk to these devices itself: it is told at its start
which program takes a picture (`--camera "fswebcam -q -"`, `--scanner "maker-capture --png"`), and only these are ever run,
without a shell. The image goes through a pipe: the station writes it to no file. What the program itself writes is its maker's
matter.
"""

from __future__ import annotations

import os
import selectors
import shlex
import subprocess
import time
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from annul import errors
from annul.reader import faults

CAPTURE_MAX_S: Final = 30.0
"""Longest time for one picture: the bearer has to look at the camera or press a finger."""
CAPTURE_MAX_BYTES: Final = 16 * 1024 * 1024
"""Largest picture; what `annul.likeness` takes."""


@dataclass(frozen=True, slots=True)
class Program:
    """A device that is driven by a program.

    Attributes:
        kind: "camera" or "scanner".
        command: the program and its arguments.
        timeout_s: seconds it may take.
    """

    kind: str
    command: tuple[str, ...]
    timeout_s: float = CAPTURE_MAX_S

    @classmethod
    def parse(cls, kind: str, line: str) -> Program:
        """Read a command line as a shell would, without one.

        Raises:
            UnsafeSettings: it is empty or its quotes do not match.
        """
        try:
            command = tuple(shlex.split(line))
        except ValueError:
            command = ()
        if not command:
            raise errors.UnsafeSettings(
                f"The command of the {kind} cannot be read.",
                where=f"--{kind}",
                mend="Write it as in a shell, with quotes closed.",
            )
        return cls(kind, command)

    @property
    def name(self) -> str:
        """Name for people: that of the program, without its folder."""
        return PurePath(self.command[0]).name

    def take(self) -> bytes:
        """Run the program and return the image it wrote.

        Raises:
            NoReader: there is no such program, or it ended with an error or without an image.
            TimedOut: it took too long. TooLarge: it wrote too much.
        """
        try:
            process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, close_fds=True
            )
        except OSError:
            raise faults.NoReader(
                f"The program of the {self.kind} cannot be started.",
                where=self.kind,
                mend=f"Look at the command given with --{self.kind}.",
            ) from None
        with process:
            try:
                image = self._read(process)
            finally:
                process.kill()
        if process.returncode != 0 or not image:
            raise faults.NoReader(
                f"The {self.kind} gave no image.", where=self.kind, mend="Look whether it is connected, and try again."
            )
        return image

    def _read(self, process: subprocess.Popen[bytes]) -> bytes:
        """Read standard output to its end, in bounded time and memory, and wait for the end of the program."""
        assert process.stdout is not None
        deadline, parts, size = time.monotonic() + self.timeout_s, [], 0
        late = errors.TimedOut(f"The {self.kind} took too long.", where=self.kind, mend="Try again.")
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise late
                part = os.read(process.stdout.fileno(), 1 << 16)
                if not part:
                    break
                size += len(part)
                if size > CAPTURE_MAX_BYTES:
                    raise errors.TooLarge(f"The {self.kind} gave more than {CAPTURE_MAX_BYTES >> 20} MiB.", where=self.kind)
                parts.append(part)
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise late from None
        return b"".join(parts)
