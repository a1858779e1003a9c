"""Kaggle's Data Science Bowl 2018 (stage1_train): ID/images/ID.png and ID/masks/*.png, one mask a nucleus."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from training.readers.listing import Drawing, Entry, Listing, draw, image_files, read_pixels

# Share of the value range: medians of this set's dark images are up to 0.17, of its bright gray ones from 0.88.
DARK = 0.5


def list_dsb2018(folder: Path, source: str) -> Listing:
    """One entry for each folder of FOLDER or FOLDER/stage1_train; masks are drawn in the order of their names."""
    listing = Listing()
    folder = folder / "stage1_train" if (folder / "stage1_train").is_dir() else folder
    folders = sorted(p for p in folder.glob("*") if p.is_dir() and not p.name.startswith("."))
    if not folders:
        listing.report(folder, "holds no folders of images and masks; give the folder stage1_train that was unpacked")
    for item in folders:
        images, masks = image_files(item / "images"), image_files(item / "masks")
        if len(images) != 1:
            listing.report(
                item, f"{len(images)} files in its images/ instead of one; unpack it again, or --skip {item.name}*"
            )
        elif not masks:
            listing.report(item, f"no masks in its masks/; unpack it again, or --skip {item.name}*")
        else:
            drawn, name = partial(draw_masks, masks), item.name
            listing.entries.append(Entry(images[0], drawn, "train", source, modality=None, name=name, group=name))
    return listing


def draw_masks(masks: list[Path], shape: tuple[int, int]) -> Drawing:
    """Labels from one mask file a cell; raises ValueError naming the mask that is damaged, empty or of another size."""
    return draw(_cells(masks, shape), shape)


def _cells(masks: list[Path], shape: tuple[int, int]) -> Iterator[np.ndarray]:
    for path in masks:
        mask = read_pixels(path)
        mask = mask if mask.ndim == 2 else mask.any(axis=2)
        if mask.shape != shape:
            raise ValueError(
                f"{path}: a mask of shape {mask.shape} does not fit the image of shape {shape}; copy both again"
            )
        if not mask.any():
            raise ValueError(f"{path}: the mask is empty; delete it, or copy it again")
        yield np.flatnonzero(mask)


def tell_modality(pixels: np.ndarray) -> str:
    """fluorescence (gray on dark), brightfield (gray on bright) or stained (colour) from pixels (H, W) or (H, W, C)."""
    if pixels.ndim == 3 and (pixels != pixels[:, :, :1]).any():
        return "stained"
    highest = np.iinfo(pixels.dtype).max if pixels.dtype.kind in "ui" else 1
    return "fluorescence" if np.median(pixels) < DARK * highest else "brightfield"
