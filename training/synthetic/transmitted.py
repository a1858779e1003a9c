"""Unstained cells in transmitted light: one map of optical thickness, seen in phase contrast, DIC, or bright field.

Phase contrast subtracts a wide average of the phase from the phase itself, hence the halo; thick cells go beyond half a wave and turn
bright (Z. Yin et al., "Understanding the phase contrast optics to restore artifact-free microscopy images for segmentation",
Medical Image Analysis 2012). DIC shows the slope of the phase along its shear (K. Li, T. Kanade, "Nonnegative mixed-norm
preconditioning for microscopy image segmentation", IPMI 2009). Out of focus, bright field shows its curvature (transport of
intensity: M. R. Teague, J. Opt. Soc. Am. 1983). Gray is stored as RGB with equal channels.
"""

import cv2
import numpy as np

from training.synthetic import optics
from training.synthetic.fields import Scene, blur, fractal, log_uniform, noise
from training.synthetic.fluorescence import culture, elongated_labels, nuclei_of, store
from training.synthetic.shapes import blob, deepest, draw, fill, inner_distance, scatter, sheet, spindle, tidy


def thickness(rng: np.random.Generator, labels: np.ndarray, flat: float) -> np.ndarray:
    """Optical thickness of cells, float32 (H, W), about 1 in the middle: domes, or spread cells (`flat` 1) with nucleus and
    granules."""
    distance = inner_distance(labels)
    depth = deepest(labels, distance)
    t = np.minimum((distance + 0.3 * (labels > 0)) / depth[labels], 1)
    dome = np.sqrt(t * (2 - t))
    plate = 1 - np.exp(-distance / (0.12 * depth[labels] + 1))
    high = np.exp(rng.normal(0, rng.uniform(0.05, 0.3), len(depth))).astype(np.float32)
    body = (flat * plate * 0.5 + (1 - flat) * dome) * high[labels]
    if np.median(depth) > 5:
        core = nuclei_of(rng, labels, distance, rng.uniform(0.4, 0.65), 0.05)
        inside = np.minimum(inner_distance(core) / 3, 1)
        body += rng.uniform(-0.1, 0.3) * inside
        grains = (noise(rng, labels.shape, rng.uniform(1.5, 3)) > rng.uniform(1.1, 2)) * (1 - 0.7 * inside)
        body += np.minimum(distance / 4, 1) * (rng.uniform(0, 0.3) * grains + rng.uniform(0, 0.12) * fractal(rng, labels.shape, 6))
    return body.astype(np.float32)


def phase_contrast(rng: np.random.Generator, height: np.ndarray, size: float) -> np.ndarray:
    """Phase-contrast image around 0 of a map of thickness; `size` is the cells' diameter, which the halo grows with."""
    phase = log_uniform(rng, 0.7, 4) * height
    halo = blur(phase, max(1.5, size * rng.uniform(0.12, 0.3)))
    sign = -1 if rng.random() < 0.8 else 1
    return sign * np.sin(blur(phase, rng.uniform(0.4, 1)) - halo * rng.uniform(0.7, 1.1))


def interference_contrast(rng: np.random.Generator, height: np.ndarray, size: float) -> np.ndarray:
    """DIC image around 0: the slope of the thickness along a random direction."""
    smooth, angle = blur(height, rng.uniform(0.6, 1.6)), rng.uniform(0, 2 * np.pi)
    slope = np.cos(angle) * cv2.Sobel(smooth, cv2.CV_32F, 1, 0) + np.sin(angle) * cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    return np.tanh(slope * log_uniform(rng, 0.04, 0.2) * max(size, 8))


def bright_field(rng: np.random.Generator, height: np.ndarray, size: float) -> np.ndarray:
    """Bright-field image around 0: a little absorption, and the curvature of the thickness on one side of the focus."""
    rim = cv2.Laplacian(blur(height, max(0.8, size * rng.uniform(0.015, 0.05))), cv2.CV_32F)
    rim = np.tanh(rim * float(rng.choice([-1, 1])) * log_uniform(rng, 1, 5))
    return rim + blur(rim, 2) * rng.uniform(0, 2) - rng.uniform(-0.1, 0.35) * blur(height, 1)


OPTICS = {"phase": phase_contrast, "dic": interference_contrast, "brightfield": bright_field}


def develop(rng: np.random.Generator, contrast: np.ndarray, labels: np.ndarray, modality: str) -> Scene:
    """Put an image around 0 on gray ground: dust and waves of the medium, uneven light, noise, contrast from faint to full."""
    shape = labels.shape
    strength = log_uniform(rng, 0.25, 1) * 0.5 / max(float(np.percentile(np.abs(contrast[::2, ::2]), 99.7)), 0.05)
    ground = rng.uniform(0.3, 0.7) if modality != "brightfield" else rng.uniform(0.4, 0.85)
    image = ground + strength * ground * contrast + 0.012 * rng.random() * fractal(rng, shape, 60)
    image *= optics.illumination(rng, shape, rng.uniform(0, 0.4) if rng.random() < 0.8 else rng.uniform(0.4, 0.7))
    dust(rng, image, rng.integers(0, 6) if rng.random() < 0.5 else 0)
    image = optics.camera(rng, blur(image, rng.choice([0, 0.5, 1])), log_uniform(rng, 400, 20000), log_uniform(rng, 0.002, 0.02))
    if modality == "brightfield" and rng.random() < 0.25:
        tint = (1 + rng.normal(0, 0.06, 3) + np.array([0.03, 0, -0.05])).astype(np.float32)
        return Scene((image[..., None] * tint * 255).clip(0, 255).astype(np.uint8), labels, modality)
    return Scene(optics.gray_rgb(rng, image), labels, modality)


