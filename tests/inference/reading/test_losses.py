"""inference.reading.losses: what tifffile misses and logs is an error, whichever process reads the file."""

import logging
import threading

import numpy as np
import pytest
import tifffile

from inference.reading import ImageError, ReadOptions, read_image
from inference.reading.losses import losses_refused, refuse_losses


@pytest.mark.parametrize(
    "line, lost",
    [
        ("<tifffile.TiffPages @8> invalid page offset 31056", True),
        ("OME series is missing 2 frames. Missing data are zeroed", False),
        ("series is truncated. Missing data are zeroed", True),
        ("TiffTag 258 @10 corrupted", True),
        ("OME series failed to read 'b.ome.tif', raised FileNotFoundError(2). Missing data are zeroed", False),
        ("OME series failed to read 3 files", False),
        ("TiffTag 305 @10 raised an error", False),
    ],
)
def test_lines(tmp_path, line, lost):
    if lost:
        with pytest.raises(ImageError, match=r"a\.tif: a part of the image is missing \(.*\); copy it again"):
            refuse_losses(tmp_path / "a.tif", ["fine", line])
    else:
        refuse_losses(tmp_path / "a.tif", ["fine", line])


def test_a_stack_of_which_the_last_pages_are_cut_off(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.ones((6, 64, 80), np.uint8), imagej=True, metadata={"axes": "ZYX"})
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[:-8000])
    with pytest.raises(ImageError, match=r"a\.tif: a part of the image is missing \(.*invalid page offset"):
        read_image(tmp_path / "a.tif", ReadOptions(z="max"))


def test_the_log_stays_as_it_is_and_other_threads_are_not_heard(tmp_path, caplog):
    log = logging.getLogger("tifffile")
    before = list(log.filters)
    with losses_refused(tmp_path / "a.tif"):
        other = threading.Thread(target=log.warning, args=("invalid page offset 1",))
        other.start()
        other.join()
        log.warning("harmless")
    assert caplog.messages == ["invalid page offset 1", "harmless"]
    assert log.filters == before
