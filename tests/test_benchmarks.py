import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import cv2
import h5py
import pytest

from benchmarks import contenders as who
from benchmarks.bars import AMPLIFICATION, COLD, ORIGINALS, PSNR, RAW_NUMPY, RAW_ORDER, bars_of
from benchmarks.contenders import Contender
from benchmarks.load import usage
from benchmarks.peers.job import made
from benchmarks.peers.page_cache import drop, resident
from benchmarks.processes import AbsentError, Process
from benchmarks.read import measure_reading
from benchmarks.rounds import Settings, measure
from benchmarks.workload import prepare
from hdf5_helper.cores import available_cores
from hdf5_helper.errors import FacetError
from hdf5_helper.progress import Silent

COUNT = 128
QUICK = ("--count", COUNT, "--repeats", 2, "--seconds", 0)
FIELDS = ["name", "value", "unit", "peer", "peer_value", "ratio", "limit", "bar", "passed"]
FIELDS += ["repeats", "spread", "machine"]


@pytest.fixture(scope="session")
def work(tmp_path_factory):
    folder = tmp_path_factory.mktemp("benchmark")
    prepare(folder, COUNT, Silent())
    return folder


# ---- processes


def state(number):
    return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]


def test_contenders_take_turns_and_the_others_are_stopped(work):
    with (
        Process(who.MEMMAP, ("raw", "numpy"), work, peers=None, seconds=0) as first,
        Process(who.TAKE, ("raw", "numpy"), work, peers=None, seconds=0) as second,
    ):
        assert [state(process.warm_up["process"]) for process in (first, second)] == ["T", "T"]
        assert [first.go()["amount"], second.go()["amount"]] == [COUNT, COUNT]
        assert [state(process.warm_up["process"]) for process in (first, second)] == ["T", "T"]


def test_a_process_ends_with_all_that_it_started(work):
    with Process(who.MEMMAP, ("raw", "numpy"), work, peers=None, seconds=0) as process:
        number = process.warm_up["process"]
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_a_stopped_process_ends_with_a_killed_caller(work):
    code = (
        "import sys, time; from pathlib import Path; from benchmarks import contenders as who;"
        "from benchmarks.processes import Process;"
        "process = Process(who.MEMMAP, ('raw', 'numpy'), Path(sys.argv[1]), peers=None, seconds=0);"
        "print(process.warm_up['process'], flush=True); time.sleep(60)"
    )
    words = [sys.executable, "-c", code, str(work)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent) as caller:
        number = int(caller.stdout.readline())
        caller.kill()
    for _try in range(100):
        if not Path(f"/proc/{number}").exists() or state(number) == "Z":
            return
        time.sleep(0.05)
    pytest.fail(f"process {number} is still there")


def test_a_repeat_lasts_as_long_as_asked(work):
    with Process(who.MEMMAP, ("raw", "numpy"), work, peers=None, seconds=0.3) as process:
        answer = process.go()
    assert answer["seconds"] >= 0.3
    assert answer["amount"] % COUNT == 0


def test_work_of_others_is_told(work):
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        with Process(who.MEMMAP, ("raw", "numpy"), work, peers=None, seconds=0.5) as process:
            elsewhere = process.go()["elsewhere"]
    finally:
        busy.kill()
        busy.wait()
    assert 0.3 < elsewhere < available_cores() + 0.5


def test_a_contenders_own_work_is_told_by_its_session(work):
    with Process(who.MEMMAP, ("raw", "numpy"), work, peers=None, seconds=0.5) as process:
        before = usage(process.warm_up["process"])
        process.go()
        after = usage(process.warm_up["process"])
    assert 0.2 < after.session - before.session < 1


def test_a_contender_without_its_environment_is_absent(work, tmp_path):
    with pytest.raises(AbsentError, match=f"^absent: no environment ffcv in {tmp_path}"):
        Process(who.FFCV, ("raw", "numpy"), work, peers=tmp_path, seconds=0)


def test_a_contender_that_fails_is_absent_with_its_last_words(work):
    with pytest.raises(AbsentError, match=r"^failed: KeyError: 'no such form'"):
        Process(Contender("h5py", "h5py_reader", "no such form"), ("raw", "numpy"), work, peers=None, seconds=0)


def test_facet_itself_must_not_fail(work):
    with pytest.raises(FacetError, match=r"Facet failed: .*shuffle 'blokcs'"):
        Process(Contender("Facet", "facet_reader", "blokcs"), ("raw", "numpy"), work, peers=None, seconds=0)


