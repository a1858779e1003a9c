"""Fluorescence: whole cells in two channels, membranes alone, long and branched cells, nuclei.

An image is a sum of what the dyes emit, blurred by the objective's point spread function (a Gaussian: B. Zhang et al.,
"Gaussian approximations of fluorescence microscope point-spread function models", Applied Optics 2007) and by what is
out of focus.
"""

import cv2
import numpy as np
from numpy.random import Generator

from inference.decoding.distances import distance_inside
from training.synthetic import optics
from training.synthetic.fields import Scene, blur, fractal, log_uniform, noise, streaks
from training.synthetic.labels import deepest, inner_distance, middles, tidy
from training.synthetic.layouts import culture, draw, fill, long_cells, scatter, sheet
from training.synthetic.outlines import blob


def bodies(rng: Generator, labels: np.ndarray, distance: np.ndarray, spread: float, grain: float) -> np.ndarray:
    """Filled cells with soft edges, float32 (H, W): `spread` is the deviation of the logarithm of their brightness,
    `grain` the texture's strength."""
    count = labels.max() + 1
    bright = np.exp(rng.normal(0, spread, count)).clip(0.35, 4).astype(np.float32)
    bright[0] = 0
    edge = rng.uniform(0.05, 0.6) * deepest(labels, distance)[labels]
    texture = 1 + np.float32(grain) * fractal(rng, labels.shape, log_uniform(rng, 3, 14))
    return bright[labels] * np.minimum(0.45 + 0.55 * distance / edge, 1) * texture.clip(0.1)


def membranes(rng: Generator, labels: np.ndarray, distance: np.ndarray, width: float) -> np.ndarray:
    """Bright edges of cells about `width` pixels wide, interrupted and of uneven strength."""
    count = labels.max() + 1
    bright = np.exp(rng.normal(0, rng.uniform(0.1, 0.6), count)).clip(0.35, 4).astype(np.float32)
    bright[0] = 0
    uneven = (1 + rng.uniform(0, 1) * noise(rng, labels.shape, log_uniform(rng, 4, 30))).clip(0.05)
    return bright[labels] * np.exp(-distance / np.float32(width)) * uneven


def nuclei_of(rng: Generator, cells: np.ndarray, distance: np.ndarray, share: float, missing: float) -> np.ndarray:
    """Label image of the nuclei, inside their cells: `share` of their least width; some are `missing`, out of plane."""
    nuclei = np.zeros_like(cells)
    depth = deepest(cells, distance)
    for cell, middle in enumerate(middles(cells, distance)[1:], 1):
        if rng.random() >= missing:
            radius = max(depth[cell] * share * rng.uniform(0.8, 1.2), 1.2)
            middle = middle + rng.normal(0, 0.15 * depth[cell], 2)
            fill(nuclei, middle + blob(rng, radius, 0.06, rng.uniform(1, 1.6), rng.uniform(0, np.pi)), cell)
    nuclei[nuclei != cells] = 0
    return nuclei


def background(rng: Generator, shape: tuple[int, int]) -> np.ndarray:
    """Autofluorescence and light from other planes: a level with slow waves, float32 (H, W)."""
    level = log_uniform(rng, 0.003, 0.15)
    return (level * (1 + 0.4 * noise(rng, shape, min(shape) / rng.uniform(2, 6)))).clip(0)


def debris(rng: Generator, signal: np.ndarray, brighter: float) -> None:
    """Add specks of dirt up to `brighter` times as bright as the image, in place."""
    top, extra = float(signal.max()), np.zeros_like(signal)
    for _ in range(rng.integers(1, 6)):
        at = rng.uniform([0, 0], signal.shape[::-1])
        fill(
            extra,
            at + blob(rng, log_uniform(rng, 1, 6), 0.25, rng.uniform(1, 2.5), rng.uniform(0, np.pi)),
            top * brighter * rng.uniform(0.3, 1),
        )
    signal += blur(extra, rng.uniform(0.5, 1.5))


