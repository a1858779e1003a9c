"""Outlines of single cells around (0, 0): polygons of points (x, y) in pixels, float64 (n, 2).

Round cells are polar outlines with a few random harmonics (A. Lehmussola et al., "Computational framework for
simulating fluorescence microscope images with cell populations", IEEE TMI 2007). Spread cells hang between the points
where they hold on, and their free edges are drawn in as arcs (I. B. Bischofs et al., "Filamentous network mechanics and
active contractility determine cell and tissue shape", Biophysical Journal 2008).
"""

import numpy as np
from numpy.random import Generator

from training.synthetic.fields import log_uniform

POINTS = 48  # of an outline


def blob(rng: Generator, radius: float, rough: float = 0.08, longer: float = 1.0, angle: float = 0.0) -> np.ndarray:
    """A circle with harmonics of amplitude about `rough`, drawn out to `longer` times its width along `angle`."""
    theta = np.linspace(0, 2 * np.pi, POINTS, endpoint=False)
    orders = np.arange(2, 7)
    sizes, starts = rng.normal(0, rough / orders**0.8), rng.uniform(0, 6.3, 5)
    waves = sizes[:, None] * np.cos(orders[:, None] * theta + starts[:, None])
    r = radius * np.maximum(1 + waves.sum(0), 0.3)
    points = np.stack([r * np.cos(theta) * np.sqrt(longer), r * np.sin(theta) / np.sqrt(longer)], 1)
    return points @ rotation(angle)


def spread(rng: Generator, radius: float, anchors: int, pull: float = 0.4) -> np.ndarray:
    """A cell that holds on at so many anchors; arcs between them come in by `pull`: 0 is not, 1 is to the middle."""
    angles = rng.uniform(0, anchors) + np.arange(anchors) + rng.uniform(-0.35, 0.35, anchors)
    angles *= 2 * np.pi / anchors
    tips = radius * rng.uniform(0.7, 1.7, anchors)[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1)
    t = np.linspace(0, 1, 2 * POINTS // anchors, endpoint=False)[:, None]
    pieces = []
    for a, b in zip(tips, np.roll(tips, -1, 0)):
        middle = (a + b) / 2 * (1 - pull * rng.uniform(0.3, 1.5)) + rng.normal(0, 0.06 * radius, 2)
        pieces.append((1 - t) ** 2 * a + 2 * t * (1 - t) * middle + t**2 * b)
    outline = np.vstack(pieces)
    for _ in range(rng.integers(1, 4)):  # tips are round
        outline = (np.roll(outline, 1, 0) + 2 * outline + np.roll(outline, -1, 0)) / 4
    return outline + rng.normal(0, rng.choice([0.0, 0.03]) * radius, outline.shape)


def spindle(rng: Generator, length: float, width: float, bend: float = 0.3, blunt: float = 1.0) -> np.ndarray:
    """A long cell, bent by about `bend` radians; with `blunt` 2 it has tails, with 1 it is pointed, with 0.2 a rod."""
    t = np.linspace(0, 1, POINTS // 2)
    turn = rng.normal(0, bend) * (2 * t - 1) + rng.normal(0, bend / 2) * np.sin(2 * np.pi * t)
    turn += rng.uniform(0, 2 * np.pi)
    axis = np.cumsum(np.stack([np.cos(turn), np.sin(turn)], 1), 0) * length / len(t)
    peak = rng.uniform(0.35, 0.65) if blunt > 0.5 else 0.5
    profile = np.sin(np.pi * t ** (np.log(0.5) / np.log(peak))).clip(0) ** blunt
    wave = 1 + (0.15 if blunt > 0.5 else 0.03) * np.sin(rng.uniform(1, 3) * 2 * np.pi * t + rng.uniform(0, 6.3))
    return ribbon(axis - axis.mean(0), 0.5 * width * profile * wave + 0.3)


def process(rng: Generator, start: np.ndarray, angle: float, length: float, width: float) -> list[np.ndarray]:
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


def neuron(rng: Generator, radius: float, arms: int, reach: float) -> list[np.ndarray]:
    """Outlines whose union is a cell body of `radius` with `arms` processes about `reach` pixels long."""
    pieces = [blob(rng, radius, 0.12, rng.uniform(1, 1.7), rng.uniform(0, np.pi))]
    for angle in rng.uniform(0, 2 * np.pi) + np.arange(arms) * 2 * np.pi / arms + rng.normal(0, 0.4, arms):
        start = 0.6 * radius * np.array([np.cos(angle), np.sin(angle)])
        pieces += process(rng, start, angle, reach * rng.uniform(0.4, 1.3), radius * rng.uniform(0.3, 0.9))
    return pieces


def long_cell(rng: Generator, kind: str, diameter: float, flow: float | None) -> list[np.ndarray]:
    """Outlines around (0, 0) of one cell of a kind, with the area of a disk of about `diameter` pixels."""
    if kind == "mixed":
        kind = str(rng.choice(["spindle", "spread", "neuron"]))
    if kind == "spindle":
        ratio = log_uniform(rng, 2.5, 10)
        outline = spindle(
            rng, diameter * np.sqrt(ratio), 1.2 * diameter / np.sqrt(ratio), rng.uniform(0.05, 0.5), rng.uniform(0.6, 2)
        )
        if flow is not None:
            ends = outline[len(outline) // 2 - 1] - outline[0]
            outline = outline @ rotation(flow + rng.normal(0, 0.25) - np.arctan2(ends[1], ends[0]))
        return [outline]
    if kind == "spread":
        outline = spread(rng, diameter * 0.55, rng.integers(3, 8), rng.uniform(0.2, 0.8))
        ratio = rng.uniform(1, 1.6)
        return [outline * np.sqrt([ratio, 1 / ratio]) @ rotation(rng.uniform(0, np.pi))]
    return neuron(rng, diameter * 0.28, rng.integers(1, 6), diameter * rng.uniform(0.6, 1.8))


def ribbon(axis: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Outline of a band of half width `half` (n,) around a line of points (n, 2)."""
    along = np.gradient(axis, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], 1) / np.maximum(np.hypot(*along.T), 1e-6)[:, None]
    return np.vstack([axis + across * half[:, None], (axis - across * half[:, None])[::-1]])


def rotation(angle: float) -> np.ndarray:
    """Matrix that turns points, written as rows, by `angle` radians from x to y."""
    return np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