def test_one_that_dies_later_says_its_last_words(work):
    with Process(who.MEMMAP, ("raw", "numpy"), work, peers=None, seconds=0) as process:
        os.kill(process.warm_up["process"], signal.SIGKILL)
        (work / "log-array_reader-memmap-raw-numpy.txt").write_text("first words\nMemoryError: none left\n")
        with pytest.raises(AbsentError, match=r"^failed: MemoryError: none left$"):
            process.go()


def test_facet_itself_must_not_die_later(work):
    with Process(who.FACET, ("raw", "numpy"), work, peers=None, seconds=0) as process:
        os.kill(process.warm_up["process"], signal.SIGKILL)
        with pytest.raises(FacetError, match=r"^Facet failed: exit code -9"):
            process.go()


class AfterTheFirstRound(Silent):
    """Does something when the first round is over."""

    def __init__(self, action):
        self.actions = [action]

    def advance(self, _count, _note=""):
        for action in self.actions:
            action()
        self.actions = []


def test_the_others_go_on_without_one_that_dies_between_rounds(work, tmp_path):
    spoilt = tmp_path / "work"
    shutil.copytree(work, spoilt, ignore=shutil.ignore_patterns("images", "classes"))
    # who maps a file that has become shorter dies of SIGBUS
    progress = AfterTheFirstRound(lambda: os.truncate(spoilt / "raw.npy", 1000))
    settings = Settings(spoilt, count=COUNT, repeats=3, seconds=0, progress=progress)
    facet, memmap, take = measure(("raw", "numpy"), (who.FACET, who.MEMMAP, who.TAKE), settings)
    assert [len(contender.figures) for contender in (facet, memmap, take)] == [3, 0, 3]
    assert memmap.absent == "failed: exit code -7"
    assert [facet.absent, take.absent] == ["", ""]


def test_an_interrupt_ends_the_waiting_at_once(work):
    code = (
        "import signal, sys; from pathlib import Path; from benchmarks import contenders as who;"
        "from benchmarks.processes import Process;"
        "signal.signal(signal.SIGINT, signal.default_int_handler);"  # a shell's background job is begun without it
        "process = Process(who.MEMMAP, ('raw', 'numpy'), Path(sys.argv[1]), peers=None, seconds=60);"
        "print(flush=True); process.go()"
    )
    words = [sys.executable, "-c", code, str(work)]
    root = Path(__file__).parent.parent
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=root, start_new_session=True
    ) as caller:
        caller.stdout.readline()
        time.sleep(0.2)
        caller.send_signal(signal.SIGINT)
        try:
            _out, said = caller.communicate(timeout=10)
        finally:
            caller.kill()
    assert said.splitlines()[-1] == "KeyboardInterrupt"


def test_decoding_alone_shows_facets_own_images(work):
    for task in ("decode", "resize"):
        shown = []
        for contender in (who.FACET, who.DECODING):
            with Process(contender, (task, "numpy"), work, peers=None, seconds=0) as process:
                shown.append(process.warm_up)
        facet, decoding = shown
        assert (decoding["shape"], decoding["dtype"]) == (facet["shape"], facet["dtype"])
        assert decoding["mean"] == pytest.approx(facet["mean"], abs=1e-9)


def test_every_reading_can_be_verified(work, tmp_path):
    spoilt = tmp_path / "work"
    spoilt.mkdir()
    shutil.copy(work / "raw.h5", spoilt)
    settings = Settings(spoilt, count=COUNT, repeats=2, seconds=0)
    (measured,) = measure(("raw", "numpy"), (who.ALWAYS,), settings)
    assert len(measured.figures) == 2
    with h5py.File(spoilt / "raw.h5") as file:
        place = file["images"].id.get_offset() or file["images"].id.get_chunk_info(0).byte_offset
    progress = AfterTheFirstRound(lambda: overwrite(spoilt / "raw.h5", place))
    with pytest.raises(FacetError, match=r"^Facet, verify=always failed: .*do not match their checksum"):
        measure(("raw", "numpy"), (who.ALWAYS,), replace(settings, progress=progress))


def overwrite(path, place):
    with open(path, "rb+") as file:
        file.seek(place)
        old = file.read(1)
        file.seek(place)
        file.write(bytes([old[0] ^ 255]))


def test_contenders_that_hand_out_other_images_are_refused(work, tmp_path):
    spoilt = tmp_path / "work"
    shutil.copytree(work, spoilt, ignore=shutil.ignore_patterns("images", "classes"))
    settings = Settings(spoilt, count=COUNT, repeats=1, seconds=0)
    measured = measure(("raw", "numpy"), (who.FACET, who.H5PY_INDEX, who.SLICES), settings)
    assert [len(contender.figures) for contender in measured] == [1, 1, 1]
    with h5py.File(spoilt / "plain.h5", "r+") as file:
        file["images"][...] = file["images"][...] // 2
    with pytest.raises(FacetError, match=r"h5py, loop of dset\[row\]: gives images of .* as Facet does"):
        measure(("raw", "numpy"), (who.FACET, who.H5PY_INDEX), settings)


