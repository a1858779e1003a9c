"""Files that were once read wrongly: the folder named by the environment variable CELLSEG_CASES has them."""

import os
from pathlib import Path

import numpy as np
import pytest

from inference.reading import ImageError, ReadOptions, open_image, open_images, read_image

CASES = Path(os.environ.get("CELLSEG_CASES", ""))
pytestmark = pytest.mark.skipif(
    not (CASES / "files").is_dir(), reason="needs the files: set CELLSEG_CASES to their folder"
)


def pixels(name, **options):
    return read_image(CASES / name, ReadOptions(**options)).pixels


def test_a_palette_of_grays_is_the_plain_picture():
    assert np.array_equal(pixels("gray_ramp_palette.tif"), pixels("reference_gray.tif"))


def test_a_composite_has_two_channels_without_their_display_colours():
    picture = read_image(CASES / "composite_with_luts.ome.tif")
    assert picture.pixels.shape == (256, 256, 2)
    assert "colour tables left out" in picture.axes


def test_two_channels_pixel_by_pixel_are_both_there():
    both = pixels("two_channels_contig.tif")
    assert both.shape == (256, 256, 2)
    assert both[..., 1].any()
    assert np.array_equal(pixels("two_channels_contig.tif", channels=((2,),)), both[..., 1])


def test_the_image_is_taken_not_its_thumbnail():
    assert pixels("thumbnail_first.tif").shape == (180, 260, 3)


def test_cmyk_is_converted():
    """The paper's white is white: before, no ink was black."""
    picture = read_image(CASES / "cmyk.tif")
    assert "converted from CMYK" in picture.axes
    reference = read_image(CASES / "tissue_alone.jpg").pixels
    assert np.abs(picture.pixels.astype(int) - reference).mean() < 6


def test_one_channel_under_a_green_table_is_gray():
    assert pixels("files/imagej_green_lut_read_as_colour.tif").ndim == 2


def test_gray_with_opacity_is_the_plain_picture():
    assert np.array_equal(pixels("files/gray_alpha_png_read_as_rgb.png"), pixels("files/ref_gray_plain.png"))


def test_four_channels_keep_the_fourth():
    with pytest.raises(ImageError, match="4 channels.*--channels"):
        pixels("files/four_channels_cyx_4th_dropped_as_alpha_silently.tif")
    assert pixels("files/four_channels_cyx_4th_dropped_as_alpha_silently.tif", channels=((4,),)).shape == (192, 192)


def test_five_pages_are_asked_about():
    name = "files/five_channels_cyx_refused_as_pages.tif"
    with pytest.raises(ImageError, match="5 pages.*--axes CYX"):
        pixels(name)
    assert pixels(name, axes="CYX", channels=((5,),)).shape == pixels(name, channels=((5,),)).shape == (192, 192)


def test_channels_last():
    assert pixels("files/two_channels_yxc_tifffile_512_pages_message.tif").shape == (128, 128, 2)


def test_every_position():
    images = open_images(CASES / "files/ome_3_positions_only_first_segmented_silently.ome.tif")
    assert [image.suffix for image in images] == ["_s1", "_s2", "_s3"]
    assert len({image.open().pixels.tobytes() for image in images}) == 3


@pytest.mark.parametrize(
    "name, micrometres",
    [("imagej_micron_unit_lost_in_label.tif", 0.325), ("ome_physicalsize_lost_in_label.ome.tif", 0.5)],
)
def test_pixel_sizes(name, micrometres):
    picture = open_image(CASES / "files" / name)
    assert picture.pixel_size == pytest.approx((micrometres, micrometres))


@pytest.mark.parametrize(
    "name, shape, kind",
    [
        ("dicom_called_damaged.dcm", (200, 200), "DICOM"),
        ("zeiss_czi_called_damaged.czi", (200, 200), "CZI"),
        ("readable_but_skipped_in_folder.jp2", (256, 320, 3), "JPEG 2000"),
        ("zipped_ome_zarr_not_read.zarr.zip", (160, 160), "OME-Zarr"),
    ],
)
def test_formats(name, shape, kind):
    picture = read_image(CASES / "files" / name)
    assert picture.pixels.shape == shape
    assert picture.format == kind
    assert picture.pixels.std() > 0
