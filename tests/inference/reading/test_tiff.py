"""TIFF files of other programs: compressions, layouts, colours, positions, thumbnails; each against the picture that
was written."""

import os
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile

from inference.reading import ImageError, ReadOptions, open_image, open_images, read_image
from inference.reading.safe_reading import SafeReader
from inference.reading.stores import StoreSettings

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    "options",
    [
        ("-c", "none"),
        ("-c", "lzw:2"),
        ("-c", "zip:2"),
        ("-c", "packbits"),
        ("-c", "lzma"),
        ("-c", "zstd"),
        ("-c", "zip", "-t", "-w", "32", "-l", "48"),
        ("-c", "lzw", "-r", "7"),
        ("-B", "-c", "none"),
        ("-8",),
        ("-p", "separate", "-c", "lzw"),
    ],
)
def test_libtiff(program, tissue, tmp_path, options):
    tifffile.imwrite(tmp_path / "in.tif", tissue, photometric="rgb", metadata=None)
    program("tiffcp", *options, tmp_path / "in.tif", tmp_path / "a.tif")
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, tissue)


@pytest.mark.parametrize(
    "save",
    [
        "compression=deflate,tile,tile-width=32,tile-height=32",
        "compression=lzw,predictor=horizontal",
        "bigtiff",
        "tile,pyramid,compression=zstd,tile-width=32,tile-height=32",
        "subifd,tile,pyramid,compression=deflate",
    ],
)
def test_libvips(program, tissue, tissue_png, tmp_path, save):
    """At full resolution, whole and by region."""
    program("vips", "copy", tissue_png, f"{tmp_path / 'a.tif'}[{save}]")
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, tissue)
    regions = open_image(tmp_path / "a.tif", settings=StoreSettings(whole_bytes=0)).pixels
    assert np.array_equal(regions[11:60, 5:90], tissue[11:60, 5:90])


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("-co", "INTERLEAVE=BAND"),
        ("-co", "TILED=YES", "-co", "COMPRESS=ZSTD"),
        ("-co", "COMPRESS=LERC_DEFLATE"),
        ("-co", "BIGTIFF=YES", "-ot", "UInt16"),
    ],
)
def test_gdal(program, tissue, tissue_png, tmp_path, options):
    program("gdal_translate", *options, tissue_png, tmp_path / "a.tif")
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, tissue)


def test_gdal_jpeg_in_ycbcr(program, tissue, tissue_png, tmp_path):
    program(
        "gdal_translate",
        "-co",
        "COMPRESS=JPEG",
        "-co",
        "PHOTOMETRIC=YCBCR",
        "-co",
        "JPEG_QUALITY=95",
        tissue_png,
        tmp_path / "a.tif",
    )
    read = read_image(tmp_path / "a.tif").pixels
    assert read.shape == tissue.shape
    assert np.abs(read.astype(int) - tissue).mean() < 8


@pytest.mark.parametrize("options", [(), ("-co", "TILED=YES")])
def test_gdal_jpeg_of_each_colour_for_itself(program, tissue, tissue_png, tmp_path, options):
    jpeg = ("-co", "COMPRESS=JPEG", "-co", "INTERLEAVE=BAND", "-co", "JPEG_QUALITY=95")
    program("gdal_translate", *jpeg, *options, tissue_png, tmp_path / "a.tif")
    picture = read_image(tmp_path / "a.tif")
    assert "RGB" in picture.axes
    assert np.abs(picture.pixels.astype(int) - tissue).mean() < 4
    regions = open_image(tmp_path / "a.tif", settings=StoreSettings(whole_bytes=0)).pixels
    assert np.array_equal(regions[11:60, 5:90], picture.pixels[11:60, 5:90])


def test_gdal_four_bands_are_four_channels(program, gray_png, gray, tmp_path):
    """Neither colours nor opacity."""
    program(
        "gdal_translate",
        *["-b", "1"] * 4,
        "-co",
        "PHOTOMETRIC=MINISBLACK",
        "-co",
        "ALPHA=NO",
        gray_png,
        tmp_path / "a.tif",
    )
    with pytest.raises(ImageError, match=r"4 channels .1, 2, 3, 4.*--channels"):
        read_image(tmp_path / "a.tif")
    assert np.array_equal(read_image(tmp_path / "a.tif", ReadOptions(channels=((4,),))).pixels, gray)


