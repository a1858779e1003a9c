"""OME-Zarr by bioio, by the specifications and by GDAL; plates, the layout of bioformats2raw, ZIP files."""

import shutil

import numpy as np
import pytest
import zarr

from inference.reading import ImageError, ReadOptions, open_image, open_images, read_image
from inference.reading.stores import StoreSettings

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 60_000, (2, 40, 50), np.uint16)


def write_image(group, pixels=PIXELS, version=2, **more):
    """A multiscale image in a group, with units, as the specification 0.4 or 0.5 says."""
    group.create_array("0", shape=pixels.shape, chunks=(1, 32, 32), dtype=pixels.dtype)[...] = pixels
    axes = [{"name": "c", "type": "channel"}, *({"name": n, "type": "space", "unit": "micrometer"} for n in "yx")]
    scale = {"type": "scale", "scale": [1, 0.25, 0.5]}
    attributes = {
        "multiscales": [{"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": [scale]}]}],
        **more,
    }
    group.attrs.update(attributes if version == 2 else {"ome": {"version": "0.5", **attributes}})


@pytest.mark.parametrize("version", [2, 3])
def test_bioio(tmp_path, version):
    from bioio_ome_zarr.writers import Channel, OMEZarrWriter

    data = RNG.integers(0, 60_000, (2, 3, 40, 50), np.uint16)
    writer = OMEZarrWriter(
        str(tmp_path / "a.ome.zarr"),
        level_shapes=[data.shape, (2, 3, 20, 25)],
        dtype=np.uint16,
        axes_names=["c", "z", "y", "x"],
        axes_types=["channel", "space", "space", "space"],
        axes_units=[None, "micrometer", "micrometer", "micrometer"],
        physical_pixel_size=[1, 2, 0.25, 0.5],
        channels=[Channel(label="DAPI", color="0000FF"), Channel(label="GFP", color="00FF00")],
        zarr_format=version,
    )
    writer.write_full_volume(data)
    picture = read_image(tmp_path / "a.ome.zarr", ReadOptions(z=2, channels=(("gfp",), ("dapi",))))
    assert np.array_equal(picture.pixels, data[::-1, 1].transpose(1, 2, 0))
    assert picture.pixel_size == (0.25, 0.5)
    assert picture.channels == ("GFP", "DAPI")
    assert picture.format == "OME-Zarr"


@pytest.mark.parametrize("version", [2, 3])
def test_channels_and_pixel_size(tmp_path, version):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=version)
    write_image(group, version=version, omero={"channels": [{"label": "Hoechst"}, {"label": "WGA"}]})
    picture = read_image(tmp_path / "a.zarr")
    assert np.array_equal(picture.pixels, PIXELS.transpose(1, 2, 0))
    assert (picture.channels, picture.pixel_size) == (("Hoechst", "WGA"), (0.25, 0.5))


@pytest.mark.parametrize("version", [2, 3])
def test_every_image_of_several_multiscales(tmp_path, version):
    """But one alone of those that make smaller levels of the same array."""
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=version)
    write_image(group, version=version)
    group.create_array("other", data=PIXELS[0], chunks=(20, 20))
    told = group.attrs["ome"] if version == 3 else dict(group.attrs)
    plane = {"axes": [{"name": "y"}, {"name": "x"}], "datasets": [{"path": "other"}]}
    told["multiscales"] += [told["multiscales"][0], plane]
    group.attrs.update({"ome": told} if version == 3 else told)
    first, second = open_images(tmp_path / "a.zarr")
    assert np.array_equal(first.open().pixels, PIXELS.transpose(1, 2, 0))
    assert np.array_equal(second.open().pixels, PIXELS[0])


def test_an_image_whose_full_resolution_is_not_there(tmp_path):
    """Whose smaller one does not stand for it; a smaller one that is missing is not missed."""
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    write_image(group)
    (told,) = group.attrs["multiscales"]
    group.attrs["multiscales"] = [{**told, "datasets": [*told["datasets"], {"path": "1"}]}]
    assert np.array_equal(read_image(tmp_path / "a.zarr").pixels, PIXELS.transpose(1, 2, 0))
    shutil.move(tmp_path / "a.zarr" / "0", tmp_path / "a.zarr" / "1")
    with pytest.raises(ImageError, match=r"a\.zarr: a part of the image is missing \(0, its full resolution\)"):
        read_image(tmp_path / "a.zarr")


