"""Label TIFFs: types, compression, whole or not at all; from bands of rows the same as from the whole."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import tifffile
from bands import bands_of, numbered

from inference.outputs import label_tiff
from inference.outputs.label_tiff import LabelTiles, holds_labels, write_labels


def write_label_rows(path, rows, shape, resolution=None):
    """As a run writes the labels of a large image."""
    writer, cells = LabelTiles(path, shape, resolution), 0
    for band in rows:
        writer.add(band)
        cells = max(cells, int(band.max(initial=0)))
    writer.finish(SimpleNamespace(cells=cells))


@pytest.mark.parametrize("cells, dtype", [(0, np.uint16), (65_535, np.uint16), (65_536, np.uint32)])
def test_dtype_and_round_trip(tmp_path, cells, dtype):
    labels = np.zeros((300, 300), np.int32)
    labels.ravel()[:cells] = np.arange(1, cells + 1)
    write_labels(tmp_path / "a_label.tiff", labels, cells, ((2.0, 4.0), 3))
    with tifffile.TiffFile(tmp_path / "a_label.tiff") as tiff:
        page = tiff.pages[0]
        assert page.dtype == dtype and page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert page.tags["XResolution"].value == (4, 1) and page.tags["YResolution"].value == (2, 1) and len(tiff.pages) == 1
        assert np.array_equal(tiff.asarray(), labels)
    assert [p.name for p in tmp_path.iterdir()] == ["a_label.tiff"]


def test_other_programs_read_the_labels(tmp_path):
    labels = np.arange(12, dtype=np.int32).reshape(3, 4)
    write_labels(tmp_path / "a.tiff", labels, 11)
    assert np.array_equal(cv2.imread(str(tmp_path / "a.tiff"), cv2.IMREAD_UNCHANGED), labels)


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (511, 513), (512, 512), (385, 1030), (1500, 130)])
@pytest.mark.parametrize("heights", [(10**6,), (1, 300), (511, 2), (512,), (600, 1)])
def test_rows_make_the_same_file_as_the_whole(tmp_path, shape, heights):
    labels = numbered(shape, min(500, shape[0] * shape[1] - 1))
    write_label_rows(tmp_path / "rows.tiff", bands_of(labels, heights), shape, ((2.0, 4.0), 3))
    write_labels(tmp_path / "whole.tiff", labels, int(labels.max()), ((2.0, 4.0), 3))
    with tifffile.TiffFile(tmp_path / "rows.tiff") as rows, tifffile.TiffFile(tmp_path / "whole.tiff") as whole:
        assert np.array_equal(rows.asarray(), labels) and np.array_equal(whole.asarray(), labels)
        assert rows.pages[0].is_tiled and len(rows.pages) == 1
        for tag in ("ImageLength", "ImageWidth", "BitsPerSample", "Compression", "XResolution", "YResolution", "ResolutionUnit"):
            assert rows.pages[0].tags[tag].value == whole.pages[0].tags[tag].value, tag
    assert holds_labels(tmp_path / "rows.tiff", shape) and holds_labels(tmp_path / "whole.tiff", shape)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["rows.tiff", "whole.tiff"]


@pytest.mark.parametrize("cells, dtype", [(0, np.uint16), (65_535, np.uint16), (65_536, np.uint32)])
def test_the_number_of_cells_decides_the_type(tmp_path, cells, dtype):
    labels = np.pad(numbered((600, 700), cells), ((0, 300), (0, 0)))
    write_label_rows(tmp_path / "a.tiff", bands_of(labels, (97,)), labels.shape)
    read = tifffile.imread(tmp_path / "a.tiff")
    assert read.dtype == dtype and np.array_equal(read, labels)


@pytest.mark.parametrize("cells, dtype", [(300, np.uint16), (70_000, np.uint32)])
def test_other_programs_read_tiles(tmp_path, cells, dtype):
    from skimage.io import imread

    labels = numbered((600, 700), cells)
    write_label_rows(tmp_path / "a.tiff", bands_of(labels, (97,)), labels.shape)
    assert np.array_equal(imread(tmp_path / "a.tiff"), labels)
    if dtype == np.uint16:
        assert np.array_equal(cv2.imread(str(tmp_path / "a.tiff"), cv2.IMREAD_UNCHANGED), labels)


@pytest.mark.parametrize("tiled", [False, True])
def test_bigtiff_where_the_labels_need_it(tmp_path, monkeypatch, tiled):
    labels = numbered((600, 700), 5)
    for limit, big in ((2 * labels.size, False), (2 * labels.size - 1, True)):
        monkeypatch.setattr(label_tiff, "BIG_TIFF_BYTES", limit)
        write_label_rows(tmp_path / "a.tiff", [labels], labels.shape) if tiled else write_labels(tmp_path / "a.tiff", labels, 5)
        with tifffile.TiffFile(tmp_path / "a.tiff") as tiff:
            assert tiff.is_bigtiff == big and np.array_equal(tiff.asarray(), labels)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("after", [0, 3])
def test_rows_that_break_off_leave_nothing_behind(tmp_path, error, after):
    """Not the labels so far, no temporary file; an older file stays as it was."""
    def broken():
        yield from bands_of(numbered((after * 100, 50), 3), (100,)) if after else ()
        raise error

    (tmp_path / "old.tiff").write_text("old")
    for name in ("old.tiff", "new.tiff"):
        with pytest.raises(error):
            write_label_rows(tmp_path / name, broken(), (1000, 50))
    assert [p.name for p in tmp_path.iterdir()] == ["old.tiff"] and (tmp_path / "old.tiff").read_text() == "old"


def test_an_interrupt_while_tiles_are_written_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupted(rows):
        yield rows[:512, :512]
        raise KeyboardInterrupt

    monkeypatch.setattr(label_tiff, "_cut", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_label_rows(tmp_path / "a.tiff", [np.zeros((1500, 1500), np.int32)], (1500, 1500))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("write", ["whole", "rows"])
def test_holds_labels(tmp_path, write):
    path, labels = tmp_path / "a_label.tiff", np.random.default_rng(0).integers(0, 999, (700, 600), np.int32)
    write_labels(path, labels, 999) if write == "whole" else write_label_rows(path, [labels], labels.shape)
    assert holds_labels(path, (700, 600))
    assert not holds_labels(path, (600, 700)) and not holds_labels(path, (700, 601)) and not holds_labels(tmp_path / "b.tiff", (700, 600))
    data = path.read_bytes()
    for size in (0, 4, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        assert not holds_labels(path, (700, 600)), f"{size} of {len(data)} bytes"


@pytest.mark.parametrize("pixels, options", [
    (np.zeros((70, 60), np.uint8), {}), (np.zeros((70, 60), np.float32), {}), (np.zeros((70, 60, 3), np.uint16), {"photometric": "rgb"}),
    (np.zeros((70, 60), np.int32), {}),
])
def test_files_of_other_programs_are_no_labels(tmp_path, pixels, options):
    tifffile.imwrite(tmp_path / "a_label.tiff", pixels, **options)
    assert not holds_labels(tmp_path / "a_label.tiff", (70, 60))


def test_text_and_folders_are_no_labels(tmp_path):
    (tmp_path / "a_label.tiff").write_text("no TIFF")
    (tmp_path / "b_label.tiff").mkdir()
    assert not holds_labels(tmp_path / "a_label.tiff", (1, 1)) and not holds_labels(tmp_path / "b_label.tiff", (1, 1))
