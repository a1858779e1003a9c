"""How far the labels of an image depend on how it is stored and on what is around it.

    python -m training.measure.variants data/manifest.csv --weights weights
    python -m training.measure.variants data/manifest.csv --weights weights --each 3 --csv variants.csv

Of each source of split "val" some images (--each, evenly over the manifest) are segmented as they are, and then as
somebody else might have them. What counts is F1 at IoU 0.5 against their own labels; "lost" is how much the mean F1
against the truth falls (what is hard to see as it is may be found otherwise in another form):

    three channels    gray in three equal ones
    blue, cyan, JPEG  fluorescence in a hue, the other channels empty; JPEG in blue, of quality 85, as it is and with
                      its contrast stretched before
    surroundings      in three and six times its area of darkness (fluorescence), of empty glass (stained), or of its
                      median (others), with a little noise
    enlarged          twice and four times as large along each side
    shaded            with a quarter of the light in the corners
    spots             fluorescence with three spots on 4 % of the image, ten times as bright as its brightest cells
    panels            twice side by side, with white between and around them, as in a figure
    round field       as through an eyepiece, black around; cells that it cuts do not count

Images without cells of their own do not count. Below the table stand the worst of each line. --csv writes all scores.

Exit code: 0; 2 if something could not be read.
"""

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from inference.door import picture_of
from inference.reading import read_image
from inference.segmenter import Segmenter
from training.command import DONE, add_device, command, manual, positive
from training.images.datasets import load_sample
from training.images.manifest import Record, read_manifest
from training.measure.f1 import f1_score, score_image
from training.tables import grouped, text_table, write_table
from training.validation import f1_to_truth

NOISE = 1.0  # gray levels, standard deviation of the surroundings
LARGEST_SIDE = 4096  # pixels; no image is enlarged beyond it
JPEG_QUALITY = 85
STRETCHED = 0.1, 99.9  # percentiles
CORNER_LIGHT = 0.25
SPOTS, SPOTTED, TIMES_AS_BRIGHT = 3, 0.04, 10.0  # number, share of the image, over the 99th percentile
WHITE_BETWEEN, WHITE_AROUND = 12, 8  # pixels, of panels
BLACK = 3  # gray level around a round field
GOOD = 0.9


@dataclass(frozen=True)
class Variant:
    """An image as somebody else might have it.

    pixels : uint8 or uint16, (H, W) or (H, W, 3)
    back : its labels -> those of the image as it is
    hidden : bool (H, W), what of the image as it is it does not show; None if nothing
    """

    name: str
    pixels: np.ndarray
    back: Callable[[np.ndarray], np.ndarray] = lambda labels: labels
    hidden: np.ndarray | None = None

    def whole(self, labels: np.ndarray) -> np.ndarray:
        """Labels of the image as it is, without cells that it does not show, or not all of."""
        if self.hidden is None:
            return labels
        return np.where(np.isin(labels, np.unique(labels[self.hidden])), 0, labels)


def eight_bit(pixels: np.ndarray) -> np.ndarray:
    """An image whose values are above 255 divided so that they are not; (H, W) or its first three channels."""
    pixels = pixels if pixels.ndim == 2 else pixels[..., :3]
    largest = float(pixels.max(initial=0))
    return pixels if pixels.dtype == np.uint8 else (pixels * (255 / max(largest, 1.0))).clip(0, 255).astype(np.uint8)


def variants(pixels: np.ndarray, modality: str) -> Iterator[Variant]:
    """All that an image (H, W) or (H, W, 3), uint8, of this modality may be turned into."""
    gray = pixels.ndim == 2
    if gray:
        yield Variant("three channels", cv2.merge([pixels] * 3))
    if gray and modality == "fluorescence":
        nothing = np.zeros_like(pixels)
        yield Variant("blue", cv2.merge([nothing, nothing, pixels]))
        yield Variant("cyan", cv2.merge([nothing, pixels, pixels]))
        yield Variant("blue JPEG", blue_jpeg(pixels))
        yield Variant("stretched, blue JPEG", blue_jpeg(stretched(pixels)))
    for times in (3, 6):
        yield surrounded(pixels, modality, times)
    for times in (2, 4):
        if times * max(pixels.shape[:2]) <= LARGEST_SIDE:
            yield enlarged(pixels, times)
    yield shaded(pixels)
    yield in_panels(pixels)
    yield in_round_field(pixels)
    if gray and modality == "fluorescence":
        yield spotted(pixels)


