"""training.images.manifest: lines of literal files, what is wrong with them, and the way back into a file."""

import shutil

import pytest

from training.images.manifest import Record, check_sources, digest_of, list_manifest, read_manifest, write_manifest

LINES = """image,label,split,source,partial,cells
a.png,a_label.png,train,x,1,7
sub/b.png,a_label.png,val,y,0,
sub/b.png,,unlabelled,y,,
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "a_label.png", "sub/b.png"):
        (tmp_path / name).touch()
    return tmp_path


def manifest(folder, text=LINES):
    (folder / "m.csv").write_text(text)
    return folder / "m.csv"


def test_lines_by_split(folder):
    path = manifest(folder)
    assert read_manifest(path, "train") == [Record(folder / "a.png", folder / "a_label.png", "train", "x", "", True)]
    assert [r.split for r in read_manifest(path)] == ["train", "val", "unlabelled"]
    assert [r.label for r in read_manifest(path, "unlabelled", "val")] == [folder / "a_label.png", None]


def test_optional_columns(folder):
    (record,) = read_manifest(manifest(folder, "image,label,split,source\na.png,a_label.png,val,x\n"))
    assert (record.modality, record.partial) == ("", False)


@pytest.mark.parametrize(
    "line, said",
    [
        ("a.png,no.png,train,x", "no.png: no such file, .*m.csv line 2 lists it"),
        (
            "a.png,a_label.png,training,x",
            "m.csv: line 2: split must be one of train, val, test, unlabelled, got 'training'",
        ),
        ("a.png,,train,x", "line 2: split unlabelled, and no other, goes without a label"),
        ("a.png,a_label.png,unlabelled,x", "line 2: split unlabelled, and no other, goes without a label"),
        ("a.png,a_label.png,train,x,some", "line 2: partial must be 1, 0 or empty, got 'some'"),
    ],
)
def test_a_wrong_line_is_named(folder, line, said):
    path = manifest(folder, f"image,label,split,source,partial\n{line}\n")
    with pytest.raises(ValueError, match=said):
        read_manifest(path)
    records, problems = list_manifest(path)
    assert not records
    assert [problem.path for problem in problems] == [folder / "a.png"]


@pytest.mark.parametrize(
    "text, partial",
    [("1", True), ("True", True), ("yes", True), ("1.0", True), ("0", False), ("False", False), ("No", False)],
)
def test_words_for_partly_labelled(folder, text, partial):
    (record,) = read_manifest(manifest(folder, f"image,label,split,source,partial\na.png,a_label.png,val,x,{text}\n"))
    assert record.partial is partial


@pytest.mark.parametrize("split", ["val", "test"])
def test_an_image_to_train_on_is_no_image_to_measure_with(folder, split):
    path = manifest(folder, LINES + f"./a.png,a_label.png,{split},x,0,7\n")
    with pytest.raises(ValueError, match=r"m.csv: line 5: ./a.png is of split train, too; take one of the lines out"):
        read_manifest(path)
    assert len(read_manifest(path, "train")) == 1


def test_many_wrong_lines_are_one_line(folder):
    with pytest.raises(ValueError, match=r"line 2.* \(and 2 more lines are wrong\)$"):
        read_manifest(manifest(folder, "image,label,split,source\n" + "no.png,no.png,val,x\n" * 3))


def test_lost_files_of_other_splits_do_not_matter(folder):
    text = LINES + "no.png,no.png,test,x,,\n"
    assert len(read_manifest(manifest(folder, text), "train")) == 1
    assert len(read_manifest(manifest(folder, text), "test", files=False)) == 1
    with pytest.raises(ValueError, match="no.png: no such file"):
        read_manifest(manifest(folder, text), "test")


def test_no_line_of_a_split(folder):
    with pytest.raises(
        ValueError, match=r"m.csv: no line has split 'test'; splits here: \['train', 'unlabelled', 'val'\]"
    ):
        read_manifest(manifest(folder), "test")


def test_names_of_sources_that_there_are_not(folder):
    """They are said with those that there are, of whatever split; no names need no file."""
    path = manifest(folder)
    check_sources(path, ["y"], "--sources")
    check_sources(folder / "no.csv", [], "--sources")
    with pytest.raises(ValueError, match="m.csv: no line is of source X, z, which --sources names; .* here: x, y$"):
        check_sources(path, ["z", "x", "X"], "--sources")


def test_a_digest_tells_lines_and_not_places(folder, tmp_path_factory):
    records = read_manifest(manifest(folder))
    before = digest_of(records, folder)
    moved = tmp_path_factory.mktemp("moved") / "x"
    shutil.copytree(folder, moved)
    assert digest_of(read_manifest(moved / "m.csv"), moved) == before
    for change in (("1,7", "0,7"), (",x,", ",z,"), ("y,0", "y,1"), (",val,", ",train,")):
        assert digest_of(read_manifest(manifest(folder, LINES.replace(*change))), folder) != before
    assert digest_of(records[:1], folder) != before


def test_there_and_back(folder):
    """Paths are relative to the new file, wherever that is."""
    records = read_manifest(manifest(folder))
    write_manifest(folder / "sub" / "copy.csv", records)
    assert (folder / "sub" / "copy.csv").read_text().splitlines()[1] == "../a.png,../a_label.png,train,x,,1"
    assert [(r.image.resolve(), r.split, r.source, r.partial) for r in read_manifest(folder / "sub" / "copy.csv")] == [
        (r.image.resolve(), r.split, r.source, r.partial) for r in records
    ]