def test_gdal_two_bands_are_two_channels(program, gray_png, gray, tmp_path):
    program("gdal_translate", "-b", "1", "-b", "1", "-colorinterp", "gray,undefined", gray_png, tmp_path / "a.tif")
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, np.dstack([gray, gray]))


def test_gdal_alpha_is_dropped(program, gray_png, gray, tmp_path):
    program("gdal_translate", "-b", "1", "-b", "1", "-colorinterp", "gray,alpha", gray_png, tmp_path / "a.tif")
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, gray)


@pytest.mark.parametrize("depth", [2, 4])
def test_imagemagick_few_bits(program, gray, gray_png, tmp_path, depth):
    """Four and sixteen levels of gray: as many come back, in order."""
    program(
        "convert",
        gray_png,
        "-depth",
        depth,
        "-compress",
        "none",
        "-define",
        "quantum:polarity=min-is-black",
        tmp_path / "a.tif",
    )
    read = read_image(tmp_path / "a.tif").pixels
    assert read.shape == gray.shape
    assert len(np.unique(read)) == 2**depth
    assert np.corrcoef(read.ravel(), gray.ravel())[0, 1] > 0.75


def test_imagemagick_cmyk(program, tissue, tissue_png, tmp_path):
    program("convert", tissue_png, "-colorspace", "CMYK", "-compress", "lzw", tmp_path / "a.tif")
    picture = read_image(tmp_path / "a.tif")
    assert np.abs(picture.pixels.astype(int) - tissue).max() <= 2
    assert picture.axes == "YXS (RGB; converted from CMYK)"


@pytest.mark.parametrize(
    "name, options", [("vips", "lab"), ("vips", "labs"), ("convert", ()), ("convert", ("-alpha", "on"))]
)
def test_lab(program, tissue, tissue_png, tmp_path, name, options):
    """Signed a* and b* by libvips, by ImageMagick too; another white than ours makes a difference of some levels."""
    if name == "vips":
        program("vips", "colourspace", tissue_png, f"{tmp_path / 'a.tif'}[compression=deflate]", options)
    else:
        program("convert", tissue_png, "-colorspace", "Lab", *options, "-compress", "zip", tmp_path / "a.tif")
    read = read_image(tmp_path / "a.tif").pixels
    assert read.dtype == (np.uint16 if options == "labs" else np.uint8)
    assert np.abs(read / (257 if options == "labs" else 1) - tissue).mean() < 6


def test_imagemagick_palette_of_colours(program, tissue, tissue_png, tmp_path):
    program("convert", tissue_png, "-colors", "64", "-type", "palette", "-compress", "none", tmp_path / "a.tif")
    picture = read_image(tmp_path / "a.tif")
    assert picture.axes == "YX (RGB; table of colours)"
    assert np.abs((picture.pixels >> 8).astype(int) - tissue).mean() < 12


@pytest.mark.parametrize("entries, type_", [(2, "palette"), (64, "palette"), (64, "PaletteAlpha")])
def test_imagemagick_palette_is_what_it_reads_itself(program, tissue_png, tmp_path, entries, type_):
    """Of two colours, which take a bit a pixel, and with opacity beside the numbers."""
    program("convert", tissue_png, "-colors", entries, "-type", type_, "-compress", "none", tmp_path / "a.tif")
    program("convert", tmp_path / "a.tif", "-alpha", "off", tmp_path / "b.png")
    picture = read_image(tmp_path / "a.tif")
    assert np.abs(picture.pixels / 257 - read_image(tmp_path / "b.png").pixels).max() <= 1


def test_gdal_mask_of_opacity_is_no_image(program, tissue, tissue_png, tmp_path):
    program(
        "gdal_translate", "--config", "GDAL_TIFF_INTERNAL_MASK", "YES", "-mask", "1", tissue_png, tmp_path / "a.tif"
    )
    picture = read_image(tmp_path / "a.tif")
    assert np.array_equal(picture.pixels, tissue)
    assert "left out: 96x72 (thumbnail, label or mask)" in picture.axes


