"""Processes forked from a template: inherited by the supervisor, seen to end, started again whatever dies."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from annul.roles import WHOLE, Process, Role, Template, reap_orphans
from tests.waiting import WAIT_S, until

ROLE = """
import os, signal, socket, sys, time
from annul.roles import stand_by
loads = []
arguments = stand_by(socket.socket(fileno=int(sys.argv[2])), [lambda: loads.append(os.getpid())])
if arguments is None:
    sys.exit(0)
what, told = arguments
if what == "exit":
    sys.exit(int(told))
if what == "say":
    text = f"{os.getpid()} {os.getppid()} {loads[0]} {os.environ.get('TOLD')} {os.environ.get('ROOM')} {os.getsid(0)}"
    with open(told + ".part", "w") as file:
        file.write(text)
    os.rename(told + ".part", told)
if what == "leave":  # an orphan of another session that ends at once
    if os.fork() == 0:
        os.setsid()
        with open(told, "w") as file:
            file.write(str(os.getpid()))
        os._exit(0)
    os._exit(0)
time.sleep(600)
"""


@pytest.fixture
def template() -> Iterator[Template]:
    """Give a template whose roles do as their arguments say."""
    made = Template([sys.executable, "-c", ROLE], os.environ | {"ROOM": "office"}, [])
    yield made
    made.close()


def _text(path: Path) -> list[str]:
    until(path.exists, path.name)
    return path.read_text().split()


def test_a_role_is_a_child_of_the_supervisor_with_its_own_environment(template: Template, tmp_path: Path) -> None:
    """Code is loaded once, in the template; the role has this process for its parent and a session of its own."""
    process = template.fork(["say", str(tmp_path / "said")], {"TOLD": "yes"})
    pid, parent, loaded_in, told, room, session = _text(tmp_path / "said")
    assert int(pid) == process.pid == int(session)
    assert int(parent) == os.getpid()
    assert int(loaded_in) == template.pid
    assert (told, room) == ("yes", "office")
    assert process.poll() is None
    process.kill()
    assert process.wait(WAIT_S)
    assert process.poll() == -signal.SIGKILL


STAGES = """
import os, socket, sys
from annul.roles import stand_by
loads = []
def second():
    os.read(int(sys.argv[2]), 1)
    loads.append("second")
arguments = stand_by(socket.socket(fileno=int(sys.argv[1])), [lambda: loads.append("first"), second])
if arguments:
    with open(arguments[0] + ".part", "w") as file:
        file.write(" ".join(loads))
    os.rename(arguments[0] + ".part", arguments[0])
"""


@pytest.mark.usefixtures("template")  # it makes this process the parent of roles
def test_a_role_that_needs_little_code_does_not_wait_for_the_rest(tmp_path: Path) -> None:
    """The first stage is enough for it; others are forked when everything is loaded."""
    channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    waits, goes_on = os.pipe()
    wanted = {"arguments": [str(tmp_path / "early")], "environment": {}, "stage": 1}
    channel.send(json.dumps(wanted).encode())
    command = [sys.executable, "-c", STAGES, str(theirs.fileno()), str(waits)]
    running = subprocess.Popen(command, pass_fds=(theirs.fileno(), waits))
    theirs.close()
    early = Process(int(channel.recv(100)))
    assert _text(tmp_path / "early") == ["first"]
    channel.send(json.dumps(wanted | {"arguments": [str(tmp_path / "late")], "stage": WHOLE}).encode())
    os.write(goes_on, b"x")
    late = Process(int(channel.recv(100)))
    assert _text(tmp_path / "late") == ["first", "second"]
    channel.close()
    assert running.wait(WAIT_S) == 0
    assert early.wait(WAIT_S)
    assert late.wait(WAIT_S)
    os.close(waits)
    os.close(goes_on)


def test_the_limit_of_files_is_raised_as_far_as_it_may_be() -> None:
    """From a soft limit of 64 to the hard one, for a process and those it starts."""
    script = (
        "import resource, subprocess, sys; from annul.roles import raise_file_limit; "
        "hard = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 4096); "
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard)); told = raise_file_limit(); "
        "print(told == hard, subprocess.check_output('ulimit -Sn', shell=True, text=True).strip() == str(hard))"
    )
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert told == "True True\n"


def test_the_exit_code_of_a_role_is_known(template: Template) -> None:
    """An end is seen with its code, and asking a role that is gone to stop does nothing."""
    process = template.fork(["exit", "3"], {})
    assert process.wait(WAIT_S)
    assert process.poll() == 3
    process.terminate()


def test_a_killed_template_is_replaced_and_its_roles_go_on(template: Template, tmp_path: Path) -> None:
    """Roles do not depend on the template; the next fork finds a new one."""
    before = template.fork(["say", str(tmp_path / "before")], {})
    first = template.pid
    os.kill(first, signal.SIGKILL)
    after = template.fork(["say", str(tmp_path / "after")], {})
    assert template.pid != first
    assert int(_text(tmp_path / "after")[2]) == template.pid
    assert before.poll() is None
    assert not template.revive()
    os.kill(template.pid, signal.SIGKILL)
    os.waitid(os.P_PID, template.pid, os.WEXITED | os.WNOWAIT)
    assert template.revive()
    for process in (before, after):
        process.terminate()
        assert process.wait(WAIT_S)
        assert process.poll() == -signal.SIGTERM


def test_a_role_stops_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    """No worker goes on answering without a supervisor."""
    supervisor = (
        "import os, sys, time\nfrom annul.roles import Template\n"
        f"template = Template([sys.executable, '-c', {ROLE!r}], os.environ, [])\n"
        f"template.fork(['say', {str(tmp_path / 'said')!r}], {{}})\ntime.sleep(600)\n"
    )
    running = subprocess.Popen([sys.executable, "-c", supervisor])
    descriptor = os.pidfd_open(int(_text(tmp_path / "said")[0]))
    running.kill()
    running.wait()
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        try:
            signal.pidfd_send_signal(descriptor, signal.Signals(0))
        except (ProcessLookupError, ValueError):
            break
        time.sleep(0.01)
    else:
        pytest.fail("the role goes on without a supervisor")
    os.close(descriptor)


def test_orphans_are_reaped_and_our_own_children_are_left_to_who_waits_for_them(template: Template, tmp_path: Path) -> None:
    """What a killed role had started does not stay as a zombie; nobody's exit code is taken away."""
    role = template.fork(["leave", str(tmp_path / "orphan")], {})
    assert role.wait(WAIT_S)
    orphan = int(_text(tmp_path / "orphan")[0])
    deadline = time.monotonic() + WAIT_S
    while Path(f"/proc/{orphan}").exists():
        assert time.monotonic() < deadline
        reap_orphans([template.pid])
        time.sleep(0.01)
    ours = subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"])
    os.waitid(os.P_PID, ours.pid, os.WEXITED | os.WNOWAIT)
    reap_orphans([])
    assert ours.wait() == 7


def test_a_role_that_dies_at_once_is_started_later_and_later() -> None:
    """A steady role comes back without delay; one that cannot live does not keep the machine busy."""
    role = Role("worker-0", [], started_at=100.0)
    role.died(106.0)
    assert role.start_at == 106.0
    pauses = []
    for _ in range(8):
        role.started_at = 200.0
        role.died(200.1)
        pauses.append(role.start_at - 200.1)
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(0.1)
    assert pauses[-1] == pytest.approx(2.0)
