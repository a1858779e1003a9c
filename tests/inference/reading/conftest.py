"""Pictures to write, and programs that write them."""

import os
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.data import immunohistochemistry

PACKAGES = {
    "tiffcp": "libtiff-tools",
    "convert": "imagemagick",
    "vips": "libvips-tools",
    "gdal_translate": "gdal-bin",
    "cjxl": "libjxl-tools",
    "heif-enc": "libheif-examples",
    "img2dcm": "dcmtk",
    "dcmcrle": "dcmtk",
}


@pytest.fixture(scope="session")
def program():
    """Function that runs a program that is not ours and writes image files.

    A test is skipped where the program lacks, and fails instead where REQUIRE_PROGRAMS is set.
    """

    def run(name, *arguments):
        found = f"/usr/bin/{name}" if os.access(f"/usr/bin/{name}", os.X_OK) else shutil.which(name)
        if found is None:
            problem = f"needs the program {name}: apt-get install {PACKAGES[name]}"
            pytest.fail(problem) if os.environ.get("REQUIRE_PROGRAMS") else pytest.skip(problem)
        subprocess.run([found, *map(str, arguments)], check=True, capture_output=True)

    return run


@pytest.fixture(scope="session")
def tissue():
    """RGB, uint8, 72x96."""
    return np.ascontiguousarray(immunohistochemistry()[100:172, 200:296])


@pytest.fixture(scope="session")
def gray(tissue):
    """One channel, uint8, 72x96, all levels used."""
    return cv2.normalize(tissue[..., 1], None, 0, 255, cv2.NORM_MINMAX)


@pytest.fixture
def gray_png(gray, tmp_path):
    return _write(tmp_path / "plain_gray.png", gray)


@pytest.fixture
def tissue_png(tissue, tmp_path):
    return _write(tmp_path / "plain_tissue.png", tissue[..., ::-1])


def _write(path: Path, pixels):
    assert cv2.imwrite(str(path), pixels)
    return path
