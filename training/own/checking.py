"""Look at all labels before they are trained on: what is wrong is named, and shown in a picture."""

import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from inference.image.forms import to_three_channels
from inference.image.normalisation import normalise
from inference.outputs.overlay import COLOURS, OverlayStyle, draw_overlay, write_png
from training.own.agreement import Compared, check_place, check_strangers, check_swaps
from training.own.checks import Finding, check_labels, check_set
from training.own.collection import OwnImage
from training.tables import some, write_table

log = logging.getLogger(__name__)

SIZES = ("size", "transposed")  # findings with which an image cannot be used in any case
TABLE = "findings.csv"
PICTURE = re.compile(r"\d{3,}_.+\.png")  # of a finding
LISTED = 8  # numbers of cells in a line of the log; the table has all
OTHERS, CONCERNED = OverlayStyle(COLOURS["green"]), OverlayStyle(COLOURS["red"], width=2, numbers=True)
LARGEST_PICTURE = 1500  # pixels, longer side
DETAIL, ZOOM = 120, 6  # pixels of the image that are shown where pixels are to be seen, and how large


def check_images(images: Sequence[OwnImage], folder: Path | None, trust: bool = False) -> tuple[list[OwnImage], int]:
    """The images whose labels can be right, and the number of those with findings, which the log names.

    Parameters
    ----------
    folder : for a picture of each finding, and findings.csv, in place of an earlier look's; None to write nothing
    trust : leave out those alone whose labels are of another size than the image

    Raises
    ------
    ValueError
        If no image with cells is left.
    """
    findings = find_all(images)
    if trust:
        findings = [(i, f if f.kind in SIZES else replace(f, fatal=False)) for i, f in findings]
    rows = []
    if folder:
        _remove_earlier(folder)
    for image, finding in findings:
        _name(image, finding)
        row = {"image": image.name, "kind": finding.kind, "left out": int(finding.fatal), "text": finding.text}
        rows.append(row | {"cells": " ".join(map(str, finding.cells))})
    if folder and rows:
        write_table(folder / TABLE, rows)  # first: by it the next look knows what to remove, though this one is stopped
        for number, (image, finding) in enumerate(findings, start=1):
            name = f"{number:03d}_{finding.kind}_{image.name}".replace("/", "-").replace(" ", "-")
            write_png(folder / f"{name}.png", draw_finding(image, finding))
        log.info("%s: a picture of each, and findings.csv", folder)
    wrong, fatal = {i.name for i, _ in findings}, {i.name for i, f in findings if f.fatal}
    usable = [image for image in images if image.name not in fatal]
    log.info(
        "labels looked at: %d images, %d with findings, %d left out%s; %d cells",
        len(images),
        len(wrong),
        len(fatal),
        " (--trust-labels takes them all the same)" if fatal and not trust else "",
        sum(image.cells for image in usable),
    )
    empty = [f"{image.name} ({image.label})" for image in usable if not image.cells]
    if empty:
        log.info("%d images without cells, which show what is none: %s", len(empty), some(empty, LISTED))
    if not any(image.cells for image in usable):
        raise ValueError("no image with usable labels is left; correct what is named above")
    return usable, len(wrong)


def _remove_earlier(folder: Path) -> None:
    """Take away what an earlier look has written: what was corrected since must not be shown."""
    if (folder / TABLE).exists():
        for path in folder.iterdir():
            if path.name == TABLE or PICTURE.fullmatch(path.name):
                path.unlink()


def name_findings(images: Sequence[OwnImage]) -> None:
    """Name in the log what looks wrong with the labels alone, whatever the images show."""
    found = [(image, finding) for image in images for finding in check_labels(image.raw)]
    cells = [image for image in images if image.cells]
    mask = check_set([image.labels for image in cells])
    for image, finding in found + ([(cells[0], mask)] if mask else []):
        _name(image, finding)


def _name(image: OwnImage, finding: Finding) -> None:
    log.log(logging.ERROR if finding.fatal else logging.WARNING, "%s", line(image, finding))


