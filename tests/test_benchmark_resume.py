import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import page
from benchmarks.bars import RESUMED, bars_of
from benchmarks.peers.dying import Death, Training
from benchmarks.results import absolute, line, write_json
from benchmarks.resume import CONTENDERS, _counted, chosen

FIELDS = ["name", "value", "unit", "peer", "peer_value", "ratio", "limit", "bar", "passed"]
FIELDS += ["repeats", "spread", "machine"]


@pytest.fixture(scope="module")
def job(packed, tmp_path_factory):
    return Training(tmp_path_factory.mktemp("runs"), packed("agegender", count=180))


def test_kills_are_chosen_by_a_seed_over_phases_epochs_and_kinds(job):
    deaths = chosen(job, 25, 0)
    assert deaths == chosen(job, 25, 0)
    assert deaths != chosen(job, 25, 1)
    assert len(set(deaths)) == 25
    words = [death.event.split() for death in deaths]
    assert {kind for kind, *_place in words} == {"step", "save", "validation", "epoch", "begin"}
    assert {phase for _kind, phase, *_place in words} == {"warm_up", "fine_tuning"}
    assert all(0 < death.after < 0.06 for death in deaths if death.event.startswith("save"))


def test_more_kills_than_there_are_moments_take_some_twice(job):
    assert len(chosen(replace(job, epochs=1), 40, 0)) == 40


def test_kills_are_counted_for_each_peer_in_all_and_by_kind(tmp_path):
    steps, save = [Death("step warm_up 1 1"), Death("step warm_up 1 2")], Death("save warm_up 1", 0.01)
    deaths = [*steps, save]
    survived = {name: set(deaths) for name in CONTENDERS} | {"fit + BackupAndRestore, every 3 steps": {steps[1]}}
    results = [absolute(RESUMED, "%", (100.0,)), *_counted(survived, deaths)]
    shown = [(result.name.split(":")[-1], result.value, result.peer_value, result.repeats) for result in results[1:]]
    assert shown == [
        ("kills after which the weights are those of the unbroken training", 3, 3, 3),
        ("kills after which the weights are those of the unbroken training", 3, 1, 3),
        ("kills after which the weights are those of the unbroken training", 3, 3, 3),
        (" warm_up 1 1; warm_up 1 2", 2, 2, 2),
        (" warm_up 1 1; warm_up 1 2", 2, 1, 2),
        (" warm_up 1 1; warm_up 1 2", 2, 2, 2),
        (" warm_up 1 + 0.01 s", 1, 1, 1),
        (" warm_up 1 + 0.01 s", 1, 0, 1),
        (" warm_up 1 + 0.01 s", 1, 1, 1),
    ]
    assert line(results[2]).endswith("1 kills, Facet        3: 3 kills")
    write_json(tmp_path / "resume.json", results)
    text = page.rendered("<!-- figures: resume -->\n<!-- end -->\n", tmp_path)
    assert "3 kills." in text
    assert "| fit + BackupAndRestore, every 3 steps | 1 |  |  |  |  |" in text
    assert f"| {RESUMED} | 100 % | 100–100 | ≥ 100 | yes |" in text


def test_one_lost_kill_misses_the_bar():
    (bar,) = bars_of(RESUMED)
    assert [bar.holds(100 * survived / 25) for survived in (24, 25)] == [False, True]


def test_no_kills_are_refused(facet):
    answer = facet("benchmark", "resume", "--kills", 0)
    assert (answer.code, answer.stderr) == (1, "facet: --kills 0: expected at least 1\n")


@pytest.mark.long
def test_facet_survives_and_the_results_have_the_fixed_form(facet, tmp_path):
    out = tmp_path / "resume.json"
    answer = facet("benchmark", "resume", "--kills", 2, "--out", out, "--json", "--check", timeout=1500)
    assert answer.code == 0, answer.stderr
    entries = json.loads(Path(out).read_text())
    assert entries == json.loads(answer.stdout)
    assert [list(entry) for entry in entries] == [FIELDS] * len(entries)
    assert (entries[0]["name"], entries[0]["value"], entries[0]["passed"]) == (RESUMED, 100, True)
    assert {entry["peer"] for entry in entries[1:]} == set(CONTENDERS) - {"Facet"}
    assert {entry["value"] for entry in entries[1:4]} == {2}
