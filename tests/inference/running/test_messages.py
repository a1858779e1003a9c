"""What is said of an image names its file and what to do, on one line.

inference.outputs.refusal is among it; each kind of inference.outputs.products is written in tests/test_predict.py.
"""

import errno
import logging
import os
from dataclasses import replace
from pathlib import Path

import pytest

from inference.outputs.products import Product
from inference.outputs.refusal import OutputRefused
from inference.reading import ImageError
from inference.running.finding import Skipped
from inference.running.messages import collected_warnings, describe, skipped_lines, summary_of, write_product
from inference.running.report import ReportRow
from models.checksums import CheckpointError


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ImageError("a.tif: cut short; copy it again"), "a.tif: cut short; copy it again"),
        (CheckpointError("w/class0.safetensors: damaged"), "a.tif: w/class0.safetensors: damaged"),
        (MemoryError(), "a.tif: not enough memory for this image; close other programs, or cut the image into parts"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
            "a.tif: not enough memory for this image; close other programs, or cut the image into parts",
        ),
        (
            OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
            "a.tif: No space left on device; check the free space and the permissions of the output folder",
        ),
        (
            OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG)),
            "a.tif: the names of its results would be too long; give the file a shorter name",
        ),
        (
            RuntimeError("(-4:Insufficient memory) Failed to allocate 1000000 bytes"),
            "a.tif: not enough memory for this image; close other programs, or cut the image into parts",
        ),
        (ValueError("odd\n one"), "a.tif: ValueError: odd one; run it again with -v and report what it prints"),
    ],
)
def test_errors_in_words(error, said):
    assert describe("a.tif", error) == said


def test_warnings_of_the_program_are_collected_while_they_are_wanted():
    ours, other = logging.getLogger("inference.anything"), logging.getLogger("elsewhere")
    with collected_warnings() as warnings:
        ours.warning("a %s", "b")
        ours.error("no warning")
        other.warning("not ours")
    ours.warning("too late")
    assert warnings == ["a b"]


def test_lines_about_images():
    done = ReportRow("done", "a.tif", "a_label.tiff", cells=7, removed_cells=2, cell_diameter_px=12.4, class_="gray")
    assert summary_of(ReportRow("kept", "a.tif", "a_label.tiff", cells=3)) == (
        "a.tif: kept, a_label.tiff fits it (3 cells)"
    )
    assert summary_of(ReportRow(**{**vars(done), "seconds": 1.25})) == (
        "a.tif: 7 cells (2 removed) of 12 px, gray, a_label.tiff, 1.2 s"
    )
    assert "gray (own network), a_label.tiff" in summary_of(replace(done, seconds=1.25, own_network=1))


def test_what_is_skipped_for_one_reason_is_one_line():
    """A folder may hold the results of thousands of images."""
    skipped = [Skipped(Path("in") / f"{n}_label.tiff", "a result") for n in range(1000)]
    skipped.insert(1, Skipped(Path("in") / "notes.txt", "not an image"))
    assert list(skipped_lines(skipped)) == [
        "0_label.tiff, 1_label.tiff, 2_label.tiff, 3_label.tiff, 4_label.tiff and 995 more: skipped, a result",
        "notes.txt: skipped, not an image",
    ]


@pytest.mark.parametrize(
    ("error", "reason", "possible"),
    [
        (OutputRefused("too many cells"), "too many cells", False),
        (ImportError(name="roifile"), "it needs roifile: pip install roifile", True),
    ],
)
def test_a_product_that_cannot_be_written_is_a_warning(tmp_path, caplog, error, reason, possible):
    class Made:
        source = tmp_path / "a.tif"

    def fail(path, result):
        raise error

    rois = Product("rois", "_rois.zip", "outlines", fail)
    assert write_product(rois, tmp_path / "a_rois.zip", Made()) is possible
    assert caplog.messages == [f"a.tif: a_rois.zip is not written: {reason}"]