def dust(rng: np.random.Generator, image: np.ndarray, count: int) -> None:
    """Darken specks and blurred rings on a transmitted-light image (H, W), in place."""
    shadow = np.zeros(image.shape, np.float32)
    for _ in range(count):
        at, radius = rng.uniform([0, 0], image.shape[::-1]), log_uniform(rng, 1, 10)
        fill(shadow, at + blob(rng, radius, 0.2), rng.uniform(0.1, 0.6))
        if rng.random() < 0.5:
            fill(shadow, at + blob(rng, radius * 0.7, 0.1), 0)
    if count:
        image *= 1 - blur(shadow, log_uniform(rng, 0.5, 3))


def adherent(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, float]:
    """Cells of a culture dish: labels, thickness and diameter. Spread or long ones, and round ones that divide or float."""
    diameter = log_uniform(rng, 14, 110)
    if rng.random() < 0.2:
        labels = sheet(rng, shape, diameter, rng.uniform(0, 1), rng.uniform(0.5, 1), rng.uniform(0, 4))
    elif rng.random() < 0.5:
        labels = elongated_labels(rng, shape, diameter)
    else:
        labels = culture(rng, shape, diameter)
    labels = tidy(labels, 20)
    height = thickness(rng, labels, rng.uniform(0, 1))
    if rng.random() < 0.5:
        count = max(1, int(rng.uniform(0, 0.06) * shape[0] * shape[1] / diameter ** 2))
        centres, radii = scatter(rng, shape, np.full(count, diameter * 0.3))
        balls = draw(shape, [c + blob(rng, r, 0.03) for c, r in zip(centres, radii)])
        height = np.where(balls > 0, 2.2 * thickness(rng, balls, 0), height)
        labels = tidy(np.where(balls > 0, balls + labels.max(), labels), 20)
    return labels, height, diameter


def dish(rng: np.random.Generator, shape: tuple[int, int], modality: str) -> Scene:
    """Cells of animals on a dish in one of `OPTICS`."""
    labels, height, diameter = adherent(rng, shape)
    return develop(rng, OPTICS[modality](rng, height, diameter), labels, modality)


def phase(rng: np.random.Generator, shape: tuple[int, int]) -> Scene:
    """Cells in phase contrast."""
    return dish(rng, shape, "phase")


def dic(rng: np.random.Generator, shape: tuple[int, int]) -> Scene:
    """Cells in DIC."""
    return dish(rng, shape, "dic")


def brightfield(rng: np.random.Generator, shape: tuple[int, int]) -> Scene:
    """Cells in bright field without a stain."""
    return dish(rng, shape, "brightfield")


def rods(rng: np.random.Generator, shape: tuple[int, int]) -> Scene:
    """Bacteria: rods that lie apart or in colonies, in phase contrast, bright field or fluorescence."""
    width = log_uniform(rng, 4, 18)
    length, bend = width * rng.uniform(1.8, 7), rng.choice([0.03, 0.15, 0.5])
    count = int(min(shape[0] * shape[1] / (width * length) * log_uniform(rng, 0.05, 0.8), 500)) + 2
    centres, _ = scatter(rng, shape, np.full(count, np.sqrt(width * length) / 2), rng.uniform(0.8, 1.05), rng.uniform(0, 0.98))
    labels = np.zeros(shape, np.int32)
    for number, centre in enumerate(centres, 1):
        outline = centre + spindle(rng, length * rng.uniform(0.6, 1.3), width * rng.uniform(0.9, 1.1), bend, 0.25)
        fill(labels, outline, number)
    labels = tidy(labels)
    edge = inner_distance(labels)
    labels = tidy(np.where(edge > 0, labels, 0)) if width > 6 else labels
    if rng.random() < 0.3:
        signal = thickness(rng, labels, rng.uniform(0, 0.5)) * rng.uniform(0.7, 1.3, labels.max() + 1).astype(np.float32)[labels]
        signal = blur(signal, rng.uniform(0.6, 1.5)) + log_uniform(rng, 0.005, 0.2)
        return store(rng, signal, labels, 0.3)
    modality = rng.choice(["phase", "phase", "brightfield"])
    return develop(rng, OPTICS[modality](rng, thickness(rng, labels, 0.2), 2 * width), labels, str(modality))


def yeast(rng: np.random.Generator, shape: tuple[int, int]) -> Scene:
    """Yeast: ovals with buds, apart or in clumps, with a bright or dark rim."""
    diameter = log_uniform(rng, 9, 60)
    count = int(min(shape[0] * shape[1] / diameter ** 2 * log_uniform(rng, 0.03, 0.6), 400)) + 2
    centres, radii = scatter(rng, shape, diameter / 2 * rng.uniform(0.7, 1.15, count), 1.0, rng.uniform(0, 0.95))
    outlines = []
    for centre, radius in zip(centres, radii):
        outlines.append(centre + blob(rng, radius, 0.02, rng.uniform(1, 1.35), rng.uniform(0, np.pi)))
        if rng.random() < 0.2:
            angle, bud = rng.uniform(0, 2 * np.pi), radius * rng.uniform(0.35, 0.6)
            outlines.append(centre + (radius + bud) * np.array([np.cos(angle), np.sin(angle)]) + blob(rng, bud, 0.02))
    labels = tidy(draw(shape, outlines))
    height = thickness(rng, labels, rng.uniform(0, 0.4))
    modality = str(rng.choice(["phase", "dic", "brightfield", "brightfield"]))
    return develop(rng, OPTICS[modality](rng, height, diameter), labels, modality)
