"""training.readers.label_images: label images, palettes, colours, floats and arrays; Cellpose's files run no code."""

import os
import pickle

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from inference.outputs.cellpose_seg import write_cellpose_seg
from inference.outputs.label_rows import LabelRows
from training.images.datasets import read_labels
from training.readers.label_images import as_labels, read_label_image, read_numpy

LABELS = np.array([[0, 0, 3, 3], [7, 0, 3, 0], [7, 7, 0, 300]], np.uint16)


@pytest.mark.parametrize("name", ["a.tif", "a.png"])
def test_numbers_of_a_label_image_stay(tmp_path, name):
    path = tmp_path / name
    tifffile.imwrite(path, LABELS) if name.endswith("tif") else cv2.imwrite(str(path), LABELS)
    assert read_label_image(path).labels.tolist() == LABELS.tolist()


def test_numbers_are_those_stored_whatever_is_shown(tmp_path):
    """A TIFF whose lookup table is inverted, as Fiji writes masks; here and where trainings read labels."""
    labels = np.arange(12, dtype=np.uint16).reshape(3, 4)
    tifffile.imwrite(tmp_path / "a.tif", labels, photometric="miniswhite", metadata=None)
    assert np.array_equal(read_label_image(tmp_path / "a.tif").labels, labels)
    assert np.array_equal(read_labels(tmp_path / "a.tif"), labels)


def test_large_numbers_are_names_alone(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.array([[0, 7], [1_200_000_000, 7]], np.uint32))
    assert read_label_image(tmp_path / "a.tif").labels.tolist() == [[0, 1], [2, 1]]


def test_a_palette_gives_its_indices(tmp_path):
    """An indexed PNG has a number for each cell, and colours that are only for show."""
    indices = LABELS.clip(0, 9).astype(np.uint8)
    image = Image.fromarray(indices, "P")
    image.putpalette([17 * n % 256 for n in range(768)])
    image.save(tmp_path / "a.png")
    assert read_label_image(tmp_path / "a.png").labels.tolist() == indices.tolist()


def test_a_palette_with_black_elsewhere(tmp_path):
    """As programs leave it that sort the colours of what they save."""
    image = Image.fromarray(np.array([[3, 0], [2, 3]], np.uint8), "P")
    image.putpalette([9, 8, 7, 6, 5, 4, 1, 2, 3, 0, 0, 0])
    image.save(tmp_path / "a.png")
    assert read_label_image(tmp_path / "a.png").labels.tolist() == [[0, 3], [2, 0]]


def test_napari_writes_32_and_64_bits(tmp_path):
    for dtype in (np.int32, np.int64):
        tifffile.imwrite(tmp_path / "a.tif", LABELS.astype(dtype))
        assert read_label_image(tmp_path / "a.tif").labels.dtype == np.uint16


