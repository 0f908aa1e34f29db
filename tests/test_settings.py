"""Settings: documented, overridable, refused when wrong."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from annul.errors import UnsafeSettings
from annul.settings import Settings, load

DOCS = Path(__file__).parent.parent / "docs" / "operate.md"


def test_every_setting_is_documented_with_its_default():
    """The table of docs/operate.md and the Settings struct name the same settings and defaults."""
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| (\S+) \|", DOCS.read_text(encoding="utf-8"), re.M))
    rows = {name: value for name, value in rows.items() if name in Settings.__struct_fields__}
    defaults = {}
    for name, value in zip(Settings.__struct_fields__, Settings.__struct_defaults__, strict=True):
        text = str(value).lower() if isinstance(value, bool) else str(value)
        defaults[name] = f"`{text}`" if text else "empty"
    assert rows == defaults


def test_environment_wins_over_file_and_arguments_over_both(tmp_path):
    """The later source wins: file, environment, arguments."""
    (tmp_path / "annul.toml").write_text("port = 1\nworkers = 3\nlog_level = 'debug'\n")
    settings = load({"ANNUL_HOME": str(tmp_path), "ANNUL_PORT": "2", "ANNUL_WORKERS": "5"}, port=9)
    assert (settings.port, settings.workers, settings.log_level) == (9, 5, "debug")


@pytest.mark.parametrize(("name", "value"), [("PORT", "70000"), ("WORKERS", "0"), ("LOG_LEVEL", "loud"), ("HTTPS", "perhaps")])
def test_wrong_setting_is_refused_by_name(tmp_path, name, value):
    """A value out of range names the setting and where to read about it."""
    with pytest.raises(UnsafeSettings) as caught:
        load({"ANNUL_HOME": str(tmp_path), f"ANNUL_{name}": value})
    assert name.lower() in str(caught.value)
    assert "operate.md" in str(caught.value)


def test_unknown_setting_in_the_file_is_refused(tmp_path):
    """A misspelt setting is not ignored."""
    (tmp_path / "annul.toml").write_text("prot = 1\n")
    with pytest.raises(UnsafeSettings, match="prot"):
        load({"ANNUL_HOME": str(tmp_path)})
