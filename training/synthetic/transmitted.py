"""Unstained cells in transmitted light: one map of optical thickness, seen in phase contrast, DIC, or bright field.

Phase contrast subtracts an average of the surroundings from the phase, hence the halo; thick cells go beyond half a
wave and turn bright (Z. Yin et al., "Understanding the phase contrast optics to restore artifact-free microscopy images
for segmentation", Medical Image Analysis 2012). DIC shows the slope of the phase along its shear (K. Li, T. Kanade,
"Nonnegative mixed-norm preconditioning for microscopy image segmentation", IPMI 2009). Out of focus, bright field shows
its curvature (transport of intensity: M. R. Teague, J. Opt. Soc. Am. 1983). Gray is stored as RGB with equal channels.
"""

import cv2
import numpy as np
from numpy.random import Generator

from training.synthetic import optics
from training.synthetic.clutter import chamber, dust, eyepiece, floaters
from training.synthetic.fields import Scene, blur, fractal, log_uniform, noise
from training.synthetic.fluorescence import nuclei_of, store
from training.synthetic.labels import deepest, inner_distance, tidy
from training.synthetic.layouts import colony, culture, draw, fill, long_cells, scatter, sheet
from training.synthetic.outlines import blob, spindle


def thickness(rng: Generator, labels: np.ndarray, flat: float) -> np.ndarray:
    """Optical thickness of cells, float32 (H, W), about 1 in the middle: from domes (`flat` 0) to spread cells (1),
    with ruffled rims, nuclei, nucleoli and granules."""
    distance = inner_distance(labels)
    depth = deepest(labels, distance)
    t = np.minimum((distance + 0.3 * (labels > 0)) / depth[labels], 1)
    dome = np.sqrt(t * (2 - t))
    plate = 1 - np.exp(-distance / (0.12 * depth[labels] + 1))
    high = np.exp(rng.normal(0, rng.uniform(0.05, 0.3), len(depth))).astype(np.float32)
    body = (flat * plate * 0.5 + (1 - flat) * dome) * high[labels]
    if np.median(depth) > 5:
        shape, inside = labels.shape, np.minimum(distance / 3, 1)
        ruffles = (0.7 + 0.6 * noise(rng, shape, 12)).clip(0) * (labels > 0)
        body += rng.uniform(0, 0.5) * ruffles * np.exp(-(((distance - 1.5) / 1.5) ** 2))
        nuclei = nuclei_of(rng, labels, distance, rng.uniform(0.4, 0.7), 0.05)
        in_nucleus = inner_distance(nuclei)
        core = np.minimum(in_nucleus / 3, 1)
        body += rng.uniform(-0.15, 0.3) * core
        body += rng.uniform(0, 0.2) * np.exp(-(((in_nucleus - 1) / 1.2) ** 2)) * (nuclei > 0)
        spots = noise(rng, shape, float(np.median(depth)) / rng.uniform(3, 5)) > 1.5
        body += rng.uniform(0, 0.3) * blur((spots & (in_nucleus > 3)).astype(np.float32), 0.8)
        grains = (noise(rng, shape, rng.uniform(1.2, 3)) > rng.uniform(1.1, 2.2)) * (1 - 0.8 * core) * inside
        body += log_uniform(rng, 0.01, 0.3) * grains + rng.uniform(0, 0.08) * inside * fractal(rng, shape, 8)
    return body.astype(np.float32)


def phase_contrast(rng: Generator, height: np.ndarray, size: float) -> np.ndarray:
    """Phase-contrast image around 0 of a map of thickness; `size` is the cells' diameter, which limits halos."""
    phase = log_uniform(rng, 0.7, 4) * height
    near, wide = (log_uniform(rng, 1.5, max(2, size * s)) for s in (0.12, 0.35))
    share = rng.uniform(0.2, 0.8)
    halo = share * blur(phase, near) + (1 - share) * blur(phase, wide)
    sign = -1 if rng.random() < 0.7 else 1
    return sign * np.sin(blur(phase, rng.uniform(0.4, 1)) - halo * rng.uniform(0.7, 1.1))


def interference_contrast(rng: Generator, height: np.ndarray, size: float) -> np.ndarray:
    """DIC image around 0: the slope of the thickness along a random direction."""
    smooth, angle = blur(height, log_uniform(rng, 0.7, max(1, size * 0.03))), rng.uniform(0, 2 * np.pi)
    slope = np.cos(angle) * cv2.Sobel(smooth, cv2.CV_32F, 1, 0) + np.sin(angle) * cv2.Sobel(smooth, cv2.CV_32F, 0, 1)
    steep = float(np.percentile(np.abs(slope[height > 0]), 99)) if height.any() else 1.0
    return np.tanh(slope / max(steep, 1e-6) * log_uniform(rng, 0.5, 2.5))


def bright_field(rng: Generator, height: np.ndarray, size: float) -> np.ndarray:
    """Bright-field image around 0: a little absorption, and the curvature of the thickness on one side of the focus."""
    rim = cv2.Laplacian(blur(height, max(0.8, size * rng.uniform(0.015, 0.05))), cv2.CV_32F)
    rim = np.tanh(rim * float(rng.choice([-1, 1])) * log_uniform(rng, 1, 5))
    return rim + blur(rim, 2) * rng.uniform(0, 2) - rng.uniform(-0.1, 0.35) * blur(height, 1)


OPTICS = {"phase": phase_contrast, "dic": interference_contrast, "brightfield": bright_field}