def test_imagemagick_two_levels_group_4(program, gray, gray_png, tmp_path):
    program("convert", gray_png, "-threshold", "50%", "-type", "bilevel", "-compress", "group4", tmp_path / "a.tif")
    read = read_image(tmp_path / "a.tif").pixels
    assert set(np.unique(read)) == {0, 1}
    assert min(np.mean(read == (gray > 127)), np.mean(read != (gray > 127))) == 0


def test_bioio_names_and_pixel_size(tmp_path):
    """OME-TIFF with four named channels, five planes and sizes."""
    from bioio_base.types import PhysicalPixelSizes
    from bioio_ome_tiff.writers import OmeTiffWriter

    data = RNG.integers(0, 60_000, (1, 4, 5, 40, 50), np.uint16)
    OmeTiffWriter.save(
        data,
        str(tmp_path / "a.ome.tif"),
        dim_order="TCZYX",
        channel_names=["405", "DAPI", "GFP", "Cy5"],
        physical_pixel_sizes=PhysicalPixelSizes(2.0, 0.25, 0.5),
    )
    picture = read_image(tmp_path / "a.ome.tif", ReadOptions(channels=(("GFP",), ("cy5",)), z="max"))
    assert np.array_equal(picture.pixels, data[0, 2:].max(axis=1).transpose(1, 2, 0))
    assert picture.channels == (
        "GFP",
        "Cy5",
    )
    assert picture.pixel_size == (0.25, 0.5)
    assert (
        picture.reading == "OME-TIFF, CZYX (GFP, Cy5 of 4; max of 5 z planes), 50x40 pixels of uint16, 0.5 µm a pixel"
    )
    default = read_image(tmp_path / "a.ome.tif", ReadOptions(z=1))
    assert default.channels == ("DAPI",)
    assert "--channels" in default.warnings[0]


def test_every_position_of_bioio(tmp_path):
    """Three images of different sizes in one file."""
    from bioio_ome_tiff.writers import OmeTiffWriter

    data = [RNG.integers(0, 255, (30 + i, 40), np.uint8) for i in (0, 10, 20)]
    OmeTiffWriter.save(data, str(tmp_path / "a.ome.tif"), dim_order=["YX"] * 3, image_name=["A", "B", "C"])
    images = open_images(tmp_path / "a.ome.tif")
    assert [(image.suffix, image.name) for image in images] == [("_s1", "A"), ("_s2", "B"), ("_s3", "C")]
    assert all(np.array_equal(image.open().pixels, expected) for image, expected in zip(images, data))
    (second,) = open_images(tmp_path / "a.ome.tif", ReadOptions(series=(2,)))
    assert second.suffix == "_s2", "the same name as without --series"
    with pytest.raises(ImageError, match=r"3 images.*--series"):
        open_image(tmp_path / "a.ome.tif")


def write_set(folder, pixels):
    """OME-TIFF files of a position each, all of which describe all, as Micro-Manager writes them; their names."""
    names = [f"p{i}.ome.tif" for i in range(len(pixels))]
    images = "".join(
        f'<Image ID="Image:{i}" Name="Position {i}"><Pixels ID="Pixels:{i}" DimensionOrder="XYZCT" Type="uint8" '
        'SizeX="40" SizeY="30" SizeZ="1" SizeC="1" SizeT="1" PhysicalSizeX="0.5" PhysicalSizeY="0.5">'
        f'<Channel ID="Channel:{i}:0" SamplesPerPixel="1" Name="dye {i}"/><TiffData IFD="0" PlaneCount="1"><UUID '
        f'FileName="{name}">'
        f"urn:uuid:0000000{i}-0000-0000-0000-000000000000</UUID></TiffData></Pixels></Image>"
        for i, name in enumerate(names)
    )
    for i, name in enumerate(names):
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:0000000{i}-0000-0000-0000-000000000000">{images}</OME>'
        )
        tifffile.imwrite(folder / name, pixels[i], description=xml, metadata=None)
    return names


def test_a_set_of_files_gives_each_image_once(tmp_path):
    pixels = RNG.integers(0, 255, (2, 30, 40), np.uint8)
    for name, expected in zip(write_set(tmp_path, pixels), pixels):
        assert np.array_equal(read_image(tmp_path / name).pixels, expected)