def test_whole_floats_are_labels_and_fractions_are_counted(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", LABELS.astype(np.float32))
    assert read_label_image(tmp_path / "a.tif").fractions == 0
    values = LABELS.astype(np.float32)
    values[0, 1], values[1, 3] = 1.5, 0.25
    tifffile.imwrite(tmp_path / "b.tif", values)
    read = read_label_image(tmp_path / "b.tif")
    assert read.fractions == 2
    assert read.labels[0, 2] == 3


def test_colours_of_cellprofiler_are_a_cell_each():
    """Its ConvertObjectsToImage paints each object in a colour of its own on black."""
    picture = np.zeros((3, 4, 3), np.uint8)
    picture[0, 2:], picture[2, 0] = (200, 10, 10), (10, 10, 200)
    labels = as_labels(picture, "x").labels
    assert (labels > 0).sum() == 3
    assert labels[0, 2] == labels[0, 3] != labels[2, 0]


def test_three_equal_channels_are_one():
    assert as_labels(np.repeat(LABELS[..., None], 3, axis=2), "x").labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize("channels", [3, 4])
def test_a_png_with_colours_of_16_bits_keeps_all_of_them(tmp_path, channels):
    """Of cells numbered up to 255 in three equal channels the upper bits hold nothing."""
    gray, colours = np.repeat(LABELS[..., None], channels, axis=2), np.zeros((3, 4, channels), np.uint16)
    gray[..., 3:] = colours[..., 3:] = 65535
    colours[0, 2:, 0], colours[2, 0, 0] = 300, 301
    for name, array in (("a.png", gray), ("b.png", colours)):
        cv2.imwrite(str(tmp_path / name), array)
    assert read_label_image(tmp_path / "a.png").labels.tolist() == LABELS.tolist()
    assert read_label_image(tmp_path / "b.png").labels.tolist() == [[0, 0, 1, 1], [0, 0, 0, 0], [2, 0, 0, 0]]


def test_several_planes_are_no_label_image(tmp_path):
    """One image a cell in a TIFF, where the first one alone was read; two planes in an array."""
    for value in (3, 7, 300):
        tifffile.imwrite(tmp_path / "a.tif", (value == LABELS).astype(np.uint8), append=True)
    with pytest.raises(ValueError, match=r"a\.tif: 3 images of one size"):
        read_label_image(tmp_path / "a.tif")
    np.save(tmp_path / "a.npy", np.stack([LABELS == 3, LABELS == 7], axis=2))
    with pytest.raises(ValueError, match=r"a\.npy: labels must be one plane"):
        read_numpy(tmp_path / "a.npy")


def test_a_small_picture_beside_labels_and_opacity_are_no_planes(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(LABELS)
        file.write(LABELS[:2, :2])
    assert read_label_image(tmp_path / "a.tif").labels.tolist() == LABELS.tolist()
    clear = np.dstack([np.where(LABELS > 0, LABELS, 999)] * 3 + [65535 * (LABELS > 0)]).astype(np.uint16)
    assert as_labels(clear, "x").labels.tolist() == LABELS.tolist()
    opaque = np.dstack([LABELS, np.full_like(LABELS, 65535)])
    assert as_labels(opaque, "x").labels.tolist() == LABELS.tolist()


def test_jpeg_is_noticed_whatever_the_name(tmp_path):
    ok, data = cv2.imencode(".jpg", np.full((8, 8), 30, np.uint8))
    (tmp_path / "a.png").write_bytes(data.tobytes())
    assert ok
    assert read_label_image(tmp_path / "a.png").lossy
    cv2.imwrite(str(tmp_path / "b.png"), LABELS)
    assert not read_label_image(tmp_path / "b.png").lossy


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((2, 2), -1), "negative"),
        (np.full((2, 2), np.nan), "infinite or none"),
        (np.zeros((2, 3, 4, 5), np.uint8), "one plane"),
    ],
)
def test_what_is_no_label_image_is_named(array, words):
    with pytest.raises(ValueError, match=f"x.tif: .*{words}"):
        as_labels(array, "x.tif")


def test_numbers_beyond_32_bits_are_counted_anew():
    assert as_labels(np.array([[0, 2**40], [2**41, 0]]), "x").labels.tolist() == [[0, 1], [2, 0]]


def test_cellposes_file_as_its_documentation_lists_it(tmp_path):
    """A dict in an array of type object, with flows and other arrays beside the masks."""
    content = {
        "filename": "a.tif",
        "masks": LABELS,
        "outlines": LABELS * 0,
        "chan_choose": [0, 0],
        "ismanual": np.zeros(3, bool),
        "flows": [np.zeros((3, 4, 3), np.uint8), np.zeros((3, 4), np.float32)],
        "est_diam": np.float64(17.0),
    }
    np.save(tmp_path / "a_seg.npy", content)
    assert read_numpy(tmp_path / "a_seg.npy").labels.tolist() == LABELS.tolist()


def test_the_cellpose_file_of_predict_comes_back(tmp_path):
    labels = np.array([[1, 1, 0], [0, 2, 2]], np.int32)
    write_cellpose_seg(tmp_path / "a_seg.npy", LabelRows.of(labels), tmp_path / "a.tif", 9.0)
    raw = read_numpy(tmp_path / "a_seg.npy")
    assert raw.labels.tolist() == labels.tolist()
    assert raw.untouched
    content = np.load(tmp_path / "a_seg.npy", allow_pickle=True).item()
    np.save(tmp_path / "a_seg.npy", content | {"colors": np.zeros((2, 3)), "manual_changes": []})
    assert not read_numpy(tmp_path / "a_seg.npy").untouched


def test_a_plain_array_is_read(tmp_path):
    np.save(tmp_path / "a.npy", LABELS)
    assert read_numpy(tmp_path / "a.npy").labels.tolist() == LABELS.tolist()


class Attack:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_code_in_a_file_is_not_run(tmp_path):
    np.save(tmp_path / "a_seg.npy", {"masks": LABELS, "filename": Attack(str(tmp_path / "made"))})
    assert read_numpy(tmp_path / "a_seg.npy").labels.tolist() == LABELS.tolist()
    assert not (tmp_path / "made").exists()


def test_a_damaged_file_is_named(tmp_path):
    for name, content in {"a_seg.npy": pickle.dumps(3), "b.npy": b"\x93NUMPY\x01\x00"}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=name):
            read_numpy(tmp_path / name)
    (tmp_path / "c.png").write_bytes(b"\x89PNG nothing")
    with pytest.raises(ValueError, match=r"c\.png: cannot be read"):
        read_label_image(tmp_path / "c.png")
