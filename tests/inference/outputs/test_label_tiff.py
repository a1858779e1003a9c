"""Label TIFFs: their types, and what other programs read from them."""

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from inference.outputs.label_rows import LabelRows
from inference.outputs.label_tiff import colour_table, count_cells, holds_labels, write_label_tiff
from inference.outputs.pixel_size import PixelSize


def numbered(shape, cells):
    """Labels with the numbers 0 to `cells`, in order."""
    return (
        (np.arange(shape[0] * shape[1], dtype=np.int64) * (cells + 1) // (shape[0] * shape[1]))
        .astype(np.int32)
        .reshape(shape)
    )


def written(path, labels, *arguments, **options):
    write_label_tiff(path, [LabelRows.of(labels)], *arguments, **options)
    return path


@pytest.mark.parametrize("cells, dtype", [(0, np.uint16), (65_535, np.uint16), (65_536, np.uint32)])
@pytest.mark.parametrize("tiled", [False, True])
def test_types(tmp_path, cells, dtype, tiled):
    labels = numbered((300, 300), cells)
    with tifffile.TiffFile(written(tmp_path / "a.tiff", labels, tiled=tiled)) as tiff:
        (page,) = tiff.pages
        assert page.dtype == dtype
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE
        assert page.predictor == 1
        assert page.is_tiled == tiled
        assert np.array_equal(tiff.asarray(), labels)
    assert [p.name for p in tmp_path.iterdir()] == ["a.tiff"]


@pytest.mark.parametrize("shape", [(1, 1), (1, 700), (700, 1), (511, 513), (512, 512), (385, 1030), (1500, 130)])
@pytest.mark.parametrize("height", [10**6, 1, 300])
@pytest.mark.parametrize("tiled", [False, True])
def test_rows_in_any_bands(tmp_path, shape, height, tiled):
    labels = numbered(shape, min(500, shape[0] * shape[1] - 1))
    rows = LabelRows(
        shape, int(labels.max()), lambda: (labels[top : top + height] for top in range(0, shape[0], height))
    )
    write_label_tiff(tmp_path / "a.tiff", [rows], tiled=tiled)
    assert np.array_equal(tifffile.imread(tmp_path / "a.tiff"), labels)


@pytest.mark.parametrize("cells", [1000, 70_000])
@pytest.mark.parametrize("colours", [False, True])
def test_imagej_reads_numbers_and_pixel_size(tmp_path, imagej, cells, colours):
    labels = numbered((300, 400), cells)
    path = written(tmp_path / "a.tiff", labels, PixelSize(0.65, 0.325), colours=colours)
    unit, width, height, *values = imagej(
        f'open("{path}"); getPixelSize(unit, w, h); print(unit); print(w); print(h);'
        "for (y = 0; y < 300; y += 29) for (x = 0; x < 400; x += 31) print(getPixel(x, y));"
    )
    assert unit == "µm"
    assert (float(width), float(height)) == (0.325, 0.65)
    assert [int(float(value)) for value in values] == labels[::29, ::31].ravel().tolist()


def test_imagej_shows_the_colour_table(tmp_path, imagej):
    path = written(tmp_path / "a.tiff", numbered((30, 40), 9), colours=True)
    printed = imagej(
        f'open("{path}"); getLut(r, g, b); for (i = 0; i < 256; i++) print(r[i] + " " + g[i] + " " + b[i]);'
    )
    table = np.array([line.split() for line in printed], int)
    assert np.array_equal(table, colour_table(256))
    assert len(np.unique(table, axis=0)) > 250


def test_imagej_opens_a_stack(tmp_path, imagej):
    planes = [numbered((30, 40), cells) for cells in (9, 700)]
    write_label_tiff(tmp_path / "a.tiff", list(map(LabelRows.of, planes)), stack=(2,), stack_axes="Z")
    assert tifffile.imread(tmp_path / "a.tiff").shape == (2, 30, 40)
    printed = imagej(
        f'open("{tmp_path}/a.tiff"); print(nSlices);for (n = 1; n < 3; n++) {{ setSlice(n); print(getPixel(39, 29)); }}'
    )
    assert list(map(int, printed)) == [2, 9, 700]


@pytest.mark.parametrize("tiled", [False, True])
def test_libtiff_programs_read_the_same_numbers(tmp_path, program, tiled):
    labels = numbered((300, 400), 40_000)
    path = written(tmp_path / "a.tiff", labels, PixelSize(0.5, 0.5), tiled=tiled, colours=True)
    program("vips", "copy", path, tmp_path / "vips.png")
    program("gdal_translate", "-q", "-of", "PNG", path, tmp_path / "gdal.png")
    for name in ("vips.png", "gdal.png"):
        assert np.array_equal(cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED), labels), name
    assert np.array_equal(cv2.imread(str(path), cv2.IMREAD_UNCHANGED), labels)
    assert np.array_equal(np.asarray(Image.open(path)), labels)