@pytest.mark.parametrize("copied", [(0, 1, 2), (0,), (2,), (1, 3)])
def test_some_files_of_a_set_are_enough_for_their_images(tmp_path, copied):
    pixels = RNG.integers(0, 255, (4, 30, 40), np.uint8)
    names = write_set(tmp_path, pixels)
    for i in {*range(4)} - {*copied}:
        (tmp_path / names[i]).unlink()
    reader = SafeReader()
    for i in copied:
        ((image,), _) = reader.open_images(tmp_path / names[i], ReadOptions())
        picture = image.open()
        assert np.array_equal(picture.pixels[:, :], pixels[i])
        assert (picture.channels, picture.pixel_size) == ((f"dye {i}",), (0.5, 0.5))


def test_a_plane_whose_file_is_not_there_is_missed(tmp_path):
    planes = "".join(
        f'<TiffData FirstZ="{i}" IFD="0" PlaneCount="1"><UUID FileName="p{i}.ome.tif">'
        f"urn:uuid:0000000{i}-0000-0000-0000-000000000000</UUID></TiffData>"
        for i in range(2)
    )
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        'UUID="urn:uuid:00000000-0000-0000-0000-000000000000"><Image ID="Image:0"><Pixels ID="Pixels:0" '
        'DimensionOrder="XYZCT" Type="uint8" SizeX="40" SizeY="30" SizeZ="2" SizeC="1" SizeT="1">'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{planes}</Pixels></Image></OME>'
    )
    tifffile.imwrite(tmp_path / "p0.ome.tif", np.zeros((30, 40), np.uint8), description=xml, metadata=None)
    with pytest.raises(ImageError, match=r"p0\.ome\.tif: a part of the image is missing \(p1\.ome\.tif\)"):
        SafeReader().open_images(tmp_path / "p0.ome.tif", ReadOptions(z=1))


