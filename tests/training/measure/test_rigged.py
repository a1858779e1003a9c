"""training.measure.rigged: a weights folder that the program accepts, and in which it finds cells."""

import numpy as np
import pytest

from inference.segmenter import Segmenter
from training.measure.rigged import spots, write_rigged_weights


def test_cells_are_found_by_both_kinds_of_network(tmp_path):
    write_rigged_weights(tmp_path / "weights", "test_convnext")
    image = np.round(spots(192)[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)
    segmenter = Segmenter.from_folder(tmp_path / "weights", "cpu")
    for class_ in (0, 1):
        network = segmenter.network(class_)
        first, _ = network(image[None])
        cell_points = (first > (0.5 if class_ == 0 else 0)).mean()
        assert 0.03 < cell_points < 0.3


def test_unknown_encoder(tmp_path):
    with pytest.raises(ValueError, match="no encoder 'convnext_huge_wrong'"):
        write_rigged_weights(tmp_path / "weights", "convnext_huge_wrong")
