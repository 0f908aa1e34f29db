"""Put small faults into modules and see whether the tests notice: `make mutate`, by default the modules changed since main.

    python scripts/mutate.py [MODULE …] [--sample N] [--seed N] [--tests FILE …] [--against BRANCH] [--least SHARE]

A module is named by its path below src/annul (`registry/answering/quota.py`). The faults are cosmic-ray's. A random sample of
them is tried, in a copy of the working tree, by the tests that name the module. What survives is printed with its place: it is
equivalent, or a test is missing. Annotations are left alone: nothing reads them while a program runs.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkItem, WorkResult

ROOT = Path(__file__).parents[1]
SLOW = ("tests/scenarios/", "tests/drills/", "tests/fuzz/", "tests/cli/")
"""Not asked, unless named by --tests: they start whole registers, for each fault anew."""
TIMEOUT_S = 300.0
"""A fault that makes the tests run for ever is noticed then."""

Span = tuple[int, int]


def main() -> int:
    """Return 1 when a module's share of noticed faults is below --least."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("modules", nargs="*")
    asked.add_argument("--sample", type=int, default=40)
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--tests", action="append", default=[])
    asked.add_argument("--against", default="main")
    asked.add_argument("--least", type=float, default=0.0)
    options = asked.parse_args()
    modules = options.modules or changed(options.against)
    if not modules:
        print(f"No module below src/annul differs from {options.against}; name some.")
    low = False
    with tempfile.TemporaryDirectory(prefix="annul-mutate-") as folder:
        copy = Path(folder) / "annul"
        copied(copy)
        for module in modules:
            tests = options.tests or tests_of(module)
            if not tests:
                print(f"{module}: no test names it")
                low = True
                continue
            chance = random.Random(options.seed)  # noqa: S311 - a sample that can be drawn again
            low |= tried(copy, module, tests, chance, options.sample) < options.least
    return int(low)


def changed(against: str) -> list[str]:
    """Return the modules that differ from a branch, committed or not."""
    names = _git("diff", "--name-only", "--diff-filter=d", against, "--", "src/annul/*.py").split()
    return [name.removeprefix("src/annul/") for name in names if not name.endswith("__init__.py")]


def copied(target: Path) -> None:
    """Copy what git knows of, or would: faults are never put into the working tree itself."""
    for name in _git("ls-files", "-z", "--cached", "--others", "--exclude-standard").split("\0"):
        if name and (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target / name)


def tests_of(module: str) -> list[str]:
    """Return the test files that import a module, or are named after it."""
    path = Path(module)
    package, name = ".".join(("annul", *path.parts[:-1])), path.stem
    words = (f"{package}.{name} ", f"from {package} import {name}", f"import {package}.{name}")
    found = [
        file
        for file in sorted((ROOT / "tests").rglob("test_*.py"))
        if file.stem == f"test_{name}" or any(word in file.read_text("utf-8") for word in words)
    ]
    names = [str(file.relative_to(ROOT)) for file in found]
    return [each for each in names if not each.startswith(SLOW)]


def tried(copy: Path, module: str, tests: list[str], chance: random.Random, sample: int) -> float:
    """Try a sample of a module's faults; print what survived, and return the share that was noticed."""
    source = copy / "src" / "annul" / module
    command = f"{sys.executable} -m pytest -q -x -p no:cacheprovider {' '.join(tests)}"
    config, session = copy.with_name("session.toml"), copy.with_name("session.sqlite")
    config.write_text(
        f'[cosmic-ray]\nmodule-path = "{source}"\ntimeout = {TIMEOUT_S}\nexcluded-modules = []\ntest-command = "{command}"\n'
        '[cosmic-ray.distributor]\nname = "local"\n',
        encoding="utf-8",
    )
    session.unlink(missing_ok=True)
    _cosmic_ray(copy, "baseline", str(config))
    _cosmic_ray(copy, "init", str(config), str(session))
    with use_db(str(session), WorkDB.Mode.open) as db:
        faults = [item for item in db.work_items if not _inside(item, _annotations(source))]
        kept = {item.job_id for item in chance.sample(faults, min(sample, len(faults)))}
        for item in list(db.work_items):
            if item.job_id not in kept:
                db.set_result(item.job_id, WorkResult(WorkerOutcome.SKIPPED))
    _cosmic_ray(copy, "exec", str(config), str(session))
    with use_db(str(session), WorkDB.Mode.open) as db:
        done = dict(db.results)
        results = [(item, done[item.job_id]) for item in db.work_items if item.job_id in kept and item.job_id in done]
    survived = [(item, result) for item, result in results if result.test_outcome is TestOutcome.SURVIVED]
    share = 1.0 - len(survived) / max(1, len(results))
    print(f"{module}: {len(results) - len(survived)} of {len(results)} noticed ({share:.0%}); {len(faults)} faults in all")
    for item, result in survived:
        line = item.mutations[0].start_pos[0]
        told = [row for row in (result.diff or "").splitlines() if row[:1] in "+-" and row[:3] not in ("+++", "---")]
        print("\n".join([f"  src/annul/{module}:{line}", *(f"    {row}" for row in told)]))
    return share


def _annotations(source: Path) -> list[tuple[Span, Span]]:
    """Return where the annotations of a module begin and end: (line, column) pairs."""
    nodes: Iterable[ast.AST] = ast.walk(ast.parse(source.read_text("utf-8")))
    found: list[tuple[Span, Span]] = []
    for node in nodes:
        for noted in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if isinstance(noted, ast.expr):
                end = (noted.end_lineno or noted.lineno, noted.end_col_offset or 0)
                found.append(((noted.lineno, noted.col_offset), end))
    return found


def _inside(item: WorkItem, spans: list[tuple[Span, Span]]) -> bool:
    place = item.mutations[0].start_pos
    return any(start <= place < end for start, end in spans)


def _cosmic_ray(copy: Path, *arguments: str) -> None:
    environment = dict(os.environ, PYTHONPATH=str(copy / "src"), PYTHONDONTWRITEBYTECODE="1")  # no stale code of a fault before
    done = subprocess.run(
        [sys.executable, "-m", "cosmic_ray.cli", *arguments],
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(
            f"cosmic-ray {arguments[0]} failed: the tests are not green without a fault?\n{done.stdout}{done.stderr}"
        )


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout


if __name__ == "__main__":
    sys.exit(main())
