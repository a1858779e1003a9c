"""Files in processes of their own: the same pixels as in this one, and what a file does to its decoder stays there.

The other side is inference.reading.reader_process.
"""

import base64
import os
import time

import cv2
import numpy as np
import pytest
import tifffile
import zarr

from inference.reading import ImageError, ReadOptions, open_images, stores
from inference.reading.nursery import Nursery
from inference.reading.safe_reading import ReadLimits, RemoteRegions, SafeReader

CRASHING_PNG = (
    base64.b64decode(  # an animated one whose first frame is short; OpenCV 5.0.0 writes behind the end of its memory
        "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAACGFjVEwAAAACAAAAAPONk3AAAAAeSURBVHicY2BgZGJmYWVj5+Dk4ubh5eMXEB"
        "QSFhEVE5eQlPpZQroAAAAaZmNUTAAAAAEAAAAQAAAAEAAAAAAAAAAAAAEACgAA+DUl8QAAAEVmZEFUAAAAAnic42RgZGJmYWVj5+Dk4ubh5eMX"
        "EBQSFhEVE5eQlJKWkZWTV1BUUlZRVVPX0NTS1tHV0+cc1TCqYfhqAACnzkcRZo0DyQAAAABJRU5ErkJggg=="
    )
)


@pytest.fixture(scope="module")
def reader():
    return SafeReader()


def strange(name, seconds=20.0):
    """A reader whose processes do something else."""
    reader = SafeReader(ReadLimits(seconds=seconds))
    reader._nursery.close()
    reader._nursery = Nursery(f"tests.helpers.strange_readers:{name}")
    return reader


@pytest.fixture
def stack(tmp_path):
    planes = np.random.default_rng(0).integers(0, 9999, (3, 40, 50), np.uint16)
    path = tmp_path / "stack.tif"
    tifffile.imwrite(path, planes, imagej=True, metadata={"axes": "ZYX", "unit": "um"}, resolution=(2, 4))
    return path, planes


def test_as_in_this_process(reader, stack):
    """Images, what is known of them, and pixels."""
    path, planes = stack
    options = ReadOptions(z="each")
    (here,), ((there,), digest) = open_images(path, options), reader.open_images(path, options)
    assert len(digest) == 16
    assert there.suffix == here.suffix
    assert there.stack == here.stack == (3,)
    assert there.stack_axes == "Z"
    for ours, theirs, plane in zip(here.views, there.views, planes, strict=True):
        assert (theirs.reading, theirs.pixel_size, theirs.warnings) == (ours.reading, ours.pixel_size, ours.warnings)
        assert theirs.pixels.shape == ours.pixels.shape
        assert theirs.pixels.dtype == ours.pixels.dtype
        assert np.array_equal(there.load(theirs).pixels, plane)


@pytest.mark.parametrize("shape", [(1, 1), (37, 53), (37, 53, 3)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_pixels(reader, tmp_path, shape, dtype):
    pixels = np.random.default_rng(0).integers(0, 255, shape).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    (image,), _ = reader.open_images(tmp_path / "a.tif", ReadOptions())
    found = image.open().pixels
    assert found.dtype == dtype
    assert np.array_equal(found, pixels)


def test_regions(reader, tmp_path):
    """A part of a large file, also every n-th pixel of it."""
    side = int((2 * stores.STORE_SETTINGS.whole_bytes) ** 0.5)
    array = zarr.create_array(tmp_path / "a.zarr", shape=(side, side), chunks=(1024, 1024), dtype="uint8", fill_value=7)
    array[5:9, 6:8] = 1
    pixels = reader.open_images(tmp_path / "a.zarr", ReadOptions())[0][0].open().pixels
    assert isinstance(pixels, RemoteRegions)
    assert pixels.ndim == 2
    assert pixels.nbytes == side * side
    assert np.array_equal(pixels[4:7, 5:8], [[7, 7, 7], [7, 1, 1], [7, 1, 1]])
    assert np.array_equal(pixels[5:9:3, 5:9:2], [[7, 1], [7, 1]])
    assert pixels[3:3, :].shape == (0, side)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("crash", r"a.tif: its decoder crashed \(SIGSEGV\)"),
        ("babble", "a.tif: its decoder was stopped"),
        ("exhaust", r"a.tif: its decoder needs more memory than there is \(5 MB left\)"),
    ],
)
def test_what_happens_there_is_an_error_here(tmp_path, kind, message):
    with pytest.raises(ImageError, match=message):
        strange(kind).open_images(tmp_path / "a.tif", ReadOptions())


def test_a_decoder_that_never_ends(tmp_path):
    reader, start = strange("hang", 0.3), time.monotonic()
    with pytest.raises(ImageError, match="no answer for 0.3 s; --timeout is too short for it, or the file is damaged"):
        reader.open_images(tmp_path / "a.tif", ReadOptions())
    assert time.monotonic() - start < 100


def test_a_decoder_that_stops_halfway(tmp_path):
    (image,), _ = strange("stall", 2).open_images(tmp_path / "a.tif", ReadOptions())
    with pytest.raises(ImageError, match="no answer for 2 s"):
        image.open()
    with pytest.raises(ImageError, match="a.tif: its decoder was stopped"):
        image.open()


def test_processes_end_with_their_files(reader, stack):
    (image,), _ = reader.open_images(stack[0], ReadOptions(z="max"))
    number = int(image.views[0].pixels._file._end.peek()[1].__self__._number)
    os.kill(number, 0)
    del image
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_a_nursery_that_was_killed_is_replaced(stack):
    reader = SafeReader()
    reader._nursery.close()
    assert reader.open_images(stack[0], ReadOptions(z="max"))[0][0].open().shape == (40, 50)