def test_gdal_reads_32_bits(tmp_path, program):
    labels = numbered((300, 400), 100_000)
    program("gdal_translate", "-q", "-of", "ENVI", written(tmp_path / "a.tiff", labels), tmp_path / "gdal.raw")
    assert np.array_equal(np.fromfile(tmp_path / "gdal.raw", np.uint32).reshape(300, 400), labels)


@pytest.mark.filterwarnings("ignore:As of version 0.4.0:DeprecationWarning")  # of bioio's own parser
@pytest.mark.parametrize("size", [PixelSize(0.65, 0.325), PixelSize(0.0125, 0.0125), PixelSize(30.0, 30.0)])
def test_ome_readers_find_pixel_size_and_names(tmp_path, size):
    bioio_ome_tiff = pytest.importorskip("bioio_ome_tiff")
    path = written(tmp_path / "a.tiff", numbered((30, 40), 9), size, image="plate é, well A1", channels=("DAPI", "WGA"))
    image = bioio_ome_tiff.Reader(path)
    assert (image.physical_pixel_sizes.Y, image.physical_pixel_sizes.X) == tuple(size)
    assert image.channel_names == ["labels of DAPI, WGA"]
    assert image.metadata.images[0].name == "plate é, well A1"
    assert image.metadata.images[0].pixels.physical_size_x_unit.value == "µm"


def test_no_pixel_size_is_claimed_where_there_is_none(tmp_path):
    with tifffile.TiffFile(written(tmp_path / "a.tiff", numbered((30, 40), 9))) as tiff:
        assert "PhysicalSize" not in tiff.ome_metadata
        assert tiff.pages[0].tags["ResolutionUnit"].value == 1


def test_the_same_labels_make_the_same_file(tmp_path):
    labels = numbered((30, 40), 9)
    first = written(tmp_path / "a.tiff", labels, colours=True).read_bytes()
    assert written(tmp_path / "a.tiff", labels, colours=True).read_bytes() == first


@pytest.mark.parametrize("tiled", [False, True])
def test_bigtiff_where_the_labels_need_it(tmp_path, tiled):
    labels = numbered((600, 700), 5)
    for limit, big in ((2 * labels.size, False), (2 * labels.size - 1, True)):
        with tifffile.TiffFile(written(tmp_path / "a.tiff", labels, tiled=tiled, classic_bytes=limit)) as tiff:
            assert tiff.is_bigtiff == big
            assert np.array_equal(tiff.asarray(), labels)


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, MemoryError])
def test_rows_that_break_off_leave_nothing_behind(tmp_path, error):
    """Not the labels so far, no temporary file; an older file stays as it was."""

    def broken():
        yield numbered((400, 50), 3)
        raise error

    (tmp_path / "old.tiff").write_text("old")
    for name in ("old.tiff", "new.tiff"):
        with pytest.raises(error):
            write_label_tiff(tmp_path / name, [LabelRows((1000, 50), 3, broken)])
    assert [p.name for p in tmp_path.iterdir()] == ["old.tiff"]
    assert (tmp_path / "old.tiff").read_text() == "old"


@pytest.mark.parametrize("tiled", [False, True])
def test_holds_labels(tmp_path, tiled):
    path = written(
        tmp_path / "a_label.tiff", np.random.default_rng(0).integers(0, 999, (700, 600), np.int32), tiled=tiled
    )
    assert holds_labels(path, (700, 600))
    assert count_cells(path) == 998
    for shape, name in (((600, 700), "a_label.tiff"), ((700, 601), "a_label.tiff"), ((700, 600), "b_label.tiff")):
        assert not holds_labels(tmp_path / name, shape)
    data = path.read_bytes()
    path.write_bytes(data[:2000] + bytes(50) + data[2050:])
    assert count_cells(path) is None, "damaged within"
    for size in (0, 4, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        assert not holds_labels(path, (700, 600)), f"{size} of {len(data)} bytes"


@pytest.mark.parametrize(
    "pixels, options",
    [
        (np.zeros((70, 60), np.uint8), {}),
        (np.zeros((70, 60), np.float32), {}),
        (np.zeros((70, 60, 3), np.uint16), {"photometric": "rgb"}),
        (np.zeros((70, 60), np.int32), {}),
    ],
)
def test_files_of_other_programs_are_no_labels(tmp_path, pixels, options):
    tifffile.imwrite(tmp_path / "a_label.tiff", pixels, **options)
    assert not holds_labels(tmp_path / "a_label.tiff", (70, 60))


def test_text_and_folders_are_no_labels(tmp_path):
    (tmp_path / "a_label.tiff").write_text("no TIFF")
    (tmp_path / "b_label.tiff").mkdir()
    assert not holds_labels(tmp_path / "a_label.tiff", (1, 1))
    assert not holds_labels(tmp_path / "b_label.tiff", (1, 1))
