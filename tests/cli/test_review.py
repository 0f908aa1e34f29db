"""The clean-up by commands alone: the demo's queue, a run, a decision, a second officer, an undo, figures."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.conftest import Annul


def test_the_demo_has_work_for_the_review_desk(annul: Annul) -> None:
    """Suspicions of every cause, listed without details; one page after the other; unknown filters are refused."""
    causes = {cause: annul("review", "list", "--cause", cause, "--json").json for cause in ("wrong", "duplicate", "false")}
    assert all(found["total"] > 0 for found in causes.values())
    first = annul("review", "list", "--limit", "2", "--json").json
    second = annul("review", "list", "--limit", "2", "--after", first["after"], "--json").json
    assert not {each["id"] for each in first["suspicions"]} & {each["id"] for each in second["suspicions"]}
    assert annul("review", "list", "--cause", "nonsense").code == 2


def test_a_suspicion_from_evidence_to_undo(annul: Annul, tmp_path: Path) -> None:
    """Shown for a case with what contradicts, proposed, confirmed by another officer, taken back."""
    found = annul("review", "list", "--rule", "sex", "--json").json["suspicions"][0]
    shown = annul("review", "show", found["id"], "--case", "visit 1")
    assert "The number and the record give different sexes." in shown.out
    assert "! sex" in shown.out
    looked = annul("review", "show", found["id"], "--case", "visit 1", "--json").json
    number_says = next(told["value"] for told in looked["evidence"][0]["told"] if told["label"] == "Sex by the number")
    correction = tmp_path / "correction.json"
    correction.write_text(json.dumps({"sex": number_says}))
    words = ("correct_entry", "--correction", correction, "--cancel-documents", "--grounds", "file 7", "--json")
    made = annul("review", "decide", found["id"], *words).json
    assert made["state"] == "waiting"
    assert annul("review", "confirm", made["decision"], "--as", "issuer").code == 1
    assert made["decision"] in annul("review", "waiting").out
    assert annul("review", "confirm", made["decision"], "--json").json["state"] == "in_force"
    assert annul("review", "undo", made["decision"], "--grounds", "wrong file", "--json").json["state"] == "undone"


def test_a_run_beside_a_running_annul_knows_what_it_knew(annul: Annul) -> None:
    """Run again: nothing new, the same known; it says its stages on standard error and figures list it."""
    before = annul("review", "figures", "--json").json["runs"]
    made = annul("review", "run", "--processes", "1", "--json")
    assert made.code == 0, made.err
    assert made.json["known"] > 0
    assert "Reading persons" in made.err
    assert len(annul("review", "figures", "--json").json["runs"]) == len(before) + 1
