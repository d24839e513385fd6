"""How much room a run of the AFAD schedule takes: VGG19 at full width, a head of 256 and 256, RMSprop and then Adam."""

import threading

import pytest

SEED_3 = ("--backbone", "vgg19", "--weights", "none", "--image-size", "150", "--label", "gender", "--augment", "mirror")
HEAD = ("--set", "pooling=flatten", "--set", "units=[256,256]", "--set", "warm_up_optimizer=rmsprop")


@pytest.mark.long
def test_a_default_run_keeps_at_most_800_mb_of_checkpoints(facet, packed, tmp_path):
    file, folder = packed("agegender", count=100), tmp_path / "history" / "afad" / "checkpoints"
    sizes, over = [0], threading.Event()

    def watch():
        while not over.wait(0.2):
            sizes.append(sum(path.stat().st_size for path in folder.glob("[!.]*.keras") if path.exists()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    epochs = ("--warm-up-epochs", "4", "--fine-tuning-epochs", "6", "--fine-tuning-learning-rate", "5e-4")
    answer = facet("train", file, "--run", "afad", *SEED_3, *HEAD, *epochs, cwd=tmp_path, timeout=1500)
    over.set()
    watcher.join()
    kept = sum(path.stat().st_size for path in folder.glob("*.keras"))
    print(f"kept {kept / 1e6:.0f} MB, most at any time {max(sizes) / 1e6:.0f} MB")  # noqa: T201 - what this is for
    assert answer.code == 0, answer.stderr
    assert 0 < kept <= 800e6