def test_a_thumbnail_before_the_image_is_left_out(tissue, tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(np.ascontiguousarray(tissue[::4, ::4]), photometric="rgb", metadata=None)
        tiff.write(tissue, photometric="rgb", metadata=None)
    picture = read_image(tmp_path / "a.tif")
    assert np.array_equal(picture.pixels, tissue)
    assert "left out: 24x18" in picture.axes


def test_a_reduced_image_of_another_shape_is_a_thumbnail(tissue, tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        tiff.write(tissue, photometric="rgb", metadata=None)
        tiff.write(np.ascontiguousarray(tissue[::5, ::4]), photometric="rgb", metadata=None, subfiletype=1)
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, tissue)


def test_small_images_of_another_shape_are_kept(tissue, tmp_path):
    """As parts that somebody has cut out; and what is called label-free is no label."""
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for shown in (tissue, tissue[:20, :50], tissue[:40, :20]):
            tiff.write(np.ascontiguousarray(shown), photometric="rgb", metadata=None)
    assert [image.open().shape for image in open_images(tmp_path / "a.tif")] == [(72, 96), (20, 50), (40, 20)]
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tiff:
        for rows, name in ((72, "dyed"), (60, "label-free"), (50, "label")):
            tiff.write(tissue[:rows, :, 0], photometric="minisblack", metadata={"axes": "YX", "Name": name})
    assert [image.name for image in open_images(tmp_path / "a.ome.tif")] == ["dyed", "label-free"]


def test_images_of_nearly_one_size_are_all_kept(tissue, tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for rows in (60, 72):
            tiff.write(tissue[:rows], photometric="rgb", metadata=None)
    assert [image.open().shape for image in open_images(tmp_path / "a.tif")] == [(60, 96), (72, 96)]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux")
def test_files_are_closed(tissue, tmp_path):
    """Many small files in one run: none stays open, however long its picture is kept."""
    tifffile.imwrite(tmp_path / "a.tif", tissue, compression="zlib")
    before = len(os.listdir("/proc/self/fd"))
    kept = [open_images(tmp_path / "a.tif") for _ in range(20)]
    kept += [read_image(tmp_path / "a.tif") for _ in range(20)]
    assert len(os.listdir("/proc/self/fd")) <= before + 1


# What tifffile, which many people write with, makes of arrays


def test_arrays_that_tifffile_writes_as_what_they_are_not(tmp_path):
    """(4, Y, X) becomes RGB with opacity, (Y, X, 2) becomes Y pages of two columns."""
    four = RNG.integers(0, 60_000, (4, 40, 50), np.uint16)
    tifffile.imwrite(tmp_path / "four.tif", four)
    with pytest.raises(ImageError, match="4 channels"):
        read_image(tmp_path / "four.tif")
    assert np.array_equal(
        read_image(tmp_path / "four.tif", ReadOptions(channels=((4,), (1,)))).pixels, four[[3, 0]].transpose(1, 2, 0)
    )
    for shape, options in (((2, 4, 40, 50), {"t": 2}), ((2, 40, 50, 4), {"t": 2}), ((40, 50, 4), {})):
        many = RNG.random(shape, np.float32) if len(shape) == 3 else RNG.integers(0, 60_000, shape, np.uint16)
        tifffile.imwrite(tmp_path / "many.tif", many)
        found = open_images(tmp_path / "many.tif", ReadOptions(channels=((4,), (1,)), **options))[0].open().pixels
        plane = many[1] if options else many
        plane = plane.transpose(1, 2, 0) if plane.shape[0] == 4 else plane
        assert np.array_equal(found, plane[..., [3, 0]])
    opaque = np.dstack([RNG.random((40, 50, 3), np.float32), np.ones((40, 50), np.float32)])
    tifffile.imwrite(tmp_path / "opaque.tif", opaque, photometric="rgb", extrasamples=["unassalpha"])
    assert np.array_equal(read_image(tmp_path / "opaque.tif").pixels, opaque[..., :3])
    for channels in (2, 5):
        last = RNG.integers(0, 60_000, (128, 100, channels), np.uint16)
        tifffile.imwrite(tmp_path / "last.tif", last)
        picture = read_image(tmp_path / "last.tif", ReadOptions(channels=((2,), (1,))))
        assert np.array_equal(picture.pixels, last[..., [1, 0]])
        assert "its last axis taken for channels" in picture.axes


def test_unspecified_samples_are_channels(tmp_path):
    two = RNG.integers(0, 60_000, (40, 50, 2), np.uint16)
    tifffile.imwrite(
        tmp_path / "a.tif",
        two,
        photometric="minisblack",
        planarconfig="contig",
        extrasamples=["unspecified"],
        metadata=None,
    )
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, two)


def test_display_colours_of_channels_are_left_out(tmp_path):
    """An ImageJ composite, and one channel with a ramp of greens; a falling ramp is inverted."""
    green = np.zeros((3, 256), np.uint16)
    green[1] = np.arange(256) * 257
    two = RNG.integers(0, 255, (2, 40, 50), np.uint8)
    tifffile.imwrite(tmp_path / "a.ome.tif", two, photometric="palette", colormap=green, metadata={"axes": "CYX"})
    assert np.array_equal(read_image(tmp_path / "a.ome.tif").pixels, two.transpose(1, 2, 0))
    tifffile.imwrite(tmp_path / "b.tif", two[0], photometric="palette", colormap=green)
    assert np.array_equal(read_image(tmp_path / "b.tif").pixels, two[0])
    tifffile.imwrite(tmp_path / "c.tif", two[0], photometric="palette", colormap=green[:, ::-1])
    assert np.array_equal(read_image(tmp_path / "c.tif").pixels, 255 - two[0])


@pytest.mark.parametrize("dtype", [np.float32, np.int16, np.uint16])
def test_white_as_zero_is_inverted_in_every_type(tmp_path, dtype):
    pixels = RNG.integers(1, 200, (40, 50)).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite")
    read = read_image(tmp_path / "a.tif").pixels
    assert np.array_equal(
        np.argsort(read, axis=None, kind="stable"), np.argsort(-pixels.astype(float), axis=None, kind="stable")
    )


def test_pages_with_a_table_of_colours(gray, tmp_path):
    """They are no channels; with a table each they are refused."""
    tables = RNG.integers(0, 65_535, (2, 3, 256), np.uint16)
    for name, second in (("one.tif", tables[0]), ("two.tif", tables[1])):
        with tifffile.TiffWriter(tmp_path / name) as tiff:
            for table in (tables[0], second):
                tiff.write(gray, photometric="palette", colormap=table, metadata=None)
    assert np.array_equal(read_image(tmp_path / "one.tif", ReadOptions(z=2)).pixels, tables[0].T[gray])
    for options in (ReadOptions(), ReadOptions(axes="CYX")):
        with pytest.raises(ImageError, match=r"one\.tif: .*2 channels of several colour samples.*--axes"):
            read_image(tmp_path / "one.tif", options)
    with pytest.raises(ImageError, match=r"two\.tif: its pages have different tables of colours"):
        read_image(tmp_path / "two.tif", ReadOptions(z=2))


def test_a_table_of_colours_of_8_bits(gray, tmp_path):
    table = RNG.integers(0, 256, (3, 256)).astype(np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", gray, photometric="palette", colormap=table)
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, table.T[gray] * 257)


def ome_tiff(path, pages, sizes, data="<TiffData/>"):
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image '
        f'ID="Image:0"><Pixels ID="P:0" DimensionOrder="XYZCT" Type="uint8" SizeX="96" SizeY="72" {sizes}>{data}'
        "</Pixels></Image></OME>"
    )
    tifffile.imwrite(path, pages, photometric="minisblack", description=xml, metadata=None)
    return path


