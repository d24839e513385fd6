import pytest

from benchmarks import bars, export, pack, page, read, resume, train
from benchmarks import contenders as who
from benchmarks.bars import BARS, COLD, PACK_RAW, RAW_NUMPY, RAW_TENSOR, SIZE, Bar
from benchmarks.export_models import SUBJECTS
from benchmarks.results import Measured, absolute, compared, line, write_json
from benchmarks.rounds import Settings
from hdf5_helper.errors import FacetError


def test_a_ratio_is_the_median_of_the_rounds_ratios():
    measured = [Measured("Facet", (10.0, 30.0, 20.0)), Measured(who.TAKE.name, (10.0, 10.0, 40.0))]
    (result,) = compared(RAW_NUMPY, "images/s", measured, [who.TAKE.name])
    assert (result.value, result.peer_value, result.ratio, result.limit) == (20.0, 10.0, 1.0, 10.0)
    assert (result.bar, result.passed, result.repeats) == ("≥ 0.75", True, 3)
    assert result.spread == {"value": (10.0, 30.0), "peer_value": (10.0, 40.0), "ratio": (0.5, 3.0)}


def test_the_fastest_form_of_a_peer_carries_its_bar():
    figures = {who.TFRECORD: 40.0, who.FIXED_LENGTH: 50.0, who.MEMMAP: 90.0}
    peers = [Measured(peer.name, (figure,)) for peer, figure in figures.items()]
    results = compared(RAW_TENSOR, "images/s", [Measured("Facet", (100.0,)), *peers])
    shown = [(result.peer, result.ratio, result.bar, result.passed) for result in results]
    assert shown == [
        (who.TFRECORD.name, 2.5, None, None),
        (who.FIXED_LENGTH.name, 2.0, "≥ 6", False),
        (who.MEMMAP.name, 100 / 90, None, None),
    ]


def test_of_two_limits_that_both_bind_the_slower_counts():
    names = [who.RESIZING.name, who.WRITE_PIXELS.name, who.FFCV_RAW.name, who.FLOAT_WRITER.name]
    peers = [Measured(name, (figure,)) for name, figure in zip(names, (80.0, 90.0, 20.0, 5.0), strict=True)]
    results = compared(PACK_RAW, "images/s", [Measured("Facet", (72.0,)), *peers], names[:2], all_bind=True)
    assert [result.bar for result in results] == ["≥ 0.85", None, "≥ 3", "≥ 10"]
    assert {result.limit for result in results} == {80.0}


def test_an_absent_peer_keeps_its_bar_open_and_says_why():
    measured = [Measured("Facet", (1.0,)), Measured(who.FFCV.name, absent="absent: no environment ffcv in peers")]
    (result,) = compared(RAW_NUMPY, "images/s", measured)
    assert result.peer == "FFCV (absent: no environment ffcv in peers)"
    assert (result.peer_value, result.ratio, result.bar, result.passed) == (None, None, "≥ 1.2", None)
    assert line(result) == result.peer


@pytest.mark.parametrize(("value", "passed"), [(1.02, True), (1.021, False)])
def test_an_upper_bar_is_held_against_the_value(value, passed):
    result = absolute(SIZE, "×", (value,))
    assert (result.value, result.bar, result.passed) == (value, "≤ 1.02", passed)


def test_what_could_not_be_measured_has_no_verdict():
    result = absolute(SIZE, "×", (), "absent: no images")
    assert (result.value, result.peer, result.passed) == (None, "(absent: no images)", None)


def test_where_facet_could_not_be_measured_one_line_says_why():
    measured = [Measured("Facet", absent="not measured: no disk"), Measured(who.DD.name, (100.0,))]
    (result,) = compared(COLD, "MB/s", measured, [who.DD.name])
    assert (result.name, result.value, result.peer) == (COLD, None, "(not measured: no disk)")
    assert (result.bar, result.passed) == ("≥ 0.85", None)
    assert line(result) == "(not measured: no disk)"


@pytest.mark.parametrize("measures", [read.MEASURES, pack.MEASURES])
def test_every_measure_can_be_asked_for_by_a_part_of_its_name(tmp_path, measures):
    asked = [name for name in measures if Settings(tmp_path, only=name[1:-1]).check_only(measures) is None]
    assert asked == list(measures)