@pytest.mark.parametrize("kind, options", [("channel", {"channels": ((4,),)}), ("time", {"t": 4})])
def test_an_axis_that_is_told_by_its_type(tmp_path, kind, options):
    """The specification leaves names free for others than those of space."""
    pixels = RNG.integers(0, 255, (5, 40, 50), np.uint8)
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=pixels, chunks=(1, 20, 20))
    axes = [{"name": "stain or hour", "type": kind}, *({"name": name, "type": "space"} for name in "yx")]
    group.attrs["multiscales"] = [{"axes": axes, "datasets": [{"path": "0"}]}]
    with pytest.raises(ImageError, match="5 channels" if kind == "channel" else "5 time points"):
        read_image(tmp_path / "a.zarr")
    assert np.array_equal(read_image(tmp_path / "a.zarr", ReadOptions(**options)).pixels, pixels[3])


@pytest.mark.parametrize("names", ["yx", "tcyx"])
def test_axes_of_another_number_than_the_arrays(tmp_path, names):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=PIXELS, chunks=(1, 20, 20))
    axes = [{"name": name} for name in names]
    group.attrs["multiscales"] = [{"axes": axes, "datasets": [{"path": "0"}]}]
    with pytest.raises(ImageError, match=r"a\.zarr: .*--axes"):
        read_image(tmp_path / "a.zarr")
    picture = read_image(tmp_path / "a.zarr", ReadOptions(axes="CYX"))
    assert np.array_equal(picture.pixels, PIXELS.transpose(1, 2, 0))


def test_the_name_of_a_folder_does_not_matter(tmp_path):
    write_image(zarr.open_group(tmp_path / "measured today", mode="w"), version=3)
    assert read_image(tmp_path / "measured today").pixels.shape == (40, 50, 2)


@pytest.mark.parametrize("version", [2, 3])
def test_every_field_of_a_plate(tmp_path, version):
    root = zarr.open_group(tmp_path / "plate.zarr", mode="w", zarr_format=version)

    def told(**attributes):
        return attributes if version == 2 else {"ome": attributes}

    root.attrs.update(told(plate={"wells": [{"path": "A/1"}, {"path": "B/3"}]}))
    for i, well in enumerate(("A/1", "B/3")):
        group = root.create_group(well)
        group.attrs.update(told(well={"images": [{"path": "0"}, {"path": "1"}]}))
        for field in range(2):
            write_image(group.create_group(str(field)), PIXELS + 2 * i + field, version)
    images = open_images(tmp_path / "plate.zarr")
    assert [(image.suffix, image.name) for image in images] == [
        ("_s1", "A/1/0"),
        ("_s2", "A/1/1"),
        ("_s3", "B/3/0"),
        ("_s4", "B/3/1"),
    ]
    for i, image in enumerate(images):
        assert np.array_equal(image.open().pixels, (PIXELS + i).transpose(1, 2, 0))


def test_a_plate_of_which_a_well_is_not_there(tmp_path):
    root = zarr.open_group(tmp_path / "plate.zarr", mode="w", zarr_format=2)
    root.attrs["plate"] = {"wells": [{"path": "A/1"}, {"path": "A/2"}]}
    group = root.create_group("A/1")
    group.attrs["well"] = {"images": [{"path": "0"}, {"path": "1"}]}
    with pytest.raises(ImageError, match="of its 3 images none is there: A/1/0; copy it again"):
        open_images(tmp_path / "plate.zarr")
    write_image(group.create_group("0"), PIXELS, 2)
    (image,) = open_images(tmp_path / "plate.zarr")
    picture = image.open()
    assert np.array_equal(picture.pixels, PIXELS.transpose(1, 2, 0))
    assert picture.warnings == ("plate.zarr: left out, as they are not there: A/1/1, A/2",)


def test_an_empty_image_does_not_keep_the_others_from_being_read(tmp_path):
    """As of a recording that was stopped, whose images were all made at its start."""
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    write_image(root.create_group("0"), 0 * PIXELS)
    with pytest.raises(ImageError, match=r"a\.zarr: of its 1 images none is there: 0 \(none of the image's"):
        open_images(tmp_path / "a.zarr")
    write_image(root.create_group("1"), PIXELS)
    (image,) = open_images(tmp_path / "a.zarr")
    assert np.array_equal(image.open().pixels, PIXELS.transpose(1, 2, 0))
    assert image.open().warnings[0].startswith("a.zarr: left out, as they are not there: 0 (none of the image's")


def test_every_series_of_bioformats2raw(tmp_path):
    root = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    root.attrs["bioformats2raw.layout"] = 3
    root.create_group("OME").attrs["series"] = ["0", "1"]
    for i in range(11):
        write_image(root.create_group(str(i)), PIXELS + i)
    images = open_images(tmp_path / "a.zarr")
    assert [image.name for image in images] == [str(i) for i in range(11)]
    assert np.array_equal(images[10].open().pixels, (PIXELS + 10).transpose(1, 2, 0))


