"""Whether labels lie where something is in the image: shifted, transposed, of another image, or only a few of them.

Nothing is known of how cells look. Labels agree with an image if brightness, texture or edges go with them: the
normalised correlation of the cells' area with the image and its local deviation, and of their borders with its
gradient.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from training.own.checks import Finding

SIDE = 256  # pixels; longer side of the images that are compared
TEXTURE = 7  # pixels of these; window of the local deviation
CLEAR = 0.3  # correlation from which on a better place is believed...
BETTER = 0.15  # ...if it is higher than at the labels' own place by this much...
TIMES = 1.6  # ...and this many times as high
NOTHING = 0.1  # correlation below which labels go with nothing in an image...
FITTING = 0.4  # ...if the median over the images is above this
SHIFT = 0.2  # of the median diameter; smaller shifts are not named
LARGEST_SHIFT = 0.25  # of the image's shorter side
FEW = 2.0  # times the labelled pixels that look alike without a label, from which on few cells are labelled
TELLING = 1.0  # deviations between cells and a ring around them from which on unlabelled parts are compared with cells
ALIKE = 40  # percentile of the labelled pixels from which on unlabelled ones look like cells
TURNS = {
    "transposed": lambda a: a.T,
    "upside down": lambda a: a[::-1],
    "mirrored": lambda a: a[:, ::-1],
    "turned by 180 degrees": lambda a: a[::-1, ::-1],
    "turned by 90 degrees": lambda a: np.rot90(a),
    "turned by 270 degrees": lambda a: np.rot90(a, 3),
}


@dataclass(frozen=True)
class Compared:
    """An image and its labels at a size at which they are compared.

    gray : (h, w) float32
    labels : (h, w), at the same size
    zoom : pixels of the image per pixel of these
    """

    gray: np.ndarray
    labels: np.ndarray
    zoom: float

    @classmethod
    def of(cls, pixels: np.ndarray, labels: np.ndarray) -> "Compared":
        """Of normalised pixels (H, W) or (H, W, 3) uint8 and labels (H, W)."""
        gray = pixels if pixels.ndim == 2 else pixels.astype(np.float32).mean(axis=2)
        zoom = max(1.0, max(labels.shape) / SIDE)
        size = tuple(max(8, round(n / zoom)) for n in labels.shape[::-1])
        small = cv2.resize(gray.astype(np.float32), size, interpolation=cv2.INTER_AREA)
        fewer = cv2.resize(labels.astype(np.float64), size, interpolation=cv2.INTER_NEAREST)
        return cls(cv2.GaussianBlur(small, (0, 0), 1), fewer.astype(np.int32), zoom)

    @cached_property
    def features(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Brightness, texture and edges."""
        mean, square = (cv2.blur(a, (TEXTURE, TEXTURE)) for a in (self.gray, self.gray**2))
        deviation = np.sqrt(np.maximum(square - mean**2, 0))
        edges = np.hypot(cv2.Sobel(self.gray, cv2.CV_32F, 1, 0), cv2.Sobel(self.gray, cv2.CV_32F, 0, 1))
        return _standard(self.gray), _standard(deviation), _standard(np.sqrt(edges))

    @cached_property
    def masks(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What the features are compared with: cells, cells, borders."""
        cells = _standard((self.labels > 0).astype(np.float32))
        values = self.labels.astype(np.float32)
        kernel = np.ones((3, 3), np.uint8)
        borders = (cv2.dilate(values, kernel) != cv2.erode(values, kernel)).astype(np.float32)
        return cells, cells, _standard(cv2.GaussianBlur(borders, (0, 0), 1))

    @cached_property
    def own(self) -> np.ndarray:
        """How far each feature agrees with the labels where they lie."""
        return self.agreement(self.masks)

    @property
    def diameter(self) -> float:
        """Median diameter of the cells in pixels of these."""
        areas = np.bincount(self.labels.ravel())[1:]
        return float(2 * np.sqrt(np.median(areas[areas > 0]) / np.pi))

    def agreement(self, masks: Sequence[np.ndarray]) -> np.ndarray:
        """Correlation of each feature with a mask."""
        return np.array([abs(float((f * m).mean())) for f, m in zip(self.features, masks)])


def _standard(values: np.ndarray) -> np.ndarray:
    """With mean 0 and deviation 1; all 0 if there is none."""
    centred = values - values.mean()
    return centred / max(float(centred.std()), 1e-9)


def _believed(other: float, own: float) -> bool:
    return other > CLEAR and other - own > BETTER and other > TIMES * own


def check_place(image: Compared) -> list[Finding]:
    """Labels that fit the image better shifted or turned, or that leave most of what looks alike out."""
    if not image.labels.any():
        return []
    found = _turned(image) or _shifted(image) or _few(image)
    return [found] if found else []


def _turned(image: Compared) -> Finding | None:
    best = {}
    for name, turn in TURNS.items():
        masks = [turn(m) for m in image.masks]
        if masks[0].shape == image.gray.shape:
            best[name] = float(image.agreement(masks).max())
    name = max(best, key=best.__getitem__)
    if not _believed(best[name], float(image.own.max())):
        return None
    return Finding("turned", f"the labels fit the image better {name}; save them as the image lies", (), True)


def _shifted(image: Compared) -> Finding | None:
    reach = [int(LARGEST_SHIFT * n) for n in image.gray.shape]
    peaks = []
    for feature, mask in zip(image.features, image.masks):
        spectrum = np.fft.rfft2(feature) * np.conj(np.fft.rfft2(mask))
        table = np.abs(np.fft.irfft2(spectrum, feature.shape)) / feature.size
        near = np.roll(table, reach, (0, 1))[: 2 * reach[0] + 1, : 2 * reach[1] + 1]
        y, x = np.unravel_index(near.argmax(), near.shape)
        peaks.append((float(near.max()), y - reach[0], x - reach[1]))
    height, dy, dx = max(peaks)
    if np.hypot(dy, dx) < SHIFT * image.diameter or not _believed(height, float(image.own.max())):
        return None
    ways = [
        f"{abs(n) * image.zoom:.0f} px {way}"
        for n, way in ((dy, "down" if dy > 0 else "up"), (dx, "right" if dx > 0 else "left"))
        if n
    ]
    return Finding("shifted", f"the labels fit the image better {' and '.join(ways)}; move them, or crop both alike")


def _few(image: Compared) -> Finding | None:
    which = int(image.own[:2].argmax())
    feature, cells = image.features[which], image.labels > 0
    feature = feature if (feature * image.masks[which]).mean() > 0 else -feature
    margin = 2 * max(1, round(image.diameter / 4)) + 1
    near, wide = (cv2.dilate(cells.astype(np.uint8), np.ones((n, n), np.uint8)) > 0 for n in (margin, 2 * margin + 1))
    far, ring = ~near, wide & ~near
    if not ring.any():
        return None
    deviation = np.sqrt((feature[cells].var() + feature[ring].var()) / 2)
    if feature[cells].mean() - feature[ring].mean() < TELLING * deviation:
        return None
    least = np.percentile(feature[cells], ALIKE)
    labelled, alike = (feature[cells] >= least).sum(), (feature[far] >= least).sum()
    if alike <= FEW * labelled:
        return None
    return Finding(
        "mostly unlabelled",
        f"{alike / labelled:.1f} times as much that looks like the labelled cells has no label; label all cells, or "
        "give --partial",
    )


def check_strangers(images: Sequence[Compared]) -> list[int]:
    """Of images whose labels mostly go with what they show, those whose labels go with nothing in theirs."""
    own = [float(image.own.max()) for image in images]
    return [n for n, score in enumerate(own) if score < NOTHING < FITTING < np.median(own) and images[n].labels.any()]


def check_swaps(images: Sequence[Compared]) -> dict[int, int]:
    """Of images of one size, those whose labels fit another one better, and better than that one's own do: number of
    the image -> number of the other.
    """
    own = [float(image.own.max()) for image in images]
    found = {}
    for i, image in enumerate(images):
        scores = {
            j: float(other.agreement(image.masks).max())
            for j, other in enumerate(images)
            if j != i and other.gray.shape == image.gray.shape and image.labels.any()
        }
        best = max(scores, key=scores.__getitem__, default=None)
        if best is not None and _believed(scores[best], max(own[i], own[best])):
            found[i] = best
    return found
