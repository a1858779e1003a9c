"""Outlines of cells, where they lie, and label images of them. Points are (x, y) in pixels.

Round cells are polar outlines with a few random harmonics (A. Lehmussola et al., "Computational framework for simulating
fluorescence microscope images with cell populations", IEEE TMI 2007). Sheets are tessellations with weighted seeds.
"""

import cv2
import numpy as np
from skimage.measure import label as connected

from training.synthetic.fields import noise

POINTS = 48  # of an outline


def scatter(rng: np.random.Generator, shape: tuple[int, int], radii: np.ndarray, spacing: float = 1.0, clumps: float = 0.0,
            tries: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Places for disks, by throwing darts.

    Parameters
    ----------
    radii : (n,) pixels
    spacing : least distance of two centres, in sums of their radii
    clumps : share of the darts thrown beside a disk that lies already
    tries : darts for each disk

    Returns
    -------
    centres : (m, 2) with m <= n, up to half a radius outside of the image
    radii : (m,)
    """
    height, width = shape
    centres, kept = np.empty((len(radii), 2)), np.empty(len(radii))
    count = 0
    for radius in radii:
        for _ in range(tries):
            if count and rng.random() < clumps:
                beside, angle = rng.integers(count), rng.uniform(0, 2 * np.pi)
                dart = centres[beside] + spacing * 1.03 * (radius + kept[beside]) * np.array([np.cos(angle), np.sin(angle)])
                if not (-radius / 2 < dart[0] < width + radius / 2 and -radius / 2 < dart[1] < height + radius / 2):
                    continue
            else:
                dart = rng.uniform([-radius / 2] * 2, [width + radius / 2, height + radius / 2])
            gaps = np.hypot(*(centres[:count] - dart).T) - spacing * (kept[:count] + radius)
            if not count or gaps.min() >= 0:
                centres[count], kept[count] = dart, radius
                count += 1
                break
    return centres[:count], kept[:count]


def blob(rng: np.random.Generator, radius: float, rough: float = 0.08, longer: float = 1.0, angle: float = 0.0) -> np.ndarray:
    """Outline around (0, 0): a circle with harmonics of amplitude about `rough`, drawn out to `longer` times its width."""
    theta = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
    orders = np.arange(2, 7)
    waves = rng.normal(0, rough / orders ** 0.8)[:, None] * np.cos(orders[:, None] * theta + rng.uniform(0, 6.3, 5)[:, None])
    r = radius * np.maximum(1 + waves.sum(0), 0.3)
    points = np.stack([r * np.cos(theta) * np.sqrt(longer), r * np.sin(theta) / np.sqrt(longer)], 1)
    return points @ rotation(angle)


def star(rng: np.random.Generator, radius: float, arms: int, reach: float = 1.2) -> np.ndarray:
    """Outline of a spread cell, such as a fibroblast: a body with pointed arms, `reach` radii longer than the body."""
    theta = np.linspace(0, 2 * np.pi, 2 * POINTS, endpoint=False)
    r = np.full(theta.shape, 0.75)
    for direction in rng.uniform(0, 2 * np.pi) + np.arange(arms) * 2 * np.pi / arms + rng.normal(0, 0.3, arms):
        off = np.abs((theta - direction + np.pi) % (2 * np.pi) - np.pi)
        r += rng.uniform(0.5, 1) * reach * np.exp(-off / rng.uniform(0.12, 0.3))
    r *= 1 + 0.05 * np.cos(np.arange(3, 8)[:, None] * theta + rng.uniform(0, 6.3, 5)[:, None]).sum(0)
    return radius * r[:, None] * np.stack([np.cos(theta), np.sin(theta)], 1)


def spindle(rng: np.random.Generator, length: float, width: float, bend: float = 0.3, blunt: float = 1.0) -> np.ndarray:
    """Outline of a long cell around (0, 0), bent by about `bend` radians; `blunt` 1 is pointed, 0.2 a rod."""
    t = np.linspace(0, 1, POINTS // 2)
    turn = rng.uniform(0, 2 * np.pi) + rng.normal(0, bend) * (t - 0.5) * 2 + rng.normal(0, bend / 2) * np.sin(2 * np.pi * t)
    axis = np.cumsum(np.stack([np.cos(turn), np.sin(turn)], 1), 0) * length / len(t)
    peak = rng.uniform(0.35, 0.65) if blunt > 0.5 else 0.5
    profile = np.sin(np.pi * t ** (np.log(0.5) / np.log(peak))).clip(0) ** blunt
    return ribbon(axis - axis.mean(0), 0.5 * width * profile + 0.3)


def process(rng: np.random.Generator, start: np.ndarray, angle: float, length: float, width: float) -> list[np.ndarray]:
    """Outlines of a neuron's process that tapers from `width`, wanders, and may branch once."""
    steps = max(6, int(length / 5))
    turn = angle + np.cumsum(rng.normal(0, 0.13, steps))
    axis = start + np.cumsum(np.stack([np.cos(turn), np.sin(turn)], 1), 0) * length / steps
    half = np.maximum(width / 2 * np.linspace(1, 0.25, steps) ** 1.5, 0.8)
    pieces = [ribbon(np.vstack([start, axis]), np.r_[half[:1], half])]
    if width > 3 and rng.random() < 0.5:
        at = rng.integers(steps // 3, steps)
        pieces += process(rng, axis[at], turn[at] + rng.choice([-0.7, 0.7]), length * 0.5, 2 * half[at])
    return pieces


def neuron(rng: np.random.Generator, radius: float, arms: int, reach: float) -> list[np.ndarray]:
    """Outlines whose union is a cell body of `radius` with `arms` processes about `reach` pixels long."""
    pieces = [blob(rng, radius, 0.12, rng.uniform(1, 1.7), rng.uniform(0, np.pi))]
    for angle in rng.uniform(0, 2 * np.pi) + np.arange(arms) * 2 * np.pi / arms + rng.normal(0, 0.4, arms):
        start = 0.6 * radius * np.array([np.cos(angle), np.sin(angle)])
        pieces += process(rng, start, angle, reach * rng.uniform(0.4, 1.3), radius * rng.uniform(0.3, 0.9))
    return pieces


def ribbon(axis: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Outline of a band of half width `half` (n,) around a line of points (n, 2)."""
    along = np.gradient(axis, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], 1) / np.maximum(np.hypot(*along.T), 1e-6)[:, None]
    return np.vstack([axis + across * half[:, None], (axis - across * half[:, None])[::-1]])


def rotation(angle: float) -> np.ndarray:
    """Matrix that turns points, written as rows, by `angle` radians from x to y."""
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])


def fill(image: np.ndarray, outline: np.ndarray, value: float) -> None:
    """Fill an outline in place, to a sixteenth of a pixel."""
    cv2.fillPoly(image, [np.round(outline * 16).astype(np.int32)], value, shift=4)


def draw(shape: tuple[int, int], outlines: list[np.ndarray]) -> np.ndarray:
    """Label image, int32 (H, W), of outlines in place; a later one lies in front."""
    labels = np.zeros(shape, np.int32)
    for number, outline in enumerate(outlines, 1):
        fill(labels, outline, number)
    return labels


def sheet(rng: np.random.Generator, shape: tuple[int, int], diameter: float, uneven: float, cover: float, gap: float) -> np.ndarray:
    """Cells side by side, as in tissue: an additively weighted Voronoi tessellation, warped.

    Parameters
    ----------
    diameter : of most cells, pixels
    uneven : 0 for cells of one size, 1 for very different ones
    cover : share of the seeds that become cells
    gap : width between cells in pixels, on the average

    Returns
    -------
    labels : int32 (H, W)
    """
    pad = int(diameter)
    large = (shape[0] + 2 * pad, shape[1] + 2 * pad)
    count = int(1.1 * large[0] * large[1] / diameter ** 2)
    radii = diameter / 2 * np.exp(rng.normal(0, 0.35 * uneven, count)).clip(0.4, 2.2)
    centres, radii = scatter(rng, large, radii, rng.uniform(0.72, 0.85), tries=2)
    seeds = np.ones(large, np.uint8)
    for centre, radius in zip(centres, radii):
        fill(seeds, centre + blob(rng, max(0.45 * radius, 1.2), 0.1, rng.uniform(1, 1.8), rng.uniform(0, np.pi)), 0)
    distance, cells = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP)
    drop = rng.random(cells.max() + 1) > cover
    cells[drop[cells] | (distance > diameter * 0.55 * (1 + 0.2 * noise(rng, large, diameter)))] = 0
    y, x = np.mgrid[:large[0], :large[1]].astype(np.float32)
    dx, dy = (diameter * (0.1 * noise(rng, large, diameter * 0.9) + 0.03 * noise(rng, large, diameter * 0.35)) for _ in "xy")
    cells = cv2.remap(cells.astype(np.float32), (x + dx).astype(np.float32), (y + dy).astype(np.float32), cv2.INTER_NEAREST, borderMode=cv2.BORDER_REFLECT).astype(np.int32)
    if gap > 0:
        cells[inner_distance(cells) < gap / 2 * (1 + 0.6 * noise(rng, large, diameter * 0.7)).clip(0)] = 0
    return np.ascontiguousarray(cells[pad:-pad, pad:-pad])


def inner_distance(labels: np.ndarray) -> np.ndarray:
    """Distance of each pixel to the edge of its own cell, float32 (H, W) pixels; 0 outside and on edges."""
    inside = labels > 0
    for axis in (0, 1):
        differs = np.diff(labels, axis=axis) != 0
        before, after = [slice(None)] * 2, [slice(None)] * 2
        before[axis], after[axis] = slice(None, -1), slice(1, None)
        inside[tuple(before)] &= ~differs
        inside[tuple(after)] &= ~differs
    return cv2.distanceTransform(np.pad(inside.astype(np.uint8), 8, mode="edge"), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[8:-8, 8:-8]


def deepest(labels: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Greatest inner distance of each cell, float32 (n + 1,), at least 1."""
    order = np.argsort(distance, axis=None)
    depth = np.ones(labels.max() + 1, np.float32)
    depth[labels.ravel()[order]] = np.maximum(distance.ravel()[order], 1)
    return depth


def middles(labels: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """Middle (x, y) of each cell, (n + 1, 2), where it is thick."""
    weight = (distance.astype(np.float64) ** 2 + 1e-3).ravel()
    flat, height, width = labels.ravel(), *labels.shape
    total = np.maximum(np.bincount(flat, weight), 1e-9)
    x, y = np.tile(np.arange(width), height), np.repeat(np.arange(height), width)
    return np.stack([np.bincount(flat, weight * x) / total, np.bincount(flat, weight * y) / total], 1)


def tidy(labels: np.ndarray, smallest: int = 12) -> np.ndarray:
    """Numbers 1 to n without gaps, each cell in one 4-connected piece: its largest; pieces below `smallest` pixels go."""
    pieces = connected(labels, connectivity=1)
    areas = np.bincount(pieces.ravel())
    owner = np.zeros(len(areas), np.int64)
    owner[pieces.ravel()] = labels.ravel()
    order = np.argsort(areas, kind="stable")
    largest = np.zeros(labels.max() + 1, np.int64)
    largest[owner[order]] = order  # the last one written is the largest
    keep = np.zeros(len(areas), bool)
    keep[largest[1:]] = True
    keep &= areas >= smallest
    keep[0] = False
    return np.where(keep, np.cumsum(keep), 0)[pieces].astype(np.int32)