def test_a_file_is_found_gone_from_the_page_cache(tmp_path):
    file = tmp_path / "file"
    file.write_bytes(os.urandom(1 << 20))
    assert resident(file) == 1.0
    drop(file)
    assert resident(file) == 0.0


@pytest.fixture
def shared_memory():
    root = Path("/dev/shm")  # noqa: S108
    if not os.access(root, os.W_OK) or "tmpfs /dev/shm " not in Path("/proc/mounts").read_text():
        pytest.skip("shared memory is no tmpfs here")
    with tempfile.TemporaryDirectory(dir=root) as folder:
        yield Path(folder)


def test_where_the_page_cache_cannot_be_dropped_cold_reading_is_not_measured(work, shared_memory):
    shutil.copytree(work, shared_memory, dirs_exist_ok=True)
    settings = Settings(shared_memory, count=COUNT, repeats=1, seconds=0, only="cold")
    (results,) = measure_reading(settings)
    why = f"(not measured: 100% of {shared_memory}/raw.h5 stays in the page cache, expected a folder on a disk)"
    shown = [(result.name, result.value, result.peer, result.passed) for result in results]
    assert shown == [(COLD, None, why, None), (AMPLIFICATION, None, why, None)]


# ---- the work folder


def test_what_was_made_by_halves_is_made_anew(tmp_path):
    def breaks(part):
        part.mkdir()
        (part / "half").write_bytes(b"x")
        raise InterruptedError

    for _try in range(2):
        with pytest.raises(InterruptedError):
            made(tmp_path / "tree", breaks)
        assert not (tmp_path / "tree").exists()
    made(tmp_path / "tree", lambda part: part.write_bytes(b"whole"))
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("tree", b"whole")]


@pytest.mark.parametrize("name", ["*part*", "images", "part-raw.npy"])
def test_a_killed_preparation_leaves_nothing_that_a_later_one_takes(work, tmp_path, name):
    code = (
        "import sys; from pathlib import Path; from benchmarks.workload import prepare;"
        f"from hdf5_helper.progress import Silent; prepare(Path(sys.argv[1]), {COUNT}, Silent())"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=Path(__file__).parent.parent) as caller:
        while caller.poll() is None and not list(tmp_path.glob(name)):
            time.sleep(0.001)
        caller.kill()
    prepare(tmp_path, COUNT, Silent())
    names = ("images.json", "raw.npy", "raw.h5", "encoded.h5")
    assert [name for name in names if (tmp_path / name).read_bytes() != (work / name).read_bytes()] == []
    trees = [sorted(path.relative_to(top) for path in top.glob("*/**/*.jpg")) for top in (tmp_path, work)]
    assert trees[0] == trees[1]


# ---- the command


def test_reading_is_measured_beside_everybody_who_is_there(facet, work, tmp_path):
    out = tmp_path / "read.json"
    words = ("--work", work, "--peers", tmp_path, "--out", out, "--json", "--only", RAW_NUMPY)
    answer = facet("benchmark", "read", *QUICK, *words)
    assert answer.code == 0, answer.stderr
    entries = json.loads(answer.stdout)
    assert entries == json.loads(out.read_text())
    assert [list(entry) for entry in entries] == [FIELDS] * len(entries)
    figures = {entry["peer"]: entry["peer_value"] for entry in entries}
    absent = {
        f"{peer.name} (absent: no environment {peer.environment} in {tmp_path})" for peer in (who.FFCV, who.GRAIN)
    }
    assert {peer for peer, value in figures.items() if value is None} == absent
    assert all(entry["value"] > 0 and entry["repeats"] == 2 for entry in entries)
    assert "not measured: raw 150×150, shuffled, to numpy: FFCV (absent" in answer.stderr


def test_what_was_measured_before_a_failure_is_kept(facet, work, tmp_path):
    spoilt, out = tmp_path / "work", tmp_path / "read.json"
    shutil.copytree(work, spoilt)
    (spoilt / "encoded.h5").write_bytes(b"no file of anybody's")
    answer = facet("benchmark", "read", *QUICK, "--work", spoilt, "--out", out, "--only", "shuffled over sequential")
    assert answer.code == 1
    assert "facet: Facet failed: " in answer.stderr
    assert [entry["name"] for entry in json.loads(out.read_text())] == [RAW_ORDER]