def test_most_pixels(tmp_path):
    """Told from the header, before anything is decoded."""
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((30, 40), np.uint8))
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((30, 40), np.uint8))
    reader = SafeReader(ReadLimits(pixels=1199))
    for name in ("a.png", "a.tif"):
        with pytest.raises(ImageError, match=f"{name}: 40x30 pixels are more than the 1199 of --max-pixels"):
            reader.open_images(tmp_path / name, ReadOptions())


def test_pipes_and_devices(reader, tmp_path):
    os.mkfifo(tmp_path / "pipe.tif")
    (tmp_path / "zero.tif").symlink_to("/dev/zero")
    for name in ("pipe.tif", "zero.tif"):
        with pytest.raises(ImageError, match=f"{name}: not a file but a pipe, socket or device"):
            reader.open_images(tmp_path / name, ReadOptions())


def test_a_png_that_crashes_its_decoder(reader, tmp_path):
    (tmp_path / "a.png").write_bytes(CRASHING_PNG)
    with pytest.raises(ImageError, match="a.png: "):
        reader.open_images(tmp_path / "a.png", ReadOptions())
    cv2.imwrite(str(tmp_path / "b.png"), np.ones((30, 40), np.uint8))
    assert reader.open_images(tmp_path / "b.png", ReadOptions())[0][0].open().pixels.all(), "the next file is read"


def test_a_decoder_that_fills_what_is_missing(reader, tmp_path):
    """JPEG in a small TIFF, whose library gives gray for what the file does not hold."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8), compression="jpeg")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageError, match=rf"a.tif: the file is cut short \({len(content) // 2} bytes instead of"):
        reader.open_images(path, ReadOptions())


def test_a_channel_that_the_file_does_not_hold(reader, tmp_path):
    """OME-XML that tells of a page behind the last one; tifffile gives zeros."""
    path = tmp_path / "a.ome.tif"
    pages = "".join(
        f'<TiffData IFD="{page}" FirstC="{channel}" PlaneCount="1"/>' for channel, page in enumerate((0, 1, 5))
    )
    channels = "".join(f'<Channel ID="Channel:0:{channel}" SamplesPerPixel="1"/>' for channel in range(3))
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="50" SizeY="40" SizeC="3" SizeZ="1" SizeT="1">'
        f"{channels}{pages}</Pixels></Image></OME>"
    )
    tifffile.imwrite(path, np.ones((2, 40, 50), np.uint8), photometric="minisblack", description=xml, metadata=None)
    with pytest.raises(ImageError, match=r"a.ome.tif: a part of the image is missing .*index 5 out of range"):
        reader.open_images(path, ReadOptions())


def test_a_damaged_tag_that_says_what_pixels_are(reader, tmp_path):
    """Without it, tifffile takes 8 bits for one."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, np.ones((40, 50), np.uint8))
    with tifffile.TiffFile(path) as tiff:
        place = tiff.pages[0].tags["BitsPerSample"].offset
    content = bytearray(path.read_bytes())
    content[place + 2 : place + 4] = b"\xff\xff"  # the type of the tag's value
    path.write_bytes(content)
    with pytest.raises(ImageError, match=r"a.tif: a part of the image is missing .*TiffTag 258"):
        reader.open_images(path, ReadOptions())


def test_a_complaint_is_passed_on_once(reader, tmp_path):
    """The library makes it when the file is opened, and when its pixels are read."""
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.ones((40, 50), np.uint8), description="<OME><OME>", metadata=None)
    picture = reader.open_images(path, ReadOptions())[0][0].open()
    assert [warning for warning in picture.warnings if "ParseError" in warning] == [
        "a.ome.tif: <tifffile.TiffFile 'a.ome.tif'> OME series raised ParseError('no element found: line 1, column 10')"
    ]


@pytest.mark.parametrize(
    "told, name",
    [
        ('FileName="b.ome.tif"', "b.ome.tif"),
        ("FileName='c.tif'", "c.tif"),
        ('FileName="sub/d&amp;e.tif"', "sub/d&e.tif"),
    ],
)
def test_partner_files_count_however_they_are_named(tmp_path, told, name):
    """The digest of a set of OME-TIFF files changes with each file that pixels are read from."""
    plane = '<TiffData IFD="0" FirstC="{}" PlaneCount="1"><UUID {}>urn:uuid:{}</UUID></TiffData>'
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0"><Image ID="Image:0"><Pixels '
        'ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="50" SizeY="40" SizeC="2" SizeZ="1" SizeT="1">'
        + plane.format(0, 'FileName="a.ome.tif"', 0)
        + plane.format(1, told, 1)
        + "</Pixels></Image></OME>"
    )
    tifffile.imwrite(tmp_path / "a.ome.tif", np.zeros((40, 50), np.uint8), description=xml, metadata=None)
    partner = tmp_path / name
    partner.parent.mkdir(exist_ok=True)
    digests = set()
    for value in (1, 2):
        tifffile.imwrite(partner, np.full((40, 50), value, np.uint8))
        os.utime(partner, (value, value))
        (image,), digest = SafeReader().open_images(tmp_path / "a.ome.tif", ReadOptions())
        assert image.open().pixels[..., 1].max() == value
        digests.add(digest)
    assert len(digests) == 2