@pytest.mark.parametrize("inside", [False, True])
def test_zipped(tmp_path, inside):
    """The image at the top of the ZIP file or in a folder; under any name."""
    write_image(zarr.open_group(tmp_path / "in" / "a.ome.zarr", mode="w"), version=3)
    shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "in" if inside else tmp_path / "in" / "a.ome.zarr")
    picture = read_image(tmp_path / "packed.zip")
    assert np.array_equal(picture.pixels, PIXELS.transpose(1, 2, 0))
    assert picture.pixel_size == (0.25, 0.5)
    regions = open_image(tmp_path / "packed.zip", settings=StoreSettings(whole_bytes=0)).pixels
    assert np.array_equal(regions[3:9, 5:45], picture.pixels[3:9, 5:45])


def test_several_in_one_zip_file(tmp_path):
    for name in ("a.zarr", "a.zarr2"):
        write_image(zarr.open_group(tmp_path / "in" / name, mode="w"), version=2)
    shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path / "in")
    with pytest.raises(ImageError, match=r"packed\.zip: holds more than one Zarr \(a\.zarr, a\.zarr2\); unpack it"):
        open_images(tmp_path / "packed.zip")


def test_gdal(program, gray, gray_png, tmp_path):
    program("gdal_translate", "-of", "ZARR", gray_png, tmp_path / "a.zarr")
    assert np.array_equal(read_image(tmp_path / "a.zarr").pixels, gray)


def test_named_axes_of_a_plain_array(tmp_path):
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=(40, 2, 50), chunks=(8, 1, 50), dtype="u2", dimension_names=["y", "c", "x"]
    )
    array[...] = PIXELS.transpose(1, 0, 2)
    assert np.array_equal(read_image(tmp_path / "a.zarr").pixels, PIXELS.transpose(1, 2, 0))


@pytest.mark.parametrize(
    "shape, options, axes, channels",
    [
        ((40, 50, 3), {}, "YXS", ("red", "green", "blue")),
        ((40, 50, 2), {}, "YXC", ()),
        ((5, 40, 50, 3), {"z": 2}, "ZYXS", ("red", "green", "blue")),
        ((5, 40, 50), {"z": 2}, "ZYX", ()),
        ((2, 5, 40, 50), {"z": 2}, "CZYX", ()),
    ],
)
def test_axes_of_an_array_without_names(tmp_path, shape, options, axes, channels):
    """Channels may be the last axis, as arrays in Python have them."""
    pixels = RNG.integers(0, 255, shape, np.uint8)
    zarr.create_array(tmp_path / "a.zarr", data=pixels, chunks=shape)
    picture = read_image(tmp_path / "a.zarr", ReadOptions(**options))
    plane = pixels.take(1, axes.index("Z")) if "Z" in axes else pixels
    assert np.array_equal(picture.pixels, plane.transpose(1, 2, 0) if axes == "CZYX" else plane)
    assert picture.axes.startswith(f"{axes} (")
    assert picture.channels == channels
    assert ("taken from the lengths" in picture.axes) == (axes[-1] in "SC")


def test_a_group_that_does_not_say_which_array_is_the_image(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    for name in ("raw", "masks"):
        group.create_array(name, shape=(4, 4), dtype="u1")
    with pytest.raises(ImageError, match=r"a\.zarr: a Zarr group of 2 arrays.*a\.zarr/(?:raw|masks)"):
        read_image(tmp_path / "a.zarr")


@pytest.mark.parametrize(
    "scale, omero",
    [
        (["a", "b"], {}),
        ([1.0], {}),
        ({"x": 1}, {}),
        ([0.5, 0.5], ["odd"]),
        ([0.5, 0.5], {"channels": ["odd"]}),
    ],
)
def test_metadata_that_are_not_understood_are_left_out(tmp_path, scale, omero):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    group.create_array("0", data=PIXELS[0], chunks=(20, 20))
    axes = [{"name": name, "type": "space", "unit": "micrometer"} for name in "yx"]
    dataset = {"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}
    group.attrs.update({"multiscales": [{"axes": axes, "datasets": [dataset]}], "omero": omero})
    picture = read_image(tmp_path / "a.zarr")
    assert np.array_equal(picture.pixels, PIXELS[0])
    assert len(picture.warnings) == 1
    assert "are not understood and left out" in picture.warnings[0]