@pytest.mark.parametrize(
    "planes, sizes, data",
    [(1, 'SizeZ="1" SizeC="1"', "<TiffData/>"), (6, 'SizeZ="3" SizeC="2" SizeT="1"', "")],
)
def test_an_ome_description_that_is_not_whole(gray, tmp_path, planes, sizes, data):
    """An attribute is not there, or which page is which plane: the pages are read without it, and that is said."""
    pages = np.stack([gray // n for n in range(1, planes + 1)])
    path = ome_tiff(tmp_path / "a.ome.tif", pages if planes > 1 else gray, sizes, data)
    picture = read_image(path, ReadOptions(z=planes) if planes > 1 else ReadOptions())
    assert np.array_equal(picture.pixels, pages[-1])
    assert any("OME description is incomplete or does not fit" in warning for warning in picture.warnings)


def test_a_whole_ome_description_is_gone_by(gray, tmp_path):
    path = ome_tiff(tmp_path / "a.ome.tif", gray, 'SizeZ="1" SizeC="1" SizeT="1"')
    assert not read_image(path).warnings


def test_a_choice_that_one_of_several_images_lacks(gray, tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tiff:
        for image, axes in ((np.stack([gray] * 5), "ZYX"), (gray[:60], "YX")):
            tiff.write(image, photometric="minisblack", metadata={"axes": axes})
    with pytest.raises(ImageError, match=r"there is no --z 3.* \(of image 2 of 2; --series chooses other images\)"):
        open_images(tmp_path / "a.ome.tif", ReadOptions(z=3))
    assert len(open_images(tmp_path / "a.ome.tif", ReadOptions(z=3, series=(1,)))) == 1


def test_pages_with_display_colours_of_their_own_are_channels(gray, tmp_path):
    ramps = np.zeros((2, 3, 256), np.uint16)
    ramps[0, 1] = ramps[1, 0] = np.arange(256) * 257
    with tifffile.TiffWriter(tmp_path / "a.tif") as tiff:
        for ramp, pixels in zip(ramps, (gray, gray // 2)):
            tiff.write(pixels, photometric="palette", colormap=ramp, metadata=None)
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, np.dstack([gray, gray // 2]))


def test_without_a_photometric_interpretation_0_is_black(gray, tmp_path):
    """As libtiff takes it; TIFF asks for this tag."""
    tifffile.imwrite(tmp_path / "a.tif", gray, metadata=None)
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        place = tiff.pages[0].tags["PhotometricInterpretation"].offset
    content = bytearray((tmp_path / "a.tif").read_bytes())
    content[place : place + 2] = (263).to_bytes(2, "little")  # the next tag, one that says nothing
    (tmp_path / "a.tif").write_bytes(content)
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, gray)


@pytest.mark.parametrize("metadata", [None, {}])
def test_cmyk_in_separate_planes(tissue, tmp_path, metadata):
    """Also where tifffile notes the shape, which it does for arrays of any meaning."""
    inks = np.stack([*(255 - tissue).transpose(2, 0, 1), np.zeros(tissue.shape[:2], np.uint8)])
    tifffile.imwrite(
        tmp_path / "a.tif", inks, photometric="separated", planarconfig="separate", metadata=metadata, rowsperstrip=7
    )
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, tissue)


def test_uncompressed_ycbcr_is_converted(tissue, tmp_path):
    stored = cv2.cvtColor(tissue, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]]
    tifffile.imwrite(
        tmp_path / "a.tif",
        stored,
        photometric="ycbcr",
        compression="zlib",
        metadata=None,
        extratags=[(530, 3, 2, (1, 1), True)],
    )
    assert np.abs(read_image(tmp_path / "a.tif").pixels.astype(int) - tissue).max() <= 2


@pytest.mark.parametrize(
    "compression, program, converted",
    [(33003, "Aperio Image Library v10", True), (33005, "Aperio Image Library v10", False), (33003, "other", False)],
)
@pytest.mark.parametrize("photometric", ["rgb", "ycbcr"])
def test_jpeg_2000_of_aperio(tissue, tmp_path, compression, program, converted, photometric):
    """Of the two that Aperio has, one holds YCbCr; other programs write RGB under the same number."""
    stored = cv2.cvtColor(tissue, cv2.COLOR_RGB2YCrCb)[..., [0, 2, 1]] if converted else tissue
    tile = imagecodecs.jpeg2k_encode(np.ascontiguousarray(stored), level=0, codecformat="j2k", mct=False)
    tifffile.imwrite(
        tmp_path / "a.svs",
        iter([tile]),
        shape=stored.shape,
        dtype=stored.dtype,
        rowsperstrip=len(stored),
        compression=compression,
        photometric=photometric,
        subsampling=(1, 1),
        description=f"{program}\r\n|MPP = 0.5",
        metadata=None,
    )
    picture = read_image(tmp_path / "a.svs")
    assert np.abs(picture.pixels.astype(int) - tissue).max() <= (3 if converted else 0)
    assert ("converted from YCbCr" in picture.axes) == converted


@pytest.mark.parametrize("planar", [False, True])
def test_a_last_strip_that_says_the_length_of_the_others(tissue, tmp_path, planar):
    """It would end behind the file. With a byte less the file is cut short."""
    stored = tissue.transpose(2, 0, 1) if planar else tissue
    rows = 32
    assert len(tissue) % rows
    config = "separate" if planar else "contig"
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric="rgb", planarconfig=config, rowsperstrip=rows, metadata=None
    )
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as tiff:
        page = tiff.pages[0]
        page.tags["StripByteCounts"].overwrite([page.databytecounts[0]] * len(page.databytecounts))
    assert np.array_equal(read_image(tmp_path / "a.tif").pixels, tissue)
    regions = open_image(tmp_path / "a.tif", settings=StoreSettings(whole_bytes=0)).pixels
    assert np.array_equal(regions[3:, 5:20], tissue[3:, 5:20])
    (tmp_path / "a.tif").write_bytes((tmp_path / "a.tif").read_bytes()[:-1])
    with pytest.raises(ImageError, match=r"a\.tif: the file is cut short"):
        read_image(tmp_path / "a.tif")


def test_a_raw_mosaic_is_refused_with_a_word(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((40, 50), np.uint16), photometric="cfa", metadata=None)
    with pytest.raises(ImageError, match=r"a\.tif: .*raw mosaic.*save it as gray or RGB"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize("compression", [None, "zlib"])
def test_a_plane_that_was_taken_out_of_a_stack(tmp_path, compression):
    """With ImageJ's description of the stack, as many programs leave it."""
    plane = RNG.integers(0, 255, (64, 80), np.uint8)
    text = "ImageJ=1.53t\nimages=3\nchannels=3\nmode=composite\n"
    tifffile.imwrite(tmp_path / "a.tif", plane, metadata=None, description=text, compression=compression)
    ((image,), _) = SafeReader().open_images(tmp_path / "a.tif", ReadOptions())
    picture = image.open()
    assert np.array_equal(picture.pixels[:, :], plane)
    assert picture.warnings == ("a.tif: its description is of a stack of 3 planes, of which it holds 1",)


def test_a_stack_of_imagej_that_was_cut_off(tmp_path):
    """In its second plane: that is damage."""
    planes = RNG.integers(0, 255, (3, 64, 80), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", planes, imagej=True, metadata={"axes": "CYX"})
    assert open_image(tmp_path / "a.tif").shape == (64, 80)
    size = (tmp_path / "a.tif").stat().st_size
    os.truncate(tmp_path / "a.tif", size - 64 * 80 - 100)
    with pytest.raises(ImageError):
        SafeReader().open_images(tmp_path / "a.tif", ReadOptions())
