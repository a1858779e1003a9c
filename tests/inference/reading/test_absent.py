"""Parts that a file does not hold are counted: chunks of Zarr arrays in every layout, tiles of sparse TIFFs,
planes of OME-TIFFs."""

import shutil
from functools import partial

import numpy as np
import pytest
import tifffile
import zarr

from inference.reading import ImageError, ReadOptions, open_image, open_images
from inference.reading.absent import absent_chunks
from inference.reading.regions import Regions
from inference.reading.safe_reading import SafeReader

PIXELS = np.random.default_rng(0).integers(1, 255, (2, 100, 130), np.uint8)


def written(folder, version, separator, shards=None, write_empty=True, pixels=PIXELS):
    """A group with an array of 2 x 4 x 5 chunks; the files of its chunks."""
    array = zarr.open_group(folder, mode="w", zarr_format=version).create_array(
        "0",
        shape=pixels.shape,
        chunks=(1, 32, 32),
        shards=shards,
        dtype="u1",
        chunk_key_encoding={"name": "v2" if version == 2 else "default", "separator": separator},
        config={"write_empty_chunks": write_empty},
    )
    array[...] = pixels
    files = (folder / "0").rglob("*")
    return sorted(f for f in files if f.is_file() and not f.name.startswith(".z") and f.suffix != ".json")


@pytest.mark.parametrize(
    ("version", "separator", "shards", "parts"),
    [(2, "/", None, 40), (2, ".", None, 40), (3, "/", None, 40), (3, ".", None, 40), (3, "/", (1, 64, 64), 12)],
)
def test_chunks_that_are_not_there(tmp_path, version, separator, shards, parts):
    """As a folder, as one array of it, and in a ZIP file; other files beside the chunks do not count."""
    path = tmp_path / "a.zarr"
    files = written(path, version, separator, shards)
    assert len(files) == parts
    (path / "0" / "notes.txt").touch()
    (path / "0" / "99.99.99").touch()
    assert absent_chunks(path, zarr.open(path, mode="r")["0"]) == ()
    files[3].unlink(), files[7].unlink()
    said = f"2 of {parts} chunks are not there and count as 0; unless empty parts were left out, copy it again"
    assert absent_chunks(path, zarr.open(path, mode="r")["0"]) == (said,)
    assert absent_chunks(path / "0", zarr.open(path / "0", mode="r")) == (said,)
    shutil.make_archive(str(path), "zip", path)
    with zarr.storage.ZipStore(f"{path}.zip", mode="r") as store:
        assert absent_chunks(tmp_path / "a.zarr.zip", zarr.open(store, mode="r")["0"]) == (said,)


def test_a_warning_names_the_file(tmp_path):
    files = written(tmp_path / "a.zarr", 3, "/", pixels=np.stack([PIXELS[0], 0 * PIXELS[1]]), write_empty=False)
    assert len(files) == 20, "the second channel is empty and not written"
    (warning,) = open_image(tmp_path / "a.zarr" / "0", ReadOptions(z="max")).warnings
    assert warning.startswith("0: 20 of 40 chunks are not there and count as 0")


def test_none_is_there(tmp_path):
    for file in written(tmp_path / "a.zarr", 2, "."):
        file.unlink()
    with pytest.raises(ImageError, match=r"a\.zarr: none of the image's 40 chunks is there; copy it again"):
        open_image(tmp_path / "a.zarr")


def sparse(path, left_out):
    tiles = (None if number in left_out else PIXELS[0, :16, :16].copy() for number in range(6))
    tifffile.imwrite(path, tiles, shape=(32, 48), dtype=np.uint8, tile=(16, 16), photometric="minisblack")
    return path


def test_tiles_of_a_sparse_tiff(tmp_path):
    assert open_image(sparse(tmp_path / "whole.tif", ())).warnings == ()
    (warning,) = open_image(sparse(tmp_path / "sparse.tif", (2, 5))).warnings
    assert warning.startswith("sparse.tif: 2 of 6 strips or tiles are not there and are empty")
    with pytest.raises(ImageError, match=r"none\.tif: none of the image's 2 strips or tiles is there"):
        open_image(without_bytes(tmp_path / "none.tif"))


def without_bytes(path):
    """A TIFF whose table of lengths holds zeros."""
    tifffile.imwrite(path, PIXELS[0, :32], rowsperstrip=16, photometric="minisblack")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[0].tags["StripByteCounts"].overwrite((0, 0))
    return path


def recorded(path, *planes, of=5):
    """An OME-TIFF of a stack of which some z planes were recorded, the numbers of which are their pixels."""
    data = "".join(f'<TiffData IFD="{i}" FirstZ="{z - 1}" PlaneCount="1"/>' for i, z in enumerate(planes))
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image '
        'ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="40" SizeY="30" '
        f'SizeZ="{of}" SizeC="1" SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1"/>{data}</Pixels></Image></OME>'
    )
    pixels = np.multiply.outer(np.array(planes, np.uint8), np.ones((30, 40), np.uint8))
    tifffile.imwrite(path, pixels, description=xml, metadata=None, photometric="minisblack")
    return path