def line(image: OwnImage, finding: Finding) -> str:
    """A finding in one line."""
    numbers = some([str(number) for number in finding.cells], LISTED)
    cells = f" (number{'s' if len(finding.cells) > 1 else ''} {numbers})" if finding.cells else ""
    return f"{image.label}: {finding.kind}: {finding.text}{cells}"


def find_all(images: Sequence[OwnImage]) -> list[tuple[OwnImage, Finding]]:
    """What looks wrong, in the order of the images."""
    found: list[tuple[OwnImage, Finding]] = []
    compared: dict[int, Compared] = {}
    own: dict[int, list[Finding]] = {}
    for number, image in enumerate(images):
        pixels = normalise(image.picture.pixels)
        own[number] = check_size(image, pixels.shape[:2])
        if own[number]:
            continue
        own[number] = check_labels(image.raw)
        if not any(f.fatal for f in own[number]):
            compared[number] = Compared.of(pixels, image.labels)
    numbered = [n for n, image in enumerate(images) if image.cells and not any(f.kind in SIZES for f in own[n])]
    mask = check_set([images[n].labels for n in numbered])
    for number in numbered if mask else ():
        if not any(f.fatal for f in own[number]):
            own[number] = [mask]
            compared.pop(number, None)
    swaps, strangers = check_swaps(list(compared.values())), check_strangers(list(compared.values()))
    numbers = list(compared)
    for i, number in enumerate(numbers):
        if i in swaps:
            other = images[numbers[swaps[i]]].name
            own[number].append(Finding("swapped", f"the labels fit {other} better; rename them", (), True))
        elif i in strangers:
            own[number].append(Finding("elsewhere", "the labels fit nothing in the image; are they another one's?"))
        elif not images[number].partial:  # of which a few cells may fit the image in several ways
            own[number] += check_place(compared[number])
    for number, image in enumerate(images):
        found += [(image, finding) for finding in own[number]]
    return found


def check_size(image: OwnImage, shape: tuple[int, int]) -> list[Finding]:
    """Labels of another size than the image."""
    if image.labels.shape == shape:
        return []
    (h, w), (height, width) = image.labels.shape, shape
    if (h, w) == (width, height):
        return [Finding("transposed", f"{w}x{h} pixels for an image of {width}x{height}; transpose them", (), True)]
    return [Finding("size", f"{w}x{h} pixels for an image of {width}x{height}; pair the right files", (), True)]


def draw_finding(image: OwnImage, finding: Finding) -> np.ndarray:
    """The image with all labels in green and those concerned in red, with their numbers; (H, W, 3) uint8.

    Where single pixels are concerned, only these are red, in the part of the image that has most of them, enlarged.
    """
    picture, labels = to_three_channels(normalise(image.picture.pixels)), image.labels
    if labels.shape != picture.shape[:2]:
        picture = np.zeros((*labels.shape, 3), np.uint8)
    if finding.spots is not None:
        return _draw_spots(picture, labels, finding.spots)
    every = -(-max(labels.shape) // LARGEST_PICTURE)
    picture, labels = np.ascontiguousarray(picture[::every, ::every]), labels[::every, ::every].astype(np.int32)
    concerned = np.isin(labels, finding.cells)
    shown = draw_overlay(picture, np.where(concerned, 0, labels), OTHERS)
    return draw_overlay(shown, np.where(concerned, labels, 0), CONCERNED if concerned.any() else OTHERS)


def _draw_spots(picture: np.ndarray, labels: np.ndarray, spots: np.ndarray) -> np.ndarray:
    height, width = (min(DETAIL, side) for side in spots.shape)
    counts = cv2.boxFilter(
        spots.astype(np.float32), -1, (width, height), anchor=(0, 0), normalize=False, borderType=cv2.BORDER_CONSTANT
    )
    inside = counts[: spots.shape[0] - height + 1, : spots.shape[1] - width + 1]
    top, left = np.unravel_index(inside.argmax(), inside.shape)
    part = np.s_[top : top + height, left : left + width]
    picture, labels, spots = (
        np.repeat(np.repeat(a[part], ZOOM, 0), ZOOM, 1) for a in (picture, labels.astype(np.int32), spots)
    )
    shown = draw_overlay(picture, np.where(spots, 0, labels), OTHERS)
    shown[spots] = COLOURS["red"]
    return shown
