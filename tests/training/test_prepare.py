"""training.prepare: each layout on small files as they are published, the errors, and what is written.

The layouts are read by training.readers.dsb2018, training.readers.pairs and training.readers.sartorius, by means of
training.readers.listing and training.readers.making.
"""

import csv
import logging
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile

from training.prepare import draw_splits, in_validation, main
from training.readers.listing import Entry, draw
from training.readers.making import Maker
from training.readers.sartorius import decode_runs

GRAY = np.full((6, 8), 40, np.uint8)
COLOUR = np.dstack([GRAY, GRAY + 100, GRAY])
LABELS = np.zeros((6, 8), np.uint16)
LABELS[1:3, 1:4] = 1
LABELS[4:, 5:] = 2


def save(path, array):
    """Write an image; the suffix decides how. Colour is RGB or RGBA."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix in (".tif", ".tiff"):
        tifffile.imwrite(path, array)
    else:
        colours = {4: cv2.COLOR_RGBA2BGRA, 3: cv2.COLOR_RGB2BGR}
        path.write_bytes(
            cv2.imencode(path.suffix, array if array.ndim == 2 else cv2.cvtColor(array, colours[array.shape[2]]))[1]
        )
    return path


def run(*arguments):
    return main([str(a) for a in arguments])


def rows(manifest):
    """Lines of a manifest by the name of the image; checks that all files are where they are said to be."""
    with open(manifest, newline="") as file:
        found = list(csv.DictReader(file))
    for row in found:
        for path in (row["image"], row["label"]):
            assert not path.startswith("/")
            assert (manifest.parent / path).exists()
    return {row["image"].rsplit("/", 1)[-1]: row for row in found}


def errors(caplog):
    return [r.getMessage() for r in caplog.records if r.levelno == logging.ERROR]


@pytest.fixture
def source(tmp_path):
    return tmp_path / "published"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def neurips(source):
    """Three labelled images and one without labels."""
    for i, suffix in enumerate((".bmp", ".png", ".tif"), 1):
        save(source / "images" / f"cell_0000{i}{suffix}", COLOUR)
        save(source / "labels" / f"cell_0000{i}_label.tiff", LABELS)
    save(source / "release-part1" / "unlabeled_cell_00000.png", GRAY)
    return source


def test_neurips(neurips, out):
    assert run("neurips", neurips, out, "--unlabelled", "release-part1", "--val-fraction", 0) == 0
    found = rows(out / "manifest.csv")
    assert list(found) == ["cell_00001.bmp", "cell_00002.png", "cell_00003.tif", "unlabeled_cell_00000.png"]
    assert found["cell_00001.bmp"] == {
        "image": "../published/images/cell_00001.bmp",
        "label": "../published/labels/cell_00001_label.tiff",
        "split": "train",
        "source": "neurips",
        "modality": "",
        "partial": "0",
    }
    assert found["unlabeled_cell_00000.png"]["split"] == "unlabelled"
    assert found["unlabeled_cell_00000.png"]["label"] == found["unlabeled_cell_00000.png"]["partial"] == ""
    assert [p.name for p in out.iterdir()] == ["manifest.csv"]  # nothing had to be made


def test_neurips_as_on_zenodo(source, out):
    for part in ("Training-labeled", "Tuning"):
        save(source / part / "images" / f"{part}.png", COLOUR)
        save(source / part / "labels" / f"{part}_label.tiff", LABELS)
    assert run("neurips", source, out) == 0
    splits = {name: r["split"] for name, r in rows(out / "manifest.csv").items()}
    assert splits == {"Training-labeled.png": "train", "Tuning.png": "val"}


def test_the_training_commands_read_the_manifest(neurips, out):
    from training.images.datasets import load_sample  # late: imports torch
    from training.images.manifest import read_manifest

    assert run("neurips", neurips, out, "--unlabelled", "release-part1", "--val-fraction", 0) == 0
    records = read_manifest(out / "manifest.csv", "train")
    assert [r.source for r in records] == ["neurips"] * 3
    assert np.array_equal(load_sample(records[0]).labels, LABELS)
    assert read_manifest(out / "manifest.csv", "unlabelled")[0].label is None


@pytest.fixture
def cellpose(source):
    for name in ("train/000", "train/001", "test/000"):
        save(source / f"{name}_img.png", COLOUR)
        save(source / f"{name}_masks.png", LABELS)
    save(source / "train/000_img_flows.tif", np.zeros((5, 6, 8), np.float32))
    return source


@pytest.mark.parametrize(
    ("test_set", "splits"),
    [("val", ["train", "train", "val"]), ("train", ["train"] * 3), ("leave-out", ["train", "train"])],
)
def test_cellpose_test_set(cellpose, out, test_set, splits):
    assert run("cellpose", cellpose, out, "--test-set", test_set, "--val-fraction", 0) == 0
    with open(out / "manifest.csv", newline="") as file:
        assert [r["split"] for r in csv.DictReader(file)] == splits


def test_val_fraction_defaults_to_0_where_the_test_set_is_val():
    entries = [Entry(f"{i}.png", None, "train", "s", group=str(i)) for i in range(200)]
    test = Entry("t.png", None, "test", "s", group="t")
    assert [e.split for e in draw_splits([*entries, test], "val", None, 0)] == ["train"] * 200 + ["val"]
    assert 5 < sum(e.split == "val" for e in draw_splits(entries, "val", None, 0)) < 40


def test_omnipose_nested_folders(source, out):
    save(source / "bact_phase/train_sorted/5I_crop/a.tif", GRAY)
    save(source / "bact_phase/train_sorted/5I_crop/a_masks.tif", LABELS)
    save(source / "bact_phase/train_sorted/5I_crop/a_flows.tif", np.zeros((5, 6, 8), np.float32))
    save(source / "bact_fluor/test_sorted/A22/b.tif", GRAY)
    save(source / "bact_fluor/test_sorted/A22/b_masks.tif", LABELS)
    save(source / "worm/test/c_img.png", COLOUR)
    save(source / "worm/test/c_masks.png", LABELS)
    assert run("omnipose", source, out) == 0
    found = rows(out / "manifest.csv")
    assert {name: (r["split"], r["source"], r["modality"]) for name, r in found.items()} == {
        "b.tif": ("val", "omnipose_bact_fluor", "fluorescence"),
        "a.tiff": ("train", "omnipose_bact_phase", "phase"),
        "c_img.png": ("val", "omnipose_worm", "brightfield"),
    }
    assert found["a.tiff"]["image"] == "images/bact_phase/train_sorted/5I_crop/a.tiff"  # one channel made three
    assert np.array_equal(tifffile.imread(out / found["a.tiff"]["image"]), np.dstack([GRAY] * 3))


def test_omnipose_keeps_channels_on_demand_and_knows_a_single_part(source, out):
    save(source / "bact_phase/train_sorted/x/a.tif", GRAY)
    save(source / "bact_phase/train_sorted/x/a_masks.tif", LABELS)
    assert run("omnipose", source / "bact_phase", out, "--keep-channels", "--val-fraction", 0) == 0
    assert rows(out / "manifest.csv")["a.tif"] == {
        "image": "../published/bact_phase/train_sorted/x/a.tif",
        "label": "../published/bact_phase/train_sorted/x/a_masks.tif",
        "split": "train",
        "source": "omnipose_bact_phase",
        "modality": "phase",
        "partial": "0",
    }


def sartorius(source, *cells):
    """train.csv with (id, annotation) lines, and an image of 3x4 pixels for each id."""
    save(source / "train_semi_supervised/s.png", GRAY)
    with open(source / "train.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            "id annotation width height cell_type plate_time sample_date sample_id elapsed_timedelta".split()
        )
        for identity, annotation in cells:
            save(source / f"train/{identity}.png", GRAY[:3, :4])
            writer.writerow(
                [identity, annotation, 4, 3, "cort", "11h30m00s", "2020-11-04", f"sample {identity}", "0 days"]
            )
    return source


def test_sartorius(source, out, caplog):
    caplog.set_level(logging.INFO)
    first = "0030fd0e6378"
    sartorius(source, (first, "1 2 5 2"), (first, "6 3 10 1"), (first, "5 1"), ("0140b3c8f445", "12 1"))
    assert run("sartorius", source, out, "--val-fraction", 0, "--unlabelled", "train_semi_supervised") == 0
    found = rows(out / "manifest.csv")
    assert list(found) == ["0030fd0e6378.tiff", "0140b3c8f445.tiff", "s.tiff"]
    assert (found["0030fd0e6378.tiff"]["source"], found["0030fd0e6378.tiff"]["modality"]) == ("sartorius_cort", "phase")
    assert found["0030fd0e6378.tiff"]["label"] == "labels/0030fd0e6378_label.tiff"
    labels = tifffile.imread(out / "labels/0030fd0e6378_label.tiff")
    assert labels.dtype == np.uint16
    # The first cell keeps pixel 6, the third has none.
    assert labels.tolist() == [[1, 1, 0, 0], [1, 1, 2, 2], [0, 2, 0, 0]]
    assert "2 pixels (images: 1) stay with the first cell; cells wholly under others, which are lost: 1" in caplog.text


def test_sartorius_keeps_a_sample_on_one_side(source, out):
    sartorius(source, *((f"{i:04d}", "1 2") for i in range(30)))
    text = (source / "train.csv").read_text()
    for i in range(30):
        text = text.replace(f"sample {i:04d}", f"sample {i % 3}")
    (source / "train.csv").write_text(text)
    assert run("sartorius", source, out, "--val-fraction", 0.5, "--seed", 1) == 0
    sides = [
        {r["split"] for n, r in rows(out / "manifest.csv").items() if int(n[:4]) % 3 == sample} for sample in range(3)
    ]
    assert all(len(side) == 1 for side in sides)
    assert len(set.union(*sides)) == 2


def test_runs_by_hand():
    """3x4 pixels, counted from 1 along the rows: "2 3" is the rest of row 1, "8 1" the end of row 2, "9 2" starts row
    3.
    """
    mask = np.zeros(12, int)
    mask[decode_runs("2 3 8 1 9 2", 12)] = 1
    assert mask.reshape(3, 4).tolist() == [[0, 1, 1, 1], [0, 0, 0, 1], [1, 1, 0, 0]]
    assert decode_runs("1 12", 12).tolist() == list(range(12))


@pytest.mark.parametrize(
    "text", ["", "3", "1 2 3", "0 2", "1 0", "-1 2", "a b", "1.5 2", "12 2", "13 1", "9" * 30 + " 1"]
)
def test_runs_that_are_none(text):
    with pytest.raises(ValueError, match="annotation"):
        decode_runs(text, 12)


def dsb2018(source, identity, image, *masks):
    save(source / identity / "images" / f"{identity}.png", image)
    for i, box in enumerate(masks):
        mask = np.zeros(image.shape[:2], np.uint8)
        mask[box] = 255
        save(source / identity / "masks" / f"mask{i}.png", mask)


def rgba(gray):
    return np.dstack([gray, gray, gray, np.full_like(gray, 255)])


def test_dsb2018(source, out, caplog):
    caplog.set_level(logging.INFO)
    stage = source / "stage1_train"
    dsb2018(stage, "aa", rgba(GRAY), np.s_[1:3, 1:4], np.s_[2:4, 3:6])
    dsb2018(stage, "bb", rgba(GRAY + 180), np.s_[0, 0])
    dsb2018(stage, "cc", np.dstack([COLOUR, GRAY]), np.s_[0, 0])
    (stage / ".DS_Store").touch()
    assert run("dsb2018", source, out, "--val-fraction", 0) == 0
    found = rows(out / "manifest.csv")
    assert {r["label"]: (r["image"], r["source"], r["modality"]) for r in found.values()} == {
        "labels/aa_label.tiff": ("images/aa.tiff", "dsb2018_fluorescence", "fluorescence"),
        "labels/bb_label.tiff": ("../published/stage1_train/bb/images/bb.png", "dsb2018_brightfield", "brightfield"),
        "labels/cc_label.tiff": ("../published/stage1_train/cc/images/cc.png", "dsb2018_stained", "stained"),
    }
    assert np.array_equal(tifffile.imread(out / "images/aa.tiff"), GRAY)  # single channel, so class 0 by the cue rules
    labels = tifffile.imread(out / "labels/aa_label.tiff")
    assert labels.max() == 2
    assert (labels == 1).sum() == 6
    assert (labels == 2).sum() == 5
    assert "1 pixels (images: 1)" in caplog.text


def test_shared_passes_splits_and_sources_through(source, out):
    save(source / "val/a.png", GRAY)
    save(source / "val/a_label.png", LABELS)
    save(source / "more/b.png", GRAY)
    (source / "manifest.csv").write_text(
        "image,label,split,source,modality,partial,height\n"
        "val/a.png,val/a_label.png,val,wbc,stained,1,6\nmore/b.png,,unlabelled,blood,stained,,6\n"
    )
    assert run("shared", source, out) == 0
    assert [list(r.values()) for r in rows(out / "manifest.csv").values()] == [
        ["../published/val/a.png", "../published/val/a_label.png", "val", "wbc", "stained", "1"],
        ["../published/more/b.png", "", "unlabelled", "blood", "stained", ""],
    ]


@pytest.mark.parametrize("suffix", ["", "_label", "_mask"])
def test_pairs(source, out, suffix):
    save(source / "raw/a.x.png", COLOUR)
    save(source / f"cells/a.x{suffix}.tif", LABELS)
    folders = ("--images", "raw", "--labels", "cells", "--val-fraction", 0)
    assert run("pairs", source, out, *folders, "--source", "mine", "--partial", "--modality", "stained") == 0
    assert list(rows(out / "manifest.csv")["a.x.png"].values()) == [
        "../published/raw/a.x.png",
        f"../published/cells/a.x{suffix}.tif",
        "train",
        "mine",
        "stained",
        "1",
    ]


def test_pairs_may_be_negatives(source, out, caplog):
    """Images in which there is no cell; in a published data set such a label is damaged."""
    caplog.set_level(logging.INFO)
    save(source / "images/a.png", COLOUR)
    save(source / "labels/a.tif", np.zeros_like(LABELS))
    assert run("pairs", source, out, "--val-fraction", 0) == 0
    assert "images without cells, to train on as negatives: 1" in caplog.text
    assert run("shared", out, out.parent / "again") == 0


def test_pairs_outside_of_the_source(source, out, tmp_path):
    save(source / "../elsewhere/a.png", GRAY)
    save(tmp_path / "cells/a.tif", LABELS)
    folders = ("--images", "../elsewhere", "--labels", tmp_path / "cells")
    source.mkdir(exist_ok=True)
    assert run("pairs", source, out, *folders, "--modality", "phase", "--val-fraction", 0) == 0
    assert rows(out / "manifest.csv")["a.tiff"]["image"] == "images/a.tiff"


def test_pairs_with_a_suffix_of_ones_own(source, out):
    save(source / "images/a.png", COLOUR)
    save(source / "labels/a-cells.tif", LABELS)
    assert run("pairs", source, out) == 2
    assert run("pairs", source, out, "--label-suffix=-cells") == 0


def test_every_problem_is_reported_and_nothing_written(neurips, out, caplog):
    def pair(name, labels, image=COLOUR):
        save(neurips / f"images/{name}.png", image)
        if labels is not None:
            save(neurips / f"labels/{name}_label.tiff", labels)

    pair("unlabelled", None)
    pair("empty", np.zeros_like(LABELS))
    pair("float", LABELS.astype(np.float32))
    pair("negative", LABELS.astype(np.int16) - 1)
    pair("colours", np.dstack([LABELS] * 3))
    pair("smaller", LABELS[:4])
    pair("two", LABELS)
    save(neurips / "labels/two_label.png", LABELS)
    save(neurips / "labels/orphan_label.tiff", LABELS)
    pair("cut", LABELS)
    (neurips / "images/cut.png").write_bytes((neurips / "images/cut.png").read_bytes()[:40])
    pair("nothing", LABELS)
    (neurips / "labels/nothing_label.tiff").write_bytes(b"")
    assert run("neurips", neurips, out) == 2
    assert not out.exists()
    messages = errors(caplog)
    expected = {
        "images/unlabelled.png": "no label",
        "labels/empty_label.tiff": "no cell is labelled",
        "labels/float_label.tiff": "float32",
        "labels/negative_label.tiff": "integers from 0",
        "labels/colours_label.tiff": "one channel",
        "labels/smaller_label.tiff": "(4, 8)",
        "images/two.png": "more than one label",
        "labels/orphan_label.tiff": "without an image",
        "images/cut.png": "damaged",
        "labels/nothing_label.tiff": "cannot be read as an image",
    }
    for name, words in expected.items():
        assert sum(m.startswith(f"{neurips / name}: ") and words in m for m in messages) == 1, (name, messages)
    assert len(messages) == len(expected) + 1
    assert "10 problems" in messages[-1]


def test_an_earlier_manifest_survives_a_refusal(neurips, out):
    assert run("neurips", neurips, out) == 0
    before = (out / "manifest.csv").read_bytes()
    save(neurips / "images/new.png", COLOUR)
    assert run("neurips", neurips, out) == 2
    assert (out / "manifest.csv").read_bytes() == before
    assert [p.name for p in out.iterdir()] == ["manifest.csv"]


def test_labels_are_not_published_if_another_image_is_damaged(source, out, caplog):
    dsb2018(source, "aa", rgba(GRAY), np.s_[1:3, 1:4])
    dsb2018(source, "bb", rgba(GRAY), np.s_[1:3, 1:4])
    (source / "bb/masks/mask0.png").write_bytes(b"not a PNG")
    assert run("dsb2018", source, out) == 2
    assert not out.exists()
    assert errors(caplog)[0].startswith(str(source / "bb/masks/mask0.png"))


def test_skip_leaves_out_what_is_at_fault(neurips, out):
    save(neurips / "images/new.png", COLOUR)
    (neurips / "images/cell_00002.png").write_bytes(b"")
    assert run("neurips", neurips, out, "--skip", "images/new.png", "--skip", "cell_00002*") == 0
    assert list(rows(out / "manifest.csv")) == ["cell_00001.bmp", "cell_00003.tif"]


@pytest.mark.parametrize("layout", ["neurips", "cellpose", "omnipose", "sartorius", "dsb2018", "shared", "pairs"])
def test_no_such_folder(source, out, caplog, layout):
    assert run(layout, source, out) == 2
    assert len(errors(caplog)) == 2
    assert str(source) in errors(caplog)[0]


def test_sartorius_errors_name_the_line(source, out, caplog):
    sartorius(source, ("aa", "1 2"), ("bb", "12 2"), ("cc", "1 1"), ("dd", "1 1"))
    save(source / "train/cc.png", GRAY)
    (source / "train/dd.png").unlink()
    save(source / "train/ee.png", GRAY)
    assert run("sartorius", source, out) == 2
    text = "\n".join(errors(caplog))
    assert "train.csv: line 3: the annotation reaches pixel 13 of an image with 12 pixels" in text
    assert "train.csv: line 4 says 3x4 pixels for an image of 6x8 (cc)" in text
    assert f"{source / 'train/dd.png'}: no such image, train.csv line 5" in text
    assert f"{source / 'train/ee.png'}: no cell of this image in train.csv" in text


def test_dsb2018_errors_name_the_mask(source, out, caplog):
    dsb2018(source, "aa", rgba(GRAY))
    dsb2018(source, "bb", rgba(GRAY), np.s_[0:0])
    dsb2018(source, "cc", rgba(GRAY), np.s_[0, 0])
    save(source / "cc/masks/mask0.png", LABELS[:3])
    (source / "dd/images").mkdir(parents=True)
    assert run("dsb2018", source, out) == 2
    text = "\n".join(errors(caplog))
    for words in (
        "aa: no masks",
        "bb/masks/mask0.png: the mask is empty",
        "cc/masks/mask0.png: a mask of shape (3, 8)",
        "dd: 0 files",
    ):
        assert words in text
    dsb2018(source, "ok", rgba(GRAY), np.s_[0, 0])
    assert run("dsb2018", source, out, *(f"--skip={name}*" for name in ("aa", "bb", "cc", "dd"))) == 0


def test_manifest_errors_name_the_line(source, out, caplog):
    save(source / "a.png", GRAY)
    (source / "manifest.csv").write_text(
        "image,label,split,source\nlost.png,,unlabelled,s\na.png,,training,s\na.png,,train,s\n"
    )
    assert run("shared", source, out) == 2
    text = "\n".join(errors(caplog))
    assert "lost.png: no such file" in text
    assert "line 3: split must be" in text
    assert "line 4: split unlabelled" in text
    (source / "manifest.csv").write_text("image,split\na.png,train\n")
    assert run("shared", source, out) == 2
    assert "no column label, source" in errors(caplog)[-2]


def test_labels_in_a_jpeg_are_refused(source, out, caplog):
    save(source / "images/a.png", GRAY)
    save(source / "labels/a.jpg", LABELS.astype(np.uint8))
    assert run("pairs", source, out) == 2
    assert "a.jpg: a JPEG changes the numbers of cells" in caplog.text


def test_a_binary_mask_is_pointed_out(source, out, caplog):
    save(source / "images/a.png", COLOUR)
    save(source / "labels/a.png", np.where(LABELS, 255, 0).astype(np.uint8))
    assert run("pairs", source, out) == 0
    assert "all 2 objects have the value 255" in caplog.text


def test_out_dir_in_source_dir_is_refused(neurips, caplog):
    assert run("neurips", neurips, neurips / "out") == 2
    assert "another folder" in errors(caplog)[0]


def test_two_images_under_one_name(source, out, caplog):
    sartorius(source, ("aa", "1 2"))
    save(source / "more/x.png", GRAY)
    save(source / "more/x.tif", GRAY)
    assert run("sartorius", source, out, "--unlabelled", "more") == 2
    assert "two images would be written under this name" in errors(caplog)[0]


@pytest.mark.parametrize(("count", "dtype"), [(65_535, np.uint16), (65_536, np.uint32)])
def test_labels_are_zlib_tiff_of_the_smallest_type(tmp_path, count, dtype):
    def label(shape):
        return draw((np.array([i]) for i in range(count)), shape)

    image = save(tmp_path / "a.png", np.zeros((256, 257), np.uint8))
    maker = Maker(tmp_path / "out", tmp_path / "staging", keep_channels=True)
    entry = maker.finish(Entry(image, label, "train", "s", "", name="a", group="a"))
    maker.publish()
    with tifffile.TiffFile(entry.label) as tiff:
        assert tiff.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        labels = tiff.asarray()
    assert labels.dtype == dtype
    assert labels.max() == count
    assert maker.overlap == maker.hidden == 0


def test_split_is_the_same_everywhere_and_moves_no_image():
    """Pinned: another hash would mix the val images of old checkpoints into training."""
    names = [f"cell_{i:05d}" for i in range(1000)]
    chosen = [n for n in names if in_validation(n, 0.1, seed=0)]
    assert chosen[:4] == ["cell_00001", "cell_00014", "cell_00016", "cell_00028"]
    assert 70 < len(chosen) < 130
    assert set(chosen) < {n for n in names if in_validation(n, 0.2, seed=0)}
    assert chosen != [n for n in names if in_validation(n, 0.1, seed=1)]
    assert not any(in_validation(n, 0.0, seed=0) for n in names)


@pytest.mark.parametrize(
    "groups, fraction, expected",
    [("abc", 0.1, "c"), ("ab", 0.1, "b"), ("a", 0.1, ""), ("abc", 0, ""), ("abc", 0.9, "abc")],
)
def test_few_images_have_one_to_validate_with(groups, fraction, expected):
    """The one whose place is the lowest, if no place is below the share; one image alone stays to train on."""
    entries = [Entry(Path(f"{g}.png"), Path("l.png"), "train", "s", group=g) for g in (*groups, groups[0])]
    drawn = draw_splits(entries, "val", fraction, seed=0)
    assert {e.group for e in drawn if e.split == "val"} == set(expected)
    assert [e.group for e in drawn] == [e.group for e in entries]


def test_val_fraction_has_to_be_a_share(neurips, out, capsys):
    with pytest.raises(SystemExit):
        run("neurips", neurips, out, "--val-fraction", 1)
    assert "below 1" in capsys.readouterr().err


def test_merge_rebases_paths(neurips, out, tmp_path):
    assert run("neurips", neurips, out, "--val-fraction", 0) == 0
    sartorius(tmp_path / "kaggle", ("aa", "1 2"))
    assert run("sartorius", tmp_path / "kaggle", tmp_path / "deep/er", "--val-fraction", 0) == 0
    merged = tmp_path / "all/manifest.csv"
    assert run("merge", merged, out / "manifest.csv", tmp_path / "deep/er/manifest.csv") == 0
    found = rows(merged)
    assert found["cell_00001.bmp"]["image"] == "../published/images/cell_00001.bmp"
    assert found["aa.tiff"]["label"] == "../deep/er/labels/aa_label.tiff"
    assert [r["source"] for r in found.values()] == ["neurips"] * 3 + ["sartorius_cort"]


def test_merge_of_permissive_sources(neurips, out, tmp_path, caplog):
    run("neurips", neurips, out)
    terms = tmp_path / "terms.csv"
    terms.write_text("source,terms\nneurips,CC BY-NC 4.0\n")
    command = ("merge", tmp_path / "all.csv", out / "manifest.csv", "--permissive", "--terms", terms)
    assert run(*command) == 2
    assert not (tmp_path / "all.csv").exists()
    assert "no source has permissive terms" in caplog.text
    terms.write_text("source,terms\nneurips,CC BY 4.0\n")
    assert run(*command) == 0
    assert len(rows(tmp_path / "all.csv")) == len(rows(out / "manifest.csv"))
    with pytest.raises(SystemExit):
        run(*command[:4])


def test_merge_errors(neurips, out, tmp_path, caplog):
    assert run("neurips", neurips, out) == 0
    assert run("merge", tmp_path / "all.csv", out / "manifest.csv", out / "manifest.csv") == 2
    assert sum("listed in" in e for e in errors(caplog)) == 3
    assert run("merge", tmp_path / "all.csv", tmp_path / "none.csv") == 2
    assert f"{tmp_path / 'none.csv'}: cannot be opened" in errors(caplog)[-2]
    (neurips / "images/cell_00001.bmp").unlink()
    assert run("merge", tmp_path / "all.csv", out / "manifest.csv") == 2
    assert not (tmp_path / "all.csv").exists()


def test_links_keep_their_names(neurips, out, tmp_path):
    """Data managers keep files in a store and link to them; a linked OUT_DIR must not break relative paths."""
    store = tmp_path / "store/blob"
    store.parent.mkdir()
    (neurips / "images/cell_00001.bmp").rename(store)
    (neurips / "images/cell_00001.bmp").symlink_to(store)
    (tmp_path / "far/away").mkdir(parents=True)
    out.symlink_to(tmp_path / "far/away")
    assert run("neurips", neurips, out, "--val-fraction", 0) == 0
    assert rows(out / "manifest.csv")["cell_00001.bmp"]["image"] == "../../published/images/cell_00001.bmp"