def blue_jpeg(pixels: np.ndarray) -> np.ndarray:
    """What a JPEG file holds of a gray image that is shown in blue."""
    nothing = np.zeros_like(pixels)
    stored = cv2.imencode(".jpg", cv2.merge([pixels, nothing, nothing]), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])[1]
    return np.ascontiguousarray(cv2.imdecode(stored, cv2.IMREAD_COLOR)[..., ::-1])


def stretched(pixels: np.ndarray) -> np.ndarray:
    """With its contrast over all gray levels, as people store what they have made visible."""
    low, high = np.percentile(pixels, STRETCHED)
    return np.rint((pixels - low) * (255 / max(high - low, 1.0))).clip(0, 255).astype(np.uint8)


def surrounded(pixels: np.ndarray, modality: str, times: int) -> Variant:
    """In `times` its area of what is empty, near the lower left corner."""
    height, width = pixels.shape[:2]
    larger = tuple(math.ceil(n * math.sqrt(1 + times)) for n in (height, width))
    top, left = larger[0] - height - 9, 7
    percentile = {"fluorescence": 1, "stained": 99}.get(modality, 50)
    level = np.percentile(pixels.reshape(height * width, -1), percentile, axis=0)
    canvas = np.random.default_rng(times).normal(level, NOISE, (*larger, level.size)).clip(0, 255).astype(np.uint8)
    canvas = canvas[..., 0] if pixels.ndim == 2 else canvas
    place = slice(top, top + height), slice(left, left + width)
    canvas[place] = pixels
    return Variant(f"surroundings x{times}", canvas, lambda labels: np.ascontiguousarray(labels[place]))