def fibres(rng: Generator, shape: tuple[int, int]) -> np.ndarray:
    """Strands of connective tissue between cells, float32 (H, W), mostly 0."""
    strands = streaks(rng, shape, rng.uniform(0, np.pi), log_uniform(rng, 20, 150), log_uniform(rng, 1.5, 4))
    return log_uniform(rng, 0.05, 0.4) * (strands + noise(rng, shape, 60) - 1.5).clip(0)


def whole_cells(rng: Generator, shape: tuple[int, int]) -> np.ndarray:
    """Labels of a sheet or a culture."""
    diameter = log_uniform(rng, 10, 80)
    if rng.random() < 0.6:
        gap = rng.uniform(1, 5) if rng.random() < 0.5 else 0
        return tidy(sheet(rng, shape, diameter, rng.uniform(0, 1), rng.uniform(0.35, 1), gap))
    return tidy(culture(rng, shape, diameter))


def stain_cells(rng: Generator, labels: np.ndarray, nuclei: np.ndarray) -> np.ndarray:
    """Membranes, cytoplasm, or both, float32 (H, W) of about 1; the nuclei are dark in most stains of cytoplasm."""
    kind, distance = rng.choice(["membrane", "cytoplasm", "both"]), inner_distance(labels)
    signal = np.zeros(labels.shape, np.float32)
    if kind != "cytoplasm":
        signal += membranes(rng, labels, distance, log_uniform(rng, 0.7, 3))
    if kind != "membrane":
        body = bodies(rng, labels, distance, rng.uniform(0.1, 0.8), rng.uniform(0.05, 0.45))
        dark = rng.uniform(0, 0.9) if rng.random() < 0.7 else 0
        signal += body * (1 - dark * (blur((nuclei > 0).astype(np.float32), 1))) * rng.uniform(0.3, 1)
    weak = np.exp(-rng.exponential(rng.choice([0.1, 0.7]), labels.max() + 1))  # some cells hardly express it
    return signal * weak.clip(0.3).astype(np.float32)[labels]