def develop(rng: Generator, contrast: np.ndarray, labels: np.ndarray, modality: str) -> Scene:
    """An image around 0 on gray ground, faint to full, with waves of the medium, uneven light, dust, things out of
    focus and noise; some bright fields in the colours of a camera."""
    shape = labels.shape
    top = max(float(np.percentile(np.abs(contrast[labels > 0]), 98)), 0.05)
    ground = rng.uniform(0.3, 0.7) if modality != "brightfield" else rng.uniform(0.4, 0.85)
    image = ground * (1 + log_uniform(rng, 0.14, 0.9) / top * contrast) + 0.012 * rng.random() * fractal(rng, shape, 60)
    image *= optics.illumination(rng, shape, rng.uniform(0, 0.4) if rng.random() < 0.8 else rng.uniform(0.4, 0.7))
    dust(rng, image, rng.integers(0, 6))
    if rng.random() < 0.2:
        image += floaters(rng, shape)
    if modality != "dic" and rng.random() < 0.08:
        image *= chamber(rng, shape)
    image = blur(image, rng.choice([0, 0.5, 1]))
    photons, read = log_uniform(rng, 400, 20000), log_uniform(rng, 0.002, 0.015)
    if modality == "brightfield" and rng.random() < 0.35:
        apart = log_uniform(rng, 0.3, 2)  # pixels by which the lens brings colours to other places
        rgb = np.stack([blur(np.roll(image, round(apart * i), 1), 0.4 * abs(i)) for i in (-1, 0, 1)], 2)
        rgb *= (1 + rng.normal(0, 0.08, 3) + np.array([0.03, 0, -0.05])).astype(np.float32)
        rgb += 0.012 * rng.random() * np.stack([fractal(rng, shape, 120) for _ in "rgb"], 2)
        rgb *= eyepiece(rng, shape)[..., None] if rng.random() < 0.3 else 1
        return Scene((optics.camera(rng, rgb, photons, read) * 255).clip(0, 255).astype(np.uint8), labels, modality)
    return Scene(optics.gray_rgb(rng, optics.camera(rng, image, photons, read)), labels, modality)


def adherent(rng: Generator, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, float]:
    """Cells of a culture dish: labels, thickness and diameter. Spread or long ones, and round ones, about to divide."""
    diameter = log_uniform(rng, 10, 160)
    dice = rng.random()
    if dice < 0.25:
        gap = rng.uniform(1, 4) if rng.random() < 0.5 else 0
        labels = sheet(rng, shape, diameter, rng.uniform(0, 1), rng.uniform(0.5, 1), gap)
    elif dice < 0.65:
        labels = np.zeros(shape, np.int32)
        for number, pieces in enumerate(long_cells(rng, shape, diameter, log_uniform(rng, 0.12, 0.7)), 1):
            for piece in pieces:
                fill(labels, piece, number)
    else:
        labels = culture(rng, shape, diameter)
    labels = tidy(labels, 20)
    height = thickness(rng, labels, rng.uniform(0, 1))
    if rng.random() < 0.5:
        count = max(1, int(rng.uniform(0, 0.06) * shape[0] * shape[1] / diameter**2))
        centres, radii = scatter(rng, shape, np.full(count, diameter * 0.3))
        balls = draw(shape, [c + blob(rng, r, 0.03) for c, r in zip(centres, radii)])
        height = np.where(balls > 0, 2.2 * thickness(rng, balls, 0), height)
        labels = tidy(np.where(balls > 0, balls + labels.max(), labels), 20)
    return labels, height, diameter


def dish(rng: Generator, shape: tuple[int, int], modality: str) -> Scene:
    """Cells of animals on a dish in one of `OPTICS`."""
    labels, height, diameter = adherent(rng, shape)
    return develop(rng, OPTICS[modality](rng, height, diameter), labels, modality)


def rods(rng: Generator, shape: tuple[int, int]) -> Scene:
    """Bacteria, in packed colonies or apart, in phase contrast, bright field or fluorescence."""
    width = log_uniform(rng, 4, 18)
    length = width * rng.uniform(2, 6)
    if rng.random() < 0.5:
        labels = colony(rng, shape, width, length)
    else:
        bend = rng.choice([0.03, 0.15, 0.5])
        count = int(min(shape[0] * shape[1] / (width * length) * log_uniform(rng, 0.05, 0.8), 500)) + 2
        radii = np.full(count, np.sqrt(width * length) / 2)
        centres, _ = scatter(rng, shape, radii, rng.uniform(0.8, 1.05), rng.uniform(0, 0.98))
        sizes = [(length * rng.uniform(0.6, 1.3), width * rng.uniform(0.9, 1.1)) for _ in centres]
        labels = draw(shape, [c + spindle(rng, *size, bend, 0.25) for c, size in zip(centres, sizes)])
    labels = tidy(labels)
    height = thickness(rng, labels, rng.uniform(0, 0.4))
    if rng.random() < 0.4:
        bright = np.exp(rng.normal(0, rng.uniform(0.1, 0.4), labels.max() + 1)).astype(np.float32)
        signal = blur(height * bright[labels], rng.uniform(0.6, max(0.7, width / 8))) + log_uniform(rng, 0.005, 0.2)
        return store(rng, signal, labels, 0.2)
    modality = str(rng.choice(["phase", "phase", "brightfield"]))
    return develop(rng, OPTICS[modality](rng, height, 2 * width), labels, modality)


def yeast(rng: Generator, shape: tuple[int, int]) -> Scene:
    """Yeast: ovals with buds, apart or in clumps, with a bright or dark rim."""
    diameter = log_uniform(rng, 9, 60)
    count = int(min(shape[0] * shape[1] / diameter**2 * log_uniform(rng, 0.03, 0.6), 400)) + 2
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
