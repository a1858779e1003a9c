"""Where cells lie: label images, int32 (H, W), of cultures, colonies and tissue."""

import cv2
import numpy as np
from numpy.random import Generator

from training.synthetic.fields import log_uniform, noise
from training.synthetic.labels import inner_distance
from training.synthetic.outlines import blob, long_cell, spread


def scatter(
    rng: Generator, shape: tuple[int, int], radii: np.ndarray, spacing: float = 1.0, clumps: float = 0.0, tries: int = 3
) -> tuple[np.ndarray, np.ndarray]:
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
                step = spacing * 1.03 * (radius + kept[beside])
                dart = centres[beside] + step * np.array([np.cos(angle), np.sin(angle)])
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


def fill(image: np.ndarray, outline: np.ndarray, value: float) -> None:
    """Fill an outline in place, to a sixteenth of a pixel."""
    cv2.fillPoly(image, [np.round(outline * 16).astype(np.int32)], value, shift=4)


def draw(shape: tuple[int, int], outlines: list[np.ndarray]) -> np.ndarray:
    """Label image of outlines in place; a later one lies in front."""
    labels = np.zeros(shape, np.int32)
    for number, outline in enumerate(outlines, 1):
        fill(labels, outline, number)
    return labels


def sheet(
    rng: Generator, shape: tuple[int, int], diameter: float, uneven: float, cover: float, gap: float
) -> np.ndarray:
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
    count = int(1.1 * large[0] * large[1] / diameter**2)
    radii = diameter / 2 * np.exp(rng.normal(0, 0.35 * uneven, count)).clip(0.4, 2.2)
    centres, radii = scatter(rng, large, radii, rng.uniform(0.72, 0.85), tries=2)
    seeds, longest = np.ones(large, np.uint8), rng.uniform(1, 3)
    for centre, radius in zip(centres, radii):
        fill(seeds, centre + blob(rng, max(0.45 * radius, 1.2), 0.1, rng.uniform(1, longest), rng.uniform(0, np.pi)), 0)
    seeds[large[0] // 2, large[1] // 2] = 0  # there is one at least: without any, OpenCV promises nothing
    distance, cells = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP)
    islands = noise(rng, large, diameter * rng.uniform(3, 8)) + 0.5 * noise(rng, large, diameter)
    seats = np.zeros(cells.max() + 1, np.float32)
    seats[cells.ravel()] = islands.ravel()  # any pixel of a cell stands for it
    drop = seats > np.quantile(seats, cover) if rng.random() < 0.5 else rng.random(len(seats)) > cover
    cells[drop[cells] | (distance > diameter * 0.55 * (1 + 0.2 * noise(rng, large, diameter)))] = 0
    y, x = np.mgrid[: large[0], : large[1]].astype(np.float32)
    cells = cv2.remap(
        cells.astype(np.float32),
        x + warp(rng, large, diameter),
        y + warp(rng, large, diameter),
        cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_REFLECT,
    ).astype(np.int32)
    if gap > 0:
        cells[inner_distance(cells) < gap / 2 * (1 + 0.6 * noise(rng, large, diameter * 0.7)).clip(0)] = 0
    return np.ascontiguousarray(cells[pad:-pad, pad:-pad])


def warp(rng: Generator, shape: tuple[int, int], diameter: float) -> np.ndarray:
    """Displacement along one axis, float32 (H, W) pixels, that bends the borders of cells of this diameter."""
    return np.float32(diameter) * (0.1 * noise(rng, shape, diameter * 0.9) + 0.03 * noise(rng, shape, diameter * 0.35))


def culture(rng: Generator, shape: tuple[int, int], diameter: float) -> np.ndarray:
    """Cells that lie apart and in clumps: round, drawn out, or spread."""
    room = shape[0] * shape[1] / diameter**2
    count = max(2, int(room * log_uniform(rng, 0.15, 0.9)))
    radii = diameter / 2 * np.exp(rng.normal(0, rng.uniform(0.05, 0.3), count))
    centres, radii = scatter(rng, shape, radii, rng.uniform(0.75, 1.1), rng.uniform(0, 0.9))
    rough, longer, spreads = rng.uniform(0.02, 0.2), rng.uniform(1, 2), rng.random() < 0.4
    outlines = []
    for centre, radius in zip(centres, radii):
        if spreads and rng.random() < 0.7:
            outline = spread(rng, radius, rng.integers(3, 8), rng.uniform(0.1, 0.5))
        else:
            outline = blob(rng, radius, rough, rng.uniform(1, longer), rng.uniform(0, np.pi))
        outlines.append(centre + outline)
    return draw(shape, outlines)


def long_cells(rng: Generator, shape: tuple[int, int], diameter: float, density: float) -> list[list[np.ndarray]]:
    """Outlines of long, spread or branched cells in place, those behind first.

    `diameter` is that of disks of about their area, `density` the cells in a square of that side.
    """
    kind = str(rng.choice(["spindle", "spread", "neuron", "mixed"], p=[0.35, 0.3, 0.2, 0.15]))
    flow = rng.uniform(0, np.pi) if rng.random() < 0.4 else None  # cells of a confluent culture lie along each other
    density *= 0.4 if kind in ("neuron", "mixed") else 1  # processes that cross would be cut to pieces
    count = max(2, int(shape[0] * shape[1] / diameter**2 * density))
    centres, _ = scatter(rng, shape, np.full(count, diameter / 2), rng.uniform(0.4, 1.15), rng.uniform(0, 0.7))
    return [[centre + piece for piece in long_cell(rng, kind, diameter, flow)] for centre in centres]


def colony(rng: Generator, shape: tuple[int, int], width: float, length: float) -> np.ndarray:
    """Rods packed side by side and end to end along bent lines, as bacteria grow on agar; sizes in pixels."""
    height, width_px = shape
    y, x = np.mgrid[:height, :width_px].astype(np.float32)
    scale = width * rng.uniform(6, 20)
    bend = np.float32(scale * rng.uniform(0.02, 0.08))
    x, y = x + bend * noise(rng, shape, scale), y + bend * noise(rng, shape, scale)
    angle = rng.uniform(0, 2 * np.pi)
    along, across = np.cos(angle) * x + np.sin(angle) * y, np.cos(angle) * y - np.sin(angle) * x
    row = np.floor(across / width).astype(np.int64)
    row -= row.min()
    along = along + rng.uniform(0, length, row.max() + 1).astype(np.float32)[row]
    along -= along.min()
    count = int(along.max() / length) + 3
    cuts = (np.arange(count) + rng.uniform(-0.3, 0.3, (row.max() + 1, count))) * length  # ends of the rods of each row
    place = (along / length).astype(np.int64)
    place = place + (along >= cuts[row, place + 1]) - (along < cuts[row, place])
    place = place.clip(0, count - 2)
    start, end = cuts[row, place], cuts[row, place + 1]
    radius = width / 2 - rng.uniform(0.3, 0.14 * width + 0.4)
    beyond = np.maximum(np.maximum(start + width / 2 - along, along - end + width / 2), 0)
    inside = np.hypot(beyond, across % width - width / 2) < radius
    rods = row * count + place + 1
    patch = np.zeros(rods.max() + 1, np.float32)
    patch[rods.ravel()] = noise(rng, shape, min(shape) / rng.uniform(1.2, 4)).ravel()  # any pixel stands for its rod
    keep = patch < rng.uniform(-0.3, 2.5)
    return np.where(inside & keep[rods], rods, 0).astype(np.int32)
