"""Border pixels of cells."""

import numpy as np
import pytest
from skimage.segmentation import find_boundaries

from inference.outputs.borders import inner_border


@pytest.mark.parametrize("seed", range(3))
def test_inner_border_is_that_of_scikit_image(blobs, seed):
    labels = blobs(seed)
    assert np.array_equal(
        inner_border(np.pad(labels, 1, mode="edge")), find_boundaries(labels, connectivity=1, mode="inner")
    )