def two_channels(rng: Generator, shape: tuple[int, int]) -> Scene:
    """Whole cells in two channels of an RGB image: nuclei, and membranes or cytoplasm; the third is empty."""
    labels = whole_cells(rng, shape)
    nuclei = nuclei_of(rng, labels, inner_distance(labels), rng.uniform(0.45, 0.95), rng.choice([0, 0.05, 0.25]))
    first = bodies(rng, nuclei, inner_distance(nuclei), rng.uniform(0.1, 0.5), rng.uniform(0.05, 0.35))
    bare = np.zeros(labels.shape, bool)
    if rng.random() < 0.4:  # cells without the second stain: nothing but their nuclei can be outlined
        bare = (rng.random(labels.max() + 1) < rng.uniform(0.05, 0.6))[labels]
        near = cv2.dilate((nuclei > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        labels = np.where(bare & ~near, 0, labels)
    second = stain_cells(rng, labels, nuclei) * ~bare
    labels = tidy(labels)
    second += fibres(rng, shape) if rng.random() < 0.25 else 0
    first, second = first + rng.uniform(0, 0.1) * second, second + rng.uniform(0, 0.1) * first  # dyes leak
    light, sharp = optics.illumination(rng, shape, rng.uniform(0, 0.5)), log_uniform(rng, 0.4, 2)
    channels = [focus(rng, c, sharp) * light + background(rng, shape) for c in (first, second)]
    colours = np.eye(3)[[2, 1]] if rng.random() < 0.45 else optics.dye_colours(rng, 2)
    return Scene(optics.composite(rng, channels, colours), labels, "fluorescence")


def membrane_sheet(rng: Generator, shape: tuple[int, int]) -> Scene:
    """Whole cells in one channel: membranes or cytoplasm, without a stain of nuclei."""
    labels = whole_cells(rng, shape)
    nuclei = nuclei_of(rng, labels, inner_distance(labels), rng.uniform(0.4, 0.85), 0.1)
    signal = stain_cells(rng, labels, nuclei) + (fibres(rng, shape) if rng.random() < 0.25 else 0)
    signal = focus(rng, signal, log_uniform(rng, 0.4, 2))
    signal = signal * optics.illumination(rng, shape, rng.uniform(0, 0.6)) + background(rng, shape)
    if rng.random() < 0.15:
        debris(rng, signal, rng.uniform(1, 4))
    return store(rng, signal, labels, 0.1)


def focus(rng: Generator, signal: np.ndarray, sigma: float) -> np.ndarray:
    """The signal through the objective: a sharp part, and a haze of wide blur."""
    return blur(signal, sigma) + rng.uniform(0, 0.25) * blur(signal, log_uniform(rng, 6, 30))


def store(rng: Generator, signal: np.ndarray, labels: np.ndarray, coloured: float) -> Scene:
    """Gray as one channel, or with probability `coloured` in the hue of one dye."""
    if rng.random() < coloured:
        return Scene(optics.composite(rng, [signal], optics.dye_colours(rng, 1)), labels, "fluorescence")
    return Scene(optics.expose(rng, signal), labels, "fluorescence")


def elongated(rng: Generator, shape: tuple[int, int]) -> Scene:
    """Long, spread or branched whole cells that touch and partly overlap; the label goes to the one in front."""
    labels, signal = np.zeros(shape, np.int32), np.zeros(shape, np.float32)
    texture = fractal(rng, shape, log_uniform(rng, 3, 10))
    look = rng.uniform(0, 0.9), rng.choice([-0.6, 0.0, 1.0]), rng.uniform(0, 1), rng.uniform(0.1, 0.7)
    for number, pieces in enumerate(long_cells(rng, shape, log_uniform(rng, 22, 90), log_uniform(rng, 0.12, 0.6)), 1):
        paint(rng, labels, signal, pieces, number, texture, *look)
    labels = tidy(labels, 20)
    signal = focus(rng, signal, log_uniform(rng, 0.4, 1.8)) * optics.illumination(rng, shape, rng.uniform(0, 0.6))
    signal += background(rng, shape)
    if rng.random() < 0.15:
        debris(rng, signal, rng.uniform(1, 5))
    if rng.random() < 0.3:
        nuclei = nuclei_of(rng, labels, inner_distance(labels), 0.75, 0.05)
        first = bodies(rng, nuclei, inner_distance(nuclei), 0.2, 0.2) + background(rng, shape)
        channels = [blur(first, 1), signal]
        return Scene(optics.composite(rng, channels, optics.dye_colours(rng, 2)), labels, "fluorescence")
    return store(rng, signal, labels, 0.3)


def paint(
    rng: Generator,
    labels: np.ndarray,
    signal: np.ndarray,
    pieces: list[np.ndarray],
    number: int,
    texture: np.ndarray,
    strands: float,
    nucleus: float,
    rim: float,
    spread: float,
) -> None:
    """Add one cell, the union of outlines, to `signal` and put it in front in `labels`, in place.

    Parameters
    ----------
    texture : noise of the whole image
    strands : share of streaks along the cell, as actin has them
    nucleus : how much brighter it is than the cell; negative is darker
    rim : how much brighter the edge is
    spread : deviation of the logarithm of the brightness between cells
    """
    points = np.vstack(pieces)
    low = np.maximum(np.floor(points.min(0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(points.max(0)).astype(int) + 3, labels.shape[::-1])
    if (high - low < 3).any():
        return
    mask = np.zeros(tuple((high - low)[::-1]), np.uint8)
    for piece in pieces:
        fill(mask, piece - low, 1)
    box = np.s_[low[1] : high[1], low[0] : high[0]]
    depth = distance_inside(np.pad(mask, 4, mode="edge"), 3)[4:-4, 4:-4]
    deepest_point = max(float(depth.max()), 1)
    main_axis = np.linalg.svd(points - points.mean(0), full_matrices=False)[2][0]
    along = streaks(rng, mask.shape, np.arctan2(main_axis[1], main_axis[0]), 25, rng.uniform(1.5, 3))
    body = (0.4 + 0.6 * depth / deepest_point) * (1 + 0.2 * texture[box])
    body *= (1 + strands * (0.7 * along - 0.2)).clip(0.1)
    core = np.unravel_index(depth.argmax(), depth.shape)
    y, x = np.ogrid[: mask.shape[0], : mask.shape[1]]
    body *= 1 + nucleus * ((y - core[0]) ** 2 + (x - core[1]) ** 2 < (0.65 * deepest_point) ** 2)
    body += rim * np.exp(-depth / 2)
    bright = float(np.exp(rng.normal(0, spread)).clip(0.35, 4))
    signal[box] = signal[box] * (1 - 0.6 * mask) + mask * body.clip(0.05) * bright
    labels[box][mask > 0] = number


def nuclei(rng: Generator, shape: tuple[int, int]) -> Scene:
    """Nuclei with chromatin, some in division; haze of other planes, uneven light, at times dirt that outshines all."""
    diameter = log_uniform(rng, 7, 70)
    room = shape[0] * shape[1] / diameter**2
    count = max(2, int(room * log_uniform(rng, 0.08, 1.1)))
    radii = diameter / 2 * np.exp(rng.normal(0, rng.uniform(0.05, 0.25), count))
    if rng.random() < 0.3:
        radii[rng.random(len(radii)) < 0.4] *= rng.uniform(0.4, 0.65)  # a second cell type
    centres, radii = scatter(rng, shape, radii, rng.uniform(0.8, 1.15), rng.uniform(0, 0.8))
    longer, rough, outlines = rng.uniform(1, 1.9), rng.uniform(0.01, 0.1), []
    for centre, radius in zip(centres, radii):
        angle, dice = rng.uniform(0, np.pi), rng.random()
        if dice < 0.02:  # metaphase: a plate
            outlines.append(centre + blob(rng, 0.55 * radius, 0.08, 3, angle))
        elif dice < 0.04:  # anaphase: two plates
            apart = 0.5 * radius * np.array([-np.sin(angle), np.cos(angle)])
            outlines += [centre + side * apart + blob(rng, 0.42 * radius, 0.06, 2.2, angle) for side in (-1, 1)]
        else:
            outlines.append(centre + blob(rng, radius, rough, rng.uniform(1, longer), angle))
    labels = tidy(draw(shape, outlines))
    distance = inner_distance(labels)
    signal = bodies(rng, labels, distance, rng.uniform(0.05, 0.7), rng.uniform(0.02, 0.4))
    if rng.random() < 0.4:  # nucleoli are dark, chromocentres bright
        spots = noise(rng, shape, max(diameter / 7, 1.5))
        signal *= 1 + float(rng.choice([-0.5, 0.8])) * (spots > 1.1)
    signal = focus(rng, signal, log_uniform(rng, 0.4, 2.2))
    if rng.random() < 0.4:
        others, _ = scatter(rng, shape, np.full(max(1, int(room * 0.1)), diameter / 2), 0.8)
        haze = draw(shape, [c + blob(rng, diameter * 0.6, 0.1) for c in others]) > 0
        signal += rng.uniform(0.05, 0.3) * blur(haze.astype(np.float32), diameter * rng.uniform(0.3, 0.6))
    signal = signal * optics.illumination(rng, shape, rng.uniform(0, 0.8)) + background(rng, shape)
    if rng.random() < 0.25:
        debris(rng, signal, float(rng.choice([2, 10])))
    return store(rng, signal, labels, 0.3)