def test_a_measure_that_does_not_exist_is_refused_before_anything_is_made(facet, tmp_path):
    answer = facet("benchmark", "pack", "--check", "--work", tmp_path, "--only", "byte for bite")
    assert answer.code == 1
    assert "facet: --only 'byte for bite': is in the name of no measure, expected one of " in answer.stderr
    assert list(tmp_path.iterdir()) == []


def test_packing_is_measured(facet, work):
    answer = facet("benchmark", "pack", *QUICK, "--work", work, "--json", "--only", "pack raw")
    assert answer.code == 0, answer.stderr
    figures = {entry["peer"]: entry["ratio"] for entry in json.loads(answer.stdout)}
    assert figures.keys() >= {who.RESIZING.name, who.WRITE_PIXELS.name, who.FLOAT_WRITER.name}
    assert [path.name for path in work.iterdir() if path.name.startswith("written")] == []


def test_opening_and_memory_are_measured(facet, work):
    answer = facet("benchmark", "read", *QUICK, "--work", work, "--json", "--only", "many examples")
    assert answer.code == 0, answer.stderr
    assert all(0 < entry["value"] < 5000 and entry["unit"] == "ms" for entry in json.loads(answer.stdout))
    answer = facet("benchmark", "read", *QUICK, "--work", work, "--json", "--only", "anonymous memory, raw, highest")
    assert 0 <= json.loads(answer.stdout)[0]["value"] < 128


def test_check_exits_with_1_where_a_bar_is_missed(facet, work):
    # HDF5's own tables weigh more than a fiftieth of so few images
    missed = facet("benchmark", "pack", *QUICK, "--work", work, "--check", "--only", "encoded file over")
    assert (missed.code, missed.stderr) == (1, "")
    assert "0 of 1 bars hold, 1 missed, 0 not measured" in missed.stdout
    assert "missed: encoded file over its images' bytes: 1.0" in missed.stdout
    shown = facet("benchmark", "pack", *QUICK, "--work", work, "--only", "encoded file over")
    assert shown.code == 0


def test_check_exits_with_0_where_all_bars_hold(facet, work):
    answer = facet("benchmark", "pack", *QUICK, "--work", work, "--check", "--only", "byte for byte")
    assert answer.code == 0
    assert "1 of 1 bars hold" in answer.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("raed",), "benchmark 'raed': expected one of export, pack, read, resume, train (did you mean 'read'?)"),
        (("read", "--out", "no/x.json"), "--out no/x.json: no such folder as no, expected an existing one"),
        (("read", "--repeats", 0), "--repeats 0: expected at least 1"),
        (("read", "--count", 20), "--count 20: expected at least 64, one batch"),
        (("read", "--peers", "nowhere"), "--peers nowhere: no such folder, expected one of virtual environments"),
    ],
)
def test_mistakes_are_told_in_a_sentence(facet, words, sentence):
    answer = facet("benchmark", *words)
    assert (answer.code, answer.stderr) == (1, f"facet: {sentence}\n")


def test_a_work_folder_of_another_number_of_images_is_refused(facet, work):
    answer = facet("benchmark", "read", "--work", work, "--count", 64)
    assert answer.code == 1
    assert f"was made for {COUNT} images, expected --count {COUNT} or another folder" in answer.stderr


@pytest.mark.long
def test_what_carries_the_bar_of_originals_looks_as_good_as_the_bar_asks_of_facet(real_data):
    from benchmarks.peers.tensorflow_reader import ORIGINALS as FORMS

    lowest = dict.fromkeys(FORMS, math.inf)
    for path in sorted(real_data("adience_originals").rglob("*.jpg")):
        whole = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
        expected = cv2.resize(whole, (150, 150), interpolation=cv2.INTER_AREA)
        for variant, form in FORMS.items():
            reached = cv2.PSNR(form(path.read_bytes(), 150).numpy(), expected)
            lowest[variant] = min(lowest[variant], reached)
    (asked,), (bar,) = bars_of(PSNR), bars_of(ORIGINALS)
    assert {variant for variant in FORMS if asked.holds(lowest[variant])} == {peer.variant for peer in bar.peers}


@pytest.mark.long
def test_everything_is_measured_with_what_facet_itself_requires(facet, work):
    for kind in ("read", "pack"):
        answer = facet("benchmark", kind, *QUICK, "--work", work, "--json", timeout=1500)
        assert answer.code == 0, answer.stderr
        absent = [entry["peer"] for entry in json.loads(answer.stdout) if "(absent" in (entry["peer"] or "")]
        assert [peer for peer in absent if "no --peers given" not in peer and "no large faces" not in peer] == []
