"""Chunks that Blosc has packed and that lost their end are an error; others are read as they are."""

import shutil

import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, ZstdCodec

from inference.reading import ImageError, open_image
from inference.reading.whole_chunks import checked

PIXELS = np.random.default_rng(0).integers(0, 255, (40, 50), np.uint8)


def written(folder, version, compressor="auto", chunks=(32, 32)):
    if version == 3 and compressor == "auto":
        compressor = BloscCodec(cname="lz4")
    array = zarr.create_array(
        folder, shape=PIXELS.shape, chunks=chunks, dtype="u1", zarr_format=version, compressors=compressor
    )
    array[...] = PIXELS
    return folder / ("0.0" if version == 2 else "c/0/0")


@pytest.mark.parametrize("version", [2, 3])
def test_a_chunk_that_is_cut_short(tmp_path, version):
    """By one byte, by half, and before its length is told; in a ZIP file too."""
    path = tmp_path / "a.zarr"
    if version == 2:
        import numcodecs

        chunk = written(path, 2, numcodecs.Blosc())
    else:
        chunk = written(path, 3)
    content = chunk.read_bytes()
    assert np.array_equal(open_image(path).pixels[:, :], PIXELS)
    for length in (len(content) - 1, len(content) // 2, 15, 0):
        chunk.write_bytes(content[:length])
        with pytest.raises(ImageError, match=rf"a\.zarr: a part of the image is damaged .*cut short, {length} bytes"):
            read(path)
    shutil.make_archive(str(path), "zip", path)
    with pytest.raises(ImageError, match=r"a\.zarr\.zip: a part of the image is damaged .*cut short, 0 bytes"):
        read(tmp_path / "a.zarr.zip")


def read(path):
    return open_image(path).pixels[:, :]


@pytest.mark.parametrize("compressor", [ZstdCodec(), None])
def test_other_codecs_have_no_such_length(tmp_path, compressor):
    """The same array, not one that compares bytes of pixels with lengths."""
    written(tmp_path / "a.zarr", 3, compressor)
    array = zarr.open_array(tmp_path / "a.zarr", mode="r")
    assert checked(array) is array
    assert np.array_equal(array[:], PIXELS)


def test_chunks_in_a_shard(tmp_path):
    """A shard begins with no length of its own."""
    array = zarr.create_array(
        tmp_path / "a.zarr", shape=PIXELS.shape, chunks=(8, 10), shards=(40, 50), dtype="u1", compressors=BloscCodec()
    )
    array[...] = PIXELS
    assert np.array_equal(read(tmp_path / "a.zarr"), PIXELS)
