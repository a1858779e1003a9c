"""Look at all labels before they are trained on: what is wrong is named, and shown in a picture."""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from inference.normalisation import normalise, to_three_channels
from inference.outputs.overlay import COLOURS, OverlayStyle, draw_overlay, write_png
from training.own.agreement import Compared, check_place, check_swaps
from training.own.checks import Finding, check_labels
from training.own.collection import OwnImage
from training.tables import write_table

log = logging.getLogger(__name__)

LISTED = 8  # numbers of cells in a line of the log; the table has all
OTHERS, CONCERNED = OverlayStyle(COLOURS["green"]), OverlayStyle(COLOURS["red"], width=2, numbers=True)
LARGEST_PICTURE = 1500  # pixels, longer side


def check_images(images: Sequence[OwnImage], folder: Path | None) -> tuple[list[OwnImage], int]:
    """The images whose labels can be right, and the number of those with findings, which the log names.

    Parameters
    ----------
    folder : for a picture of each finding, and findings.csv; None to write nothing
    """
    findings = find_all(images)
    rows = []
    for image, finding in findings:
        log.log(logging.ERROR if finding.fatal else logging.WARNING, "%s", line(image, finding))
        row = {"image": image.name, "kind": finding.kind, "left out": int(finding.fatal), "text": finding.text}
        rows.append(row | {"cells": " ".join(map(str, finding.cells))})
        if folder:
            folder.mkdir(parents=True, exist_ok=True)
            name = f"{len(rows):03d}_{finding.kind}_{image.name}".replace("/", "-").replace(" ", "-")
            write_png(folder / f"{name}.png", draw_finding(image, finding))
    if folder and rows:
        write_table(folder / "findings.csv", rows)
        log.info("%s: a picture of each, and findings.csv", folder)
    wrong, fatal = {i.name for i, _ in findings}, {i.name for i, f in findings if f.fatal}
    usable = [image for image in images if image.name not in fatal]
    empty = sum(not image.cells for image in usable)
    log.info(
        "labels looked at: %d images, %d with findings, %d left out; %d cells%s",
        len(images),
        len(wrong),
        len(fatal),
        sum(image.cells for image in usable),
        f"; {empty} images without cells, which show what is none" if empty else "",
    )
    if not any(image.cells for image in usable):
        raise ValueError("no image with usable labels is left; correct what is named above")
    return usable, len(wrong)


def line(image: OwnImage, finding: Finding) -> str:
    """A finding in one line."""
    numbers = ", ".join(map(str, finding.cells[:LISTED]))
    more = f" and {len(finding.cells) - LISTED} more" if len(finding.cells) > LISTED else ""
    cells = f" (number{'s' if len(finding.cells) > 1 else ''} {numbers}{more})" if finding.cells else ""
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
    swaps = check_swaps(list(compared.values()))
    numbers = list(compared)
    for i, number in enumerate(numbers):
        if i in swaps:
            other = images[numbers[swaps[i]]].name
            own[number].append(Finding("swapped", f"the labels fit {other} better; rename them", (), True))
        else:
            place = check_place(compared[number])
            own[number] += [f for f in place if not (images[number].partial and f.kind == "mostly unlabelled")]
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
    """The image with all labels in green and those concerned in red, with their numbers; (H, W, 3) uint8."""
    picture, labels = to_three_channels(normalise(image.picture.pixels)), image.labels
    if labels.shape != picture.shape[:2]:
        picture = np.zeros((*labels.shape, 3), np.uint8)
    every = -(-max(labels.shape) // LARGEST_PICTURE)
    picture, labels = np.ascontiguousarray(picture[::every, ::every]), labels[::every, ::every].astype(np.int32)
    concerned = np.isin(labels, finding.cells)
    shown = draw_overlay(picture, np.where(concerned, 0, labels), OTHERS)
    return draw_overlay(shown, np.where(concerned, labels, 0), CONCERNED if concerned.any() else OTHERS)
