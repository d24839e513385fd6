"""Every recipe at full width on the real tree of its layout, on few faces: sizes and memory are the real ones."""

import json

import pytest

from models.training.recipe_files import read_recipe, recipe_names

TREES = {
    "afad": "afad_layout",
    "adience": "adience",
    "agegender": "agegender_cleaned",
    "celeba": "celeba",
}

#: Recipes that go on from a run of another are tried on its run.
AGAIN = {"afad-gender": "afad-gender-again", "afad-age": "afad-age-again"}

pytestmark = pytest.mark.long


def succeed(facet, *command, cwd):
    answer = facet(*command, cwd=cwd, timeout=3000)
    assert answer.code == 0, (command, answer.stderr)
    return answer.stdout


@pytest.mark.parametrize("recipe", [name for name in recipe_names() if name not in AGAIN.values()])
def test_a_recipe_runs_at_full_width_on_real_faces(recipe, facet, real_data, tmp_path):
    tree = real_data(TREES[recipe.partition("-")[0]])
    limit = 100 if read_recipe(recipe).values["backbone"] == "vggface" else 160
    succeed(facet, "pack", tree, "faces.h5", "--limit", limit, cwd=tmp_path)
    tuned = read_recipe(recipe).values.get("fine_tuning_epochs", 1)
    phase = "fine-tuning" if tuned else "warm-up"
    epochs = ("--warm-up-epochs", 1, "--fine-tuning-epochs", 1 if tuned else 0)
    # more epochs would change a cosine
    batch = ("--batch-size", 16, "--weights", "none", "--schedule", "constant")
    succeed(facet, "train", "faces.h5", "--recipe", recipe, "--run", "first", *epochs, *batch, cwd=tmp_path)
    succeed(facet, "train", "--resume", "first", f"--{phase}-epochs", 2, cwd=tmp_path)
    metrics = json.loads(succeed(facet, "evaluate", "first", "--json", cwd=tmp_path))["metrics"]
    assert all(figures["count"] for figures in metrics.values())
    exported = succeed(facet, "export", "first", "first.pb", "--verify-with", "tensorflow,opencv", cwd=tmp_path)
    assert "OpenCV" in exported
    if recipe in AGAIN:
        again = ("--from", "first@best", "--recipe", AGAIN[recipe], "--run", "again", "--fine-tuning-epochs", 1)
        succeed(facet, "train", "faces.h5", *again, cwd=tmp_path)
