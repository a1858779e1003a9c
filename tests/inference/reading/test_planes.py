"""Axes, planes along z and time, projections, and stacks that are segmented plane by plane."""

import numpy as np
import pytest
import tifffile

from inference.reading import ImageError, ReadOptions, open_images, read_image
from inference.reading.planes import name_axes
from inference.reading.regions import reduce_planes
from inference.reading.stores import STORE_SETTINGS, StoreSettings

RNG = np.random.default_rng(0)
TZYX = RNG.integers(0, 60_000, (3, 4, 20, 30), np.uint16)


BY_REGION = StoreSettings(whole_bytes=0)


@pytest.fixture(params=[STORE_SETTINGS, BY_REGION], ids=["whole", "by region"])
def settings(request):
    return request.param


@pytest.fixture
def path(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.ome.tif", TZYX, metadata={"axes": "TZYX"}, photometric="minisblack", compression="zlib"
    )
    return tmp_path / "a.ome.tif"


@pytest.mark.parametrize(
    "z, t, expected",
    [
        (2, 3, TZYX[2, 1]),
        ("max", 1, TZYX[0].max(axis=0)),
        (4, "mean", np.rint(TZYX[:, 3].mean(axis=0))),
        ("max", "mean", np.rint(TZYX.max(axis=1).mean(axis=0))),
    ],
)
def test_planes_and_projections(path, settings, z, t, expected):
    picture = read_image(path, ReadOptions(z=z, t=t), settings)
    assert picture.pixels.dtype == np.uint16
    assert np.array_equal(picture.pixels, expected)
    assert " of 3" in picture.axes
    assert " of 4" in picture.axes


def test_each_plane_of_a_stack(path, settings):
    (image,) = open_images(path, ReadOptions(z="each", t="each"), settings)
    assert (image.stack, image.stack_axes, image.suffix) == ((3, 4), "TZ", "")
    planes = [image.open(n).pixels[:, :] for n in range(len(image.views))]
    assert np.array_equal(np.reshape(planes, TZYX.shape), TZYX)
    (image,) = open_images(path, ReadOptions(z="max", t="each"), settings)
    assert image.stack == (3,)
    assert image.stack_axes == "T"
    assert np.array_equal([image.open(n).pixels[:, :] for n in range(len(image.views))], TZYX.max(axis=1))


@pytest.mark.parametrize(
    "options, words",
    [
        (ReadOptions(), r"3 time points; choose one with --t 1 to --t 3, .*--t max.*--t each"),
        (ReadOptions(t=1), r"4 z planes; choose one with --z 1"),
        (ReadOptions(t=1, z=5), r"no --z 5, the file holds 4"),
        (ReadOptions(t=1, z=1, series=(2,)), r"no --series 2; choose 1 to 1"),
    ],
)
def test_what_is_not_chosen_is_asked_for(path, settings, options, words):
    with pytest.raises(ImageError, match=rf"a\.ome\.tif: .*{words}"):
        read_image(path, options, settings)


def test_the_axes_can_be_overridden(path, settings):
    """The file says TZYX; it is ZCYX."""
    pixels = read_image(path, ReadOptions(axes="ZCYX", z=2, channels=((4,),)), settings).pixels
    assert np.array_equal(pixels, TZYX[1, 3])
    with pytest.raises(ImageError, match=r"--axes CYX is for 3 axes, .* 3 x 4 x 20 x 30"):
        read_image(path, ReadOptions(axes="CYX"), settings)


@pytest.mark.parametrize(
    "shape, axes, options, expected",
    [
        ((3, 20, 30), "QYX", ReadOptions(), "CYX"),
        ((7, 20, 30), "QYX", ReadOptions(channels=((1,),)), "CYX"),
        ((7, 20, 30), "IYX", ReadOptions(z=1), "ZYX"),
        ((7, 20, 30), "IYX", ReadOptions(t="each"), "TYX"),
        ((1, 7, 20, 30), "TQYX", ReadOptions(axes="ZYX"), "?ZYX"),
        ((7, 20, 30, 3), "IYXS", ReadOptions(z=1), "ZYXS"),
    ],
)
def test_pages_without_a_meaning_get_one(shape, axes, options, expected):
    named, warnings = name_axes("a.tif", shape, axes, options)
    assert named == expected
    assert bool(warnings) == (options == ReadOptions()), "2 to 4 pages are channels, but not in silence"


@pytest.mark.parametrize(
    "shape, axes, words",
    [
        ((7, 20, 30), "QYX", "7 pages.*--axes CYX .channels., --axes ZYX"),
        ((2, 20, 30, 3), "IYXS", "2 pages.*--axes ZYXS"),
        ((5, 2, 20, 30), "QRYX", "5 x 2 pages"),
        ((20, 30), "QR", "no height and width"),
    ],
)
def test_pages_without_a_meaning_are_asked_about(shape, axes, words):
    with pytest.raises(ImageError, match=words):
        name_axes("a.tif", shape, axes, ReadOptions())


def test_four_pages_may_be_something_else_than_channels(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 20, 30), np.uint8), photometric="minisblack", metadata=None)
    with pytest.raises(ImageError, match=r"4 channels.*--channels.*4 pages whose meaning.*--axes ZYX or TYX"):
        read_image(tmp_path / "a.tif")


def test_a_projection_holds_two_planes_at_a_time():
    planes, held = 50, []

    def taken():
        for i in range(planes):
            held.append(np.full((4, 5), i, np.uint8))
            yield held.pop()
            assert not held

    assert (reduce_planes(taken(), planes, "max") == 49).all()
    mean = reduce_planes(taken(), planes, "mean")
    assert (mean == 24).all(), "24.5 to the even one"
    assert mean.dtype == np.uint8


def test_a_plane_of_a_stack_reads_only_its_own_part_of_the_file(tmp_path):
    """The other planes are broken, and nobody notices."""
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, TZYX, metadata={"axes": "TZYX"}, photometric="minisblack", compression="zlib")
    with tifffile.TiffFile(path) as tiff:
        parts = [(page.dataoffsets[0], page.databytecounts[0]) for page in tiff.pages]
    data = bytearray(path.read_bytes())
    for i, (offset, count) in enumerate(parts):
        if i != 5:
            data[offset : offset + count] = bytes(count)
    path.write_bytes(data)
    assert np.array_equal(read_image(path, ReadOptions(t=2, z=2), BY_REGION).pixels, TZYX[1, 1])
    with pytest.raises(ImageError, match=r"a\.ome\.tif: .*damaged"):
        read_image(path, ReadOptions(t=2, z=1), BY_REGION)
