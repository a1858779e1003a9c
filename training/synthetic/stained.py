"""Stained smears: nucleated cells among red cells, which are no cells here, and platelets; tissue without nuclei.

Dyes absorb by the law of Lambert and Beer: optical densities add up, with each dye's own colour (A. C. Ruifrok,
D. A. Johnston, "Quantification of histochemical staining by color deconvolution", Anal. Quant. Cytol. Histol. 2001).
"""

import numpy as np
from numpy.random import Generator

from training.synthetic import optics
from training.synthetic.fields import Scene, blur, fractal, log_uniform, noise
from training.synthetic.labels import deepest, inner_distance, tidy
from training.synthetic.layouts import draw, fill, scatter
from training.synthetic.outlines import blob, rotation

# Optical density of red, green, blue at full strength
RED_CELL = np.array([0.10, 0.38, 0.30], np.float32)
BLUE_NUCLEUS = np.array([1.10, 1.15, 0.38], np.float32)  # azure and eosin together: from blue to red purple
RED_NUCLEUS = np.array([0.55, 1.35, 0.60], np.float32)
BASOPHIL = np.array([0.62, 0.48, 0.16], np.float32)  # cytoplasm that is blue with RNA
ACIDOPHIL = np.array([0.12, 0.42, 0.22], np.float32)  # pink granules
EOSIN = np.array([0.07, 0.70, 0.35], np.float32)


def dye(rng: Generator, density: np.ndarray) -> np.ndarray:
    """A laboratory's own tone of a dye, (3,)."""
    return (density * np.exp(rng.normal(0, 0.18, 3)) * log_uniform(rng, 0.6, 1.3)).astype(np.float32)


def nuclear_dye(rng: Generator) -> np.ndarray:
    """A laboratory's own purple, (3,)."""
    red = np.float32(rng.random() ** 2)
    return dye(rng, BLUE_NUCLEUS + red * (RED_NUCLEUS - BLUE_NUCLEUS))


