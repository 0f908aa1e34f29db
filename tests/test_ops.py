"""The operator's files are about the counts annul really has: names, labels and their values."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from prometheus_client import REGISTRY, Counter, Gauge, Histogram

from annul import metrics
from annul.cli import COMMANDS
from annul.web.door.checkpath import BATCH_BYTES_MAX
from annul.web.routes import ROUTES

OPS = Path(__file__).parents[1] / "ops"
FOREIGN = {"up", "job"}
"""What Prometheus itself adds."""


def _expressions() -> Iterator[tuple[str, str]]:
    rules = yaml.safe_load((OPS / "prometheus" / "annul.rules.yml").read_text(encoding="utf-8"))
    for group in rules["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    for panel in json.loads((OPS / "grafana" / "annul.json").read_text(encoding="utf-8"))["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def _known() -> dict[str, set[str]]:
    """Return every time series annul can have -> its labels."""
    assert metrics.CHECKS
    known: dict[str, set[str]] = {}
    for collector in REGISTRY._collector_to_names:  # the client offers no other way to see counts that have no child yet
        labels = set(getattr(collector, "_labelnames", ()))
        for name in REGISTRY._collector_to_names[collector]:
            known[name] = labels | ({"le"} if name.endswith("_bucket") else set())
    return known


@pytest.mark.parametrize(("title", "expression"), list(_expressions()))
def test_an_expression_asks_for_counts_and_labels_that_exist(title: str, expression: str) -> None:
    """A renamed count would leave an alert silent: it fails here instead."""
    known = _known()
    names = set(re.findall(r"\bannul_[a-z_]+", expression))
    assert names or "up" in expression
    assert names <= set(known), (title, names - set(known))
    allowed = set().union(*(known[name] for name in names)) | FOREIGN
    used = set(re.findall(r"([a-z_]+)\s*(?:=~|!~|!=|=)\s*\"", expression))
    for listed in re.findall(r"\bby \(([^)]*)\)", expression):
        used |= {label.strip() for label in listed.split(",")}
    assert used <= allowed, (title, used - allowed)


def test_every_alert_says_what_is_wrong_and_the_next_step() -> None:
    """Somebody reads it at night."""
    rules = yaml.safe_load((OPS / "prometheus" / "annul.rules.yml").read_text(encoding="utf-8"))
    names = [rule["alert"] for group in rules["groups"] for rule in group["rules"]]
    assert len(names) == len(set(names)) >= 10
    for group in rules["groups"]:
        for rule in group["rules"]:
            assert set(rule["annotations"]) == {"summary", "description", "next"}, rule["alert"]
            assert rule["labels"]["severity"] in ("page", "ticket")


def test_every_alert_has_its_line_in_the_book_for_the_night() -> None:
    """The book names all alerts with their severity, and none that is gone."""
    rules = yaml.safe_load((OPS / "prometheus" / "annul.rules.yml").read_text(encoding="utf-8"))
    alerts = {rule["alert"]: rule["labels"]["severity"] for group in rules["groups"] for rule in group["rules"]}
    book = (OPS.parent / "docs" / "operate.md").read_text(encoding="utf-8")
    assert dict(re.findall(r"^\| `(Annul\w+)` \| (page|ticket) \| .", book, re.MULTILINE)) == alerts


def test_every_count_is_kept_by_somebody() -> None:
    """A count that nothing moves would keep its alert silent for ever."""
    source = "".join(
        file.read_text(encoding="utf-8") for file in (OPS.parent / "src").rglob("*.py") if file.name != "metrics.py"
    )
    named = [name for name, value in vars(metrics).items() if isinstance(value, (Counter, Gauge, Histogram))]
    assert len(named) >= 15
    silent = [name for name in named if not re.search(rf"metrics\.{name}\b[^=]*?\.(inc|set|observe|labels)\(", source)]
    assert silent == []


def test_a_number_that_can_fall_is_that_of_its_last_writer() -> None:
    """The largest of all processes, dead ones included, would keep an alert firing after everything is well again."""
    gauges = {name: value._multiprocess_mode for name, value in vars(metrics).items() if isinstance(value, Gauge)}
    assert {name for name, mode in gauges.items() if mode == "max"} == {"POSITION", "SEALED"}  # these only grow
    assert set(gauges.values()) == {"max", "mostrecent"}


def test_the_five_numbers_of_oversight_stand_first_on_the_dashboard() -> None:
    """Operator and supervisor look at the same five numbers."""
    panels = json.loads((OPS / "grafana" / "annul.json").read_text(encoding="utf-8"))["panels"]
    assert [panel["type"] for panel in panels[:5]] == ["stat"] * 5
    assert len({panel["id"] for panel in panels}) == len(panels)


# -- proxy and service -------------------------------------------------------------------------------------------------------


def test_the_proxy_lets_through_what_annul_takes() -> None:
    """The largest body of any route passes; the one page that takes more has a location of its own."""
    text = (OPS / "nginx" / "annul.conf").read_text(encoding="utf-8")
    default, streamed = re.findall(r"client_max_body_size\s+(\w+);", text)
    larger = {route.path for route in ROUTES if route.body_bytes_max > int(default.removesuffix("m")) << 20}
    assert larger == set(re.findall(r"location = (/desk\S*)", text))
    assert streamed == "0"
    assert int(default.removesuffix("m")) << 20 >= BATCH_BYTES_MAX


def test_nginx_reads_its_file(tmp_path: Path) -> None:
    """The file is one that nginx itself takes, with a certificate in place."""
    text = (OPS / "nginx" / "annul.conf").read_text(encoding="utf-8")
    for name in ("fullchain.pem", "privkey.pem"):
        text = text.replace(f"/etc/ssl/annul/{name}", str(tmp_path / name))
    asked = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x"]
    made = [*asked, "-keyout", str(tmp_path / "privkey.pem"), "-out", str(tmp_path / "fullchain.pem")]
    subprocess.run(made, check=True, capture_output=True)
    text = text.replace("/var/log/nginx/annul.log", str(tmp_path / "access.log"))
    (tmp_path / "nginx.conf").write_text(f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\n{text}\n}}\n")
    tool = shutil.which("nginx", path="/usr/sbin:/usr/bin")
    if tool is None:
        pytest.skip("nginx is not installed")
    asked = [tool, "-t", "-q", "-e", str(tmp_path / "error.log"), "-c", str(tmp_path / "nginx.conf")]
    told = subprocess.run(asked, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr


@pytest.mark.parametrize("unit", ["annul.service", "annul-backup.service", "annul-backup.timer"])
def test_systemd_reads_a_unit(unit: str, tmp_path: Path) -> None:
    """Every line is one that systemd knows, and the commands are annul's."""
    text = (OPS / "systemd" / unit).read_text(encoding="utf-8")
    commands = re.findall(r"^ExecStart=/opt/annul/bin/annul (\S+)", text, re.M)
    assert set(commands) <= set(COMMANDS)
    assert bool(commands) == unit.endswith(".service")
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("systemd is not installed")
    for other in (OPS / "systemd").iterdir():
        (tmp_path / other.name).write_text(other.read_text(encoding="utf-8").replace("/opt/annul/bin/annul", sys.executable))
    told = subprocess.run([tool, "verify", "--man=no", str(tmp_path / unit)], capture_output=True, text=True, check=False)
    about = [line for line in told.stderr.splitlines() if unit.partition(".")[0] in line]
    assert about == []


def test_the_service_manager_hears_how_annul_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One datagram with a line for each fact, on the socket that systemd names; without one nothing is said."""
    from annul.supervisor import _tell_service

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        _tell_service("READY=1", "STATUS=answers")
        assert manager.recv(1000) == b"READY=1\nSTATUS=answers"
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
        _tell_service("WATCHDOG=1")
