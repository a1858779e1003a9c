"""A small data set to train on."""

import cv2
import numpy as np
import pytest


@pytest.fixture(scope="session")
def manifest(tmp_path_factory):
    """Two sources of gray images with bright disks, three for training and two for validation each."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    lines = ["image,label,split,source"]
    for number in range(10):
        labels = np.zeros((96, 96), np.uint16)
        for cell in range(1, 6):
            cv2.circle(labels, tuple(rng.integers(0, 96, 2).tolist()), int(rng.integers(6, 14)), cell, -1)
        image = np.where(labels > 0, 180, 40) + rng.integers(0, 30, labels.shape)
        assert cv2.imwrite(str(folder / f"{number}.png"), image.astype(np.uint8))
        assert cv2.imwrite(str(folder / f"{number}_label.png"), labels)
        lines.append(f"{number}.png,{number}_label.png,{'val' if number < 4 else 'train'},{'ab'[number % 2]}")
    path = folder / "manifest.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def router_manifest(tmp_path_factory):
    """Dark fluorescence with large cells and bright tissue with small purple ones: six images for training, four to
    validate.
    """
    folder, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    lines = ["image,label,split,source"]
    for number in range(10):
        labels = np.zeros((64, 64), np.uint8)
        radius, spacing = ((12, 32), (4, 16))[number % 2]
        for i, (y, x) in enumerate(np.ndindex(64 // spacing, 64 // spacing), start=1):
            cv2.circle(labels, (x * spacing + spacing // 2, y * spacing + spacing // 2), radius, i, -1)
        image = np.where(labels > 0, 180, 30) + rng.integers(0, 40, labels.shape)
        if number % 2:
            image = np.dstack([255 - image // 4, 255 - image, 255 - image // 4])
        assert cv2.imwrite(str(folder / f"{number}.png"), image.astype(np.uint8))
        assert cv2.imwrite(str(folder / f"{number}_label.png"), labels)
        lines.append(f"{number}.png,{number}_label.png,{'val' if number < 4 else 'train'},{'ab'[number % 2]}")
    (folder / "manifest.csv").write_text("\n".join(lines))
    return folder / "manifest.csv"
