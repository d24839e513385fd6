import pytest


def test_a_set_of_real_images_that_is_missing_where_facet_data_says_fails(real_data, tmp_path, monkeypatch):
    monkeypatch.setenv("FACET_DATA", str(tmp_path))
    with pytest.raises(pytest.fail.Exception, match=f"FACET_DATA={tmp_path} has no folder portraits"):
        real_data("portraits")


def test_a_set_of_real_images_is_found_where_facet_data_says(real_data, tmp_path, monkeypatch):
    (tmp_path / "portraits").mkdir()
    monkeypatch.setenv("FACET_DATA", str(tmp_path))
    assert real_data("portraits") == tmp_path / "portraits"


def test_without_facet_data_a_missing_set_skips_with_its_reason(real_data, monkeypatch):
    monkeypatch.delenv("FACET_DATA", raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"real images not found: .*no-such-set"):
        real_data("no-such-set")


def test_the_command_runs_in_a_folder_of_its_own_and_tells_everything(facet):
    answer = facet("inspect", "nothing.h5")
    assert (answer.code, answer.stdout) == (1, "")
    assert answer.stderr.startswith("facet: nothing.h5: ")


def test_trees_and_files_are_made_once(sample_tree, packed):
    assert sample_tree("afad", 30) is sample_tree("afad", 30)
    assert sample_tree("afad", 30) != sample_tree("afad", 31)
    assert packed("afad", count=30) is packed("afad", count=30)
    assert packed("afad", count=30) != packed("afad", count=30, seed=1)