@pytest.mark.parametrize("planes, absent", [((1, 2, 3, 4, 5), 0), ((1, 2, 3), 2), ((1, 3, 5), 2), ((2, 4), 3)])
@pytest.mark.parametrize("safe", [False, True])
def test_planes_that_were_not_recorded(tmp_path, planes, absent, safe):
    """At the end, as of a recording that was stopped, or among the others, as of channels that skip time points."""
    path = recorded(tmp_path / "a.ome.tif", *planes)
    options = ReadOptions(z="each")
    (image,) = SafeReader().open_images(path, options)[0] if safe else open_images(path, options)
    for z in range(1, 6):
        assert (image.open(z - 1).pixels[:, :] == (z if z in planes else 0)).all()
    said = [warning for warning in image.views[0].warnings if "not recorded" in warning]
    expected = f"a.ome.tif: {absent} of 5 planes are not there and are empty; unless they were not recorded, copy"
    assert [warning.startswith(expected) for warning in said] == [True] * bool(absent)


def test_one_plane_of_several(tmp_path):
    """A plane with the description of the stack that it was taken out of."""
    message = r"a\.ome\.tif: a part of the image is missing \(of the 5 planes of its description it holds one\); copy"
    with pytest.raises(ImageError, match=message):
        open_images(recorded(tmp_path / "a.ome.tif", 1), ReadOptions(z="each"))


def test_a_plane_that_is_chosen_and_was_not_recorded(tmp_path):
    path = recorded(tmp_path / "a.ome.tif", 1, 3, 4)
    assert (open_image(path, ReadOptions(z=3)).pixels == 3).all()
    assert (open_image(path, ReadOptions(z="max")).pixels == 4).all()
    for z in (2, 5):
        with pytest.raises(ImageError, match=rf"a\.ome\.tif: z plane {z} of 5 is not there.*choose another"):
            open_image(path, ReadOptions(z=z))


def test_projections_leave_out_planes_that_were_not_recorded(tmp_path):
    """0 would make the mean darker."""
    path = recorded(tmp_path / "a.ome.tif", 1, 3, 5)
    assert (open_image(path, ReadOptions(z="mean")).pixels == 3).all()


def test_projections_leave_out_what_a_channel_skips(tmp_path):
    """Of two z planes and time points of two channels; the first channel lacks a z plane, the second a time point."""
    absent = np.zeros((2, 2, 2), bool)  # T, Z, C
    absent[0, 1, 0] = absent[1, :, 1] = True
    store = np.where(absent, 0, np.array([[[10, 20], [30, 40]], [[50, 60], [70, 80]]]))[..., None, None]
    regions = partial(Regions, store.astype(np.float32), 3, 4, 2, absent=absent)
    region = slice(None), slice(None)
    assert regions(planes=((0, "mean"), (1, "mean")))[region].tolist() == [[[35, 30]]], "(10, 60) and 30"
    assert regions(planes=((0, 1), (1, "mean")))[region].tolist() == [[[60, 0]]], "of what is not there, empty"
    assert regions(planes=((0, "mean"), (1, 1)))[region].tolist() == [[[70, 40]]]


def test_a_position_at_which_the_recording_was_stopped(tmp_path):
    path = recorded(tmp_path / "a.ome.tif", 1, 2, 3, of=2)
    told = tifffile.tiffcomment(path).replace('<TiffData IFD="2" FirstZ="2" PlaneCount="1"/>', "")
    image = told[told.index("<Image") : told.index("</OME>")]
    second = image[: image.index("<TiffData")] + '<TiffData IFD="2" PlaneCount="1"/></Pixels></Image>'
    tifffile.tiffcomment(path, told.replace("</OME>", second + "</OME>"))
    first, last = open_images(path, ReadOptions(z=1))
    assert [image.open().pixels.max() for image in (first, last)] == [1, 3]
    with pytest.raises(ImageError, match="z plane 2 of 2 of image 2 is not there.* or other images with --series"):
        open_images(path, ReadOptions(z=2))
    (only,) = open_images(path, ReadOptions(z=2, series=(1,)))
    assert only.open().pixels.max() == 2


def test_a_channel_that_skips_a_time_point(tmp_path):
    path = recorded(tmp_path / "a.ome.tif", 1, 3, 4, of=4)
    told = tifffile.tiffcomment(path).replace('SizeZ="4"', 'SizeZ="2"').replace('SizeC="1"', 'SizeC="2"')
    told = told.replace('FirstZ="2"', 'FirstZ="0" FirstC="1"').replace('FirstZ="3"', 'FirstZ="1" FirstC="1"')
    tifffile.tiffcomment(path, told)
    with pytest.raises(ImageError, match=r"a\.ome\.tif: channel 1 of 2 and z plane 2 of 2 is not there"):
        open_image(path, ReadOptions(z=2, channels=((1,),)))
    assert (open_image(path, ReadOptions(z=2, channels=((2,),))).pixels == 4).all()
    assert (open_image(path, ReadOptions(z=2)).pixels == (0, 4)).all()