def enlarged(pixels: np.ndarray, times: int) -> Variant:
    """`times` as large along each side, smoothly."""
    larger = cv2.resize(pixels, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    middle = slice(times // 2, None, times)
    return Variant(f"enlarged x{times}", larger, lambda labels: np.ascontiguousarray(labels[middle, middle]))


def shaded(pixels: np.ndarray) -> Variant:
    """With light that falls off to the corners, by the square of the distance from the centre."""
    height, width = pixels.shape[:2]
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    light = 1 - (1 - CORNER_LIGHT) * (y**2 + x**2) / 2
    light = light.reshape(*light.shape, *[1] * (pixels.ndim - 2))
    return Variant("shaded", np.rint(pixels * light).astype(np.uint8))


def spotted(pixels: np.ndarray) -> Variant:
    """With spots of dirt, in 16 bits."""
    height, width = pixels.shape
    shown = pixels[pixels > 0]
    brightest = TIMES_AS_BRIGHT * float(np.percentile(shown, 99)) if shown.size else 1.0
    radius = math.sqrt(SPOTTED * pixels.size / SPOTS / math.pi)
    rng, spots = np.random.default_rng(SPOTS), np.zeros((height, width), np.uint8)
    for x, y in rng.uniform(0, 1, (SPOTS, 2)) * (width, height):
        cv2.circle(spots, (round(x), round(y)), round(radius), 1, -1)
    bright = np.where(spots > 0, brightest, pixels)
    return Variant("spots", np.rint(bright * (np.iinfo(np.uint16).max / max(bright.max(), 1.0))).astype(np.uint16))


def in_panels(pixels: np.ndarray) -> Variant:
    """Twice, side by side, on white."""
    height, width = pixels.shape[:2]
    around = WHITE_AROUND
    size = height + 2 * around, 2 * width + WHITE_BETWEEN + 2 * around
    figure = np.full((*size, *pixels.shape[2:]), 255, np.uint8)
    first = slice(around, around + height), slice(around, around + width)
    figure[first] = figure[first[0], around + width + WHITE_BETWEEN : -around] = pixels
    return Variant("panels", figure, lambda labels: np.ascontiguousarray(labels[first]))


def in_round_field(pixels: np.ndarray) -> Variant:
    """Black outside the ellipse that touches all four sides."""
    y, x = (np.linspace(-1, 1, n) ** 2 for n in pixels.shape[:2])
    hidden = y[:, None] + x > 1
    shown = pixels.copy()
    shown[hidden] = BLACK
    return Variant("round field", shown, hidden=hidden)


def some_of_each(records: Sequence[Record], each: int) -> list[Record]:
    """So many records of each source, evenly over them."""
    chosen = []
    for own in grouped(records, lambda record: record.source).values():
        chosen += [own[i] for i in sorted({round(x) for x in np.linspace(0, len(own) - 1, min(each, len(own)))})]
    return chosen


def measure(records: Sequence[Record], segmenter: Segmenter) -> list[dict]:
    """A row for each variant of each image: source, image, variant, F1 to the image's own labels, and to the truth of
    the variant and of the image as it is.
    """
    rows = []
    for record in tqdm(records, unit="image", disable=None):
        pixels = eight_bit(read_image(record.image).pixels)
        own = segmenter.segment(picture_of(pixels)).labels
        if not own.any():
            continue
        truth = load_sample(record).labels
        for variant in variants(pixels, record.modality):
            found = variant.whole(variant.back(segmenter.segment(picture_of(variant.pixels)).labels))
            seen, true = variant.whole(own), variant.whole(truth)
            if not seen.any():
                continue
            scores = {"F1": f1_score(*score_image(seen, found)[0]), "true F1": f1_to_truth(record, true, found)}
            names = {"source": record.source, "image": record.image.name, "variant": variant.name}
            rows.append({**names, **scores, "true F1 as it is": f1_to_truth(record, true, seen)})
    return rows


def table(rows: Sequence[dict]) -> list[dict]:
    """A line for each variant: images, mean and median F1, how many are not good, and what is lost to the truth."""
    lines = []
    for name, own in grouped(rows, lambda row: row["variant"]).items():
        scores = [row["F1"] for row in own]
        lines.append(
            {
                "variant": name,
                "images": len(scores),
                "mean F1": f"{np.mean(scores):.3f}",
                "median": f"{np.median(scores):.3f}",
                f"below {GOOD}": sum(score < GOOD for score in scores),
                "lost": f"{np.mean([row['true F1 as it is'] - row['true F1'] for row in own]):.3f}",
            }
        )
    return lines


@command
def main(argv: list[str] | None = None) -> int:
    args = parse_arguments(argv)
    records = some_of_each(read_manifest(args.manifest, "val"), args.each)
    rows = measure(records, Segmenter.from_folder(args.weights, args.device))
    if not rows:
        raise ValueError(f"{args.manifest}: no cells are found in any of the {len(records)} images")
    print(text_table(table(rows)))
    for row in sorted((row for row in rows if row["F1"] < GOOD), key=lambda row: row["F1"]):
        print(f"{row['variant']}: {row['source']}/{row['image']}  F1 {row['F1']:.2f}")
    if args.csv:
        write_table(args.csv, rows, 4)
    return DONE


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = manual("training.measure.variants", __doc__)
    add = parser.add_argument
    add("manifest", type=Path, help="CSV file of labelled images")
    add("--weights", type=Path, required=True, metavar="DIR", help="folder with the five networks")
    add("--each", type=positive, default=1, metavar="N", help="images of each source [1]")
    add("--csv", type=Path, metavar="FILE", help="write all scores there")
    add_device(parser)
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