def test_the_measures_are_those_that_have_bars_or_groups():
    named = {*read.MEASURES, *pack.MEASURES, *train.MEASURES, *resume.MEASURES, *export.MEASURES}
    assert {bar.measure for bar in BARS} - named == set()


def test_the_matrix_has_all_backbones_that_are_named():
    assert tuple(subject.name for subject in SUBJECTS) == bars.EXPORTED


def test_asking_for_no_measure_is_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(FacetError) as error:
        Settings(tmp_path, only="pack raw 150x150").check_only(pack.MEASURES)
    assert str(error.value).startswith("--only 'pack raw 150x150': is in the name of no measure, expected one of ")
    assert str(error.value).endswith("(did you mean 'pack raw 150×150'?)")


def test_every_bar_has_its_contenders_measured():
    groups = {group.measure: {*group.limits, *group.peers} for group in (*read.GROUPS, read.ORIGINALS)}
    groups |= {name: {*limits, *contenders} for name, _task, limits, contenders in pack.GROUPS}
    groups |= {name: set(contenders) for name, contenders in train.GROUPS}
    groups[read.bars.COLD] = {who.DD}
    groups |= {bars.export_speed(name): {who.KERAS_FUNCTION} for name in bars.EXPORTED}
    assert [bar for bar in BARS if not groups.get(bar.measure, set()) >= set(bar.peers)] == []


def test_a_measure_names_each_contender_once():
    groups = [[who.FACET, *group.limits, *group.peers] for group in read.GROUPS]
    groups += [[*limits, *contenders] for _name, _task, limits, contenders in pack.GROUPS]
    assert [group for group in groups if len({contender.name for contender in group}) < len(group)] == []


def test_a_bar_holds_at_its_bound():
    assert Bar("a", at_least=2).holds(2)
    assert not Bar("a", at_least=2).holds(1.999)
    assert Bar("a", at_most=2).holds(2)


# ---- the page


@pytest.mark.parametrize("path", page.PAGES, ids=lambda path: path.name)
def test_the_pages_show_the_committed_figures_and_no_others(path):
    text = path.read_text(encoding="utf-8")
    assert page.rendered(text, page.RESULTS) == text


def test_tables_are_made_of_results(tmp_path):
    measured = [
        Measured("Facet", (100.0, 120.0)),
        Measured(who.TAKE.name, (200.0, 240.0)),
        Measured("other", absent="failed: x"),
    ]
    results = [*compared(RAW_NUMPY, "images/s", measured, [who.TAKE.name]), absolute(SIZE, "×", (1.01,))]
    write_json(tmp_path / "read.json", results)
    shown = page.rendered("a\n<!-- figures: read -->\nold\n<!-- end -->\nb\n", tmp_path)
    lines = [text for text in shown.splitlines() if text and "Measured on" not in text]
    assert lines == [
        "a",
        "<!-- figures: read -->",
        "**raw 150×150, shuffled, to numpy**: Facet 110 images/s (100–120); the machine's limit: 220",
        "| beside | images/s | lowest–highest | Facet over it | bar | holds |",
        "|---|---|---|---|---|---|",
        "| np.take from memory | 220 | 200–240 | 0.50 | ≥ 0.75 | **no** |",
        "| other (failed: x) | – |  |  |  |  |",
        "| measure | Facet | lowest–highest | bar | holds |",
        "|---|---|---|---|---|",
        "| encoded file over its images' bytes | 1.01 × | 1.01–1.01 | ≤ 1.02 | yes |",
        "Missed bars, and what the machine itself could reach:",
        f"- {RAW_NUMPY}, against np.take from memory: 0.50, asked ≥ 0.75; the machine's limit is 1.00 times this peer",
        "<!-- end -->",
        "b",
    ]
    assert page.rendered(shown, tmp_path) == shown


def test_a_page_without_results_says_so(tmp_path):
    shown = page.rendered("<!-- figures: pack -->\nold\n<!-- end -->\n", tmp_path)
    assert shown == "<!-- figures: pack -->\nNot measured yet.\n<!-- end -->\n"