def red_cells(rng: Generator, shape: tuple[int, int], diameter: float, cover: float) -> np.ndarray:
    """Thickness of red cells, float32 (H, W): disks of 1 with pale centres on a share of `cover`; some overlap."""
    pale, rough = rng.uniform(0, 0.85), log_uniform(rng, 0.005, 0.05)
    size = int(diameter * 0.85) * 2 + 3
    y, x = np.mgrid[:size, :size].astype(np.float32) - size // 2
    stamps = []
    for _ in range(10):
        radius = diameter / 2 * rng.uniform(0.82, 1.12)
        mask = np.zeros((size, size), np.float32)
        fill(mask, size // 2 + blob(rng, radius, rough, rng.uniform(1, 1.25), rng.uniform(0, np.pi)), 1)
        centre = np.exp(-(x**2 + y**2) / (2 * (radius * rng.uniform(0.25, 0.5)) ** 2))
        stamps.append(blur(mask, max(0.5, diameter / 40)) * (1 - pale * rng.uniform(0.6, 1) * centre))
    count = int(cover * shape[0] * shape[1] / (0.7 * diameter**2))
    radii, half = np.full(min(count, 900), diameter / 2), size // 2
    centres, _ = scatter(rng, shape, radii, rng.uniform(0.8, 1.0), rng.uniform(0, 0.6), tries=2)
    padded = np.zeros((shape[0] + 2 * size, shape[1] + 2 * size), np.float32)
    for cx, cy in np.round(centres).astype(int) + size - half:
        padded[cy : cy + size, cx : cx + size] += stamps[rng.integers(len(stamps))]
    field = padded[size:-size, size:-size]
    return np.where(field > 1, 1 + 0.6 * (field - 1), field)


def platelets(rng: Generator, shape: tuple[int, int], diameter: float, count: int) -> np.ndarray:
    """Density of small grainy bodies of about `diameter` pixels, float32 (H, W)."""
    field = np.zeros(shape, np.float32)
    for _ in range(count):
        at = rng.uniform([0, 0], shape[::-1])
        outline = blob(rng, diameter / 2 * rng.uniform(0.6, 1.4), 0.2, rng.uniform(1, 1.6), rng.uniform(0, np.pi))
        fill(field, at + outline, rng.uniform(0.3, 0.9))
    return blur(field, max(diameter / 8, 0.6))


def nucleus_outlines(rng: Generator, radius: float, kind: str) -> list[np.ndarray]:
    """Outlines around (0, 0) of the nucleus of a white cell of this radius; `kind` is round, kidney or lobes."""
    angle = rng.uniform(0, 2 * np.pi)
    if kind == "round":
        outline = blob(rng, radius * rng.uniform(0.62, 0.92), 0.06, rng.uniform(1, 1.25), angle)
        return [outline + rng.normal(0, 0.05 * radius, 2)]
    lobes = rng.integers(2, 5)
    arc = np.linspace(-1, 1, lobes) * rng.uniform(0.9, 1.7)
    places = 0.42 * radius * np.stack([np.cos(arc), np.sin(arc)], 1) @ rotation(angle)
    size = radius * (0.36 if kind == "lobes" else 0.46)
    return [
        place + blob(rng, size * rng.uniform(0.85, 1.15), 0.1, rng.uniform(1, 1.5), rng.uniform(0, np.pi))
        for place in places
    ]


def smear(rng: Generator, shape: tuple[int, int]) -> Scene:
    """Blood or marrow: the labels are the whole nucleated cells, few among many red cells or close together."""
    diameter = log_uniform(rng, 14, 90)  # of red cells
    room = shape[0] * shape[1] / diameter**2
    marrow = rng.random() < 0.35
    count = int(room * log_uniform(rng, 0.1, 0.8)) if marrow else int(room * log_uniform(rng, 0.004, 0.08))
    radii = diameter / 2 * np.exp(rng.normal(np.log(rng.uniform(1.1, 1.8)), 0.2, min(max(count, 1), 300)))
    centres, radii = scatter(rng, shape, radii, rng.uniform(0.82, 1.05), rng.uniform(0, 0.9))
    labels, lobed = np.zeros(shape, np.int32), rng.uniform(0, 0.7)
    cores = np.zeros(shape, np.int32)
    for number, (centre, radius) in enumerate(zip(centres, radii), 1):
        fill(labels, centre + blob(rng, radius, 0.07, rng.uniform(1, 1.25), rng.uniform(0, np.pi)), number)
        kind = "round" if rng.random() > lobed else str(rng.choice(["lobes", "kidney"]))
        for outline in nucleus_outlines(rng, radius, kind):
            fill(cores, centre + outline, number)
    labels = np.where(labels > 0, labels, cores)
    cores = (cores > 0) & (cores == labels)  # a nucleus behind another cell is not seen
    labels = tidy(labels, 30)
    density = white_cells(rng, labels, cores, diameter)
    cover = rng.uniform(0, 0.4) if marrow else rng.uniform(0.1, 0.95)
    free = 1 - blur((labels > 0).astype(np.float32), max(0.5, diameter / 30))
    density += (red_cells(rng, shape, diameter, cover) * free)[..., None] * dye(rng, RED_CELL)
    specks = platelets(rng, shape, diameter * rng.uniform(0.2, 0.4), rng.poisson(room * rng.choice([0, 0.01, 0.06])))
    return develop(rng, density + (specks * free)[..., None] * nuclear_dye(rng) * 0.5, labels, diameter)


def white_cells(rng: Generator, labels: np.ndarray, cores: np.ndarray, diameter: float) -> np.ndarray:
    """Optical density, float32 (H, W, 3), of nucleated cells with nuclei at `cores`, in the tones of one stain."""
    shape, count = labels.shape, labels.max() + 1
    chromatin = (1 + rng.uniform(0.05, 0.3) * fractal(rng, shape, max(diameter / 6, 2))).clip(0.3)
    strength = np.exp(rng.normal(0, 0.15, count)).astype(np.float32)
    soft = max(0.5, diameter / 45)
    core = blur((cores & (labels > 0)).astype(np.float32), soft) * chromatin * strength[labels]
    basic = rng.random(count).astype(np.float32) ** rng.uniform(0.5, 3)
    grains = (1 + rng.uniform(0, 0.6) * noise(rng, shape, max(diameter / 18, 1.2))).clip(0.2)
    tone = (1 - basic[:, None]) * dye(rng, ACIDOPHIL) * rng.uniform(0.2, 0.9, (count, 1))
    tone += basic[:, None] * dye(rng, BASOPHIL)
    tone[0] = 0
    body = blur(tone.astype(np.float32)[labels], soft) * grains[..., None] * (1 - core.clip(0, 1))[..., None]
    distance = inner_distance(labels)
    vacuoles = noise(rng, shape, max(diameter / 9, 2)) > rng.uniform(1.7, 4)
    vacuoles &= distance > 0.15 * deepest(labels, distance)[labels]
    return body * (1 - 0.8 * vacuoles)[..., None].astype(np.float32) + core[..., None] * nuclear_dye(rng)


def develop(rng: Generator, density: np.ndarray, labels: np.ndarray, diameter: float) -> Scene:
    """The photograph, in an uneven light on plasma of a faint tone, of dyes of this optical density (H, W, 3)."""
    plasma = log_uniform(rng, 0.005, 0.2) * (1 + 0.4 * fractal(rng, labels.shape, 80))
    tint = rng.uniform(0, 1, 3) * [0.4, 0.8, 1]
    density = density + plasma.clip(0)[..., None] * tint.astype(np.float32)
    light = optics.illumination(rng, labels.shape, rng.uniform(0, 0.3) if rng.random() < 0.8 else rng.uniform(0.3, 0.7))
    rgb = np.exp(-density * np.float32(rng.uniform(0.7, 1.25))) * light[..., None]
    rgb = blur(rgb.astype(np.float32), log_uniform(rng, 0.3, 1 + diameter / 50))
    return Scene(optics.colour_camera(rng, rgb), labels, "stained")


def smear_without_cells(rng: Generator, shape: tuple[int, int]) -> Scene:
    """Red cells and platelets, or platelets alone."""
    diameter = log_uniform(rng, 12, 90)
    cover = rng.uniform(0.1, 0.95) if rng.random() < 0.8 else 0
    density = red_cells(rng, shape, diameter, cover)[..., None] * dye(rng, RED_CELL)
    count = 1 + rng.poisson(shape[0] * shape[1] / diameter**2 * rng.choice([0.01, 0.08]))
    specks = platelets(rng, shape, diameter * rng.uniform(0.2, 0.45), count)
    return develop(rng, density + specks[..., None] * nuclear_dye(rng) * 0.6, np.zeros(shape, np.int32), diameter)


def stroma(rng: Generator, shape: tuple[int, int]) -> Scene:
    """Eosin-stained fibres and fat with round holes, and not one nucleus."""
    scale = log_uniform(rng, 10, 60)
    bend = fractal(rng, shape, 4 * scale)
    fibres = np.sin(fractal(rng, shape, scale * 2) * rng.uniform(2, 8) + bend * 2)
    tissue = (0.6 + 0.2 * fibres + 0.2 * fractal(rng, shape, scale / 2)).clip(0)
    radii = log_uniform(rng, 3, 50) / 2 * np.exp(rng.normal(0, 0.4, rng.integers(2, 60)))
    centres, radii = scatter(rng, shape, radii, rng.uniform(0.9, 1.3))
    outlines = [c + blob(rng, r, 0.08, rng.uniform(1, 1.4), rng.uniform(0, np.pi)) for c, r in zip(centres, radii)]
    holes = draw(shape, outlines) > 0
    holes |= bend > rng.uniform(0.8, 3)  # tears
    tissue *= 1 - blur(holes.astype(np.float32), rng.uniform(0.7, 2))
    return develop(rng, tissue[..., None] * dye(rng, EOSIN), np.zeros(shape, np.int32), scale)
