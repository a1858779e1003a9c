"""Augmentations of a training crop: the paper's eight (section 3.3), and fourteen of ours, which docs/method.md lists.

Geometry (crop, zoom, flips, quarter turns) moves image and labels together; intensity changes touch the image alone.
Images are float32 in [0, 1], HxW or HxWx3; a gray image stays HxW here, so that its channels stay equal.
"""

import cv2
import numpy as np
from numpy.random import Generator
from skimage.color import combine_stains, hed_from_rgb, rgb_from_hed, separate_stains

# Paper, section 3.3: probabilities, and the zoom range. The other ranges are MONAI's defaults or narrower.
FLIP, ROTATE_90, NOISE = 0.5, 0.5, 0.5
CONTRAST, SMOOTH, HISTOGRAM_SHIFT = 0.25, 0.25, 0.25
ZOOM = (0.5, 2.0)
NOISE_STD = (0.0, 0.08)
GAMMA = (0.5, 2.0)
SMOOTH_SIGMA = (0.25, 1.5)  # pixels
HISTOGRAM_POINTS = 8
# Ours, for microscopes that are not in the training data.
INVERT, STAIN, PATCHES, COLOUR_GAIN, DESATURATE, CHANNEL_ORDER = 0.1, 0.5, 0.3, 0.4, 0.2, 0.2
COMPOSITE, HUE, SHOT_NOISE, DOWNSAMPLE, VIGNETTE, DIM, DEBRIS, JPEG = 0.1, 0.3, 0.15, 0.15, 0.15, 0.1, 0.08, 0.15
DARK = 0.35  # mean of a gray image on a dark background, which may be fluorescence
SECOND_DYE = (0.2, 0.8)  # of the first one's brightness
SECOND_SPREAD = (2.0, 10.0)  # standard deviation in pixels of how much smoother it is
BLEED = (0.0, 0.25)  # share of a dye's light that reaches the other channels of a colour camera
PHOTONS = (15, 400)  # at the brightest pixel
SHRINK = (1.3, 3.0)  # before it is enlarged again
VIGNETTE_DEPTH = (0.2, 0.7)  # of the brightness lost where the light is weakest
DIM_GAIN = (0.15, 0.6)
SPECKS = (1, 4)
SPECK_RADIUS = (1, 12)  # pixels
JPEG_QUALITY = (25, 90)
OTHER_DYE = 0.4
DYE_SPREAD = 0.1  # standard deviation of a dye's absorbance of red, green and blue, of which the squares add up to 1
DYE_AMOUNT = (0.6, 1.6)
PATCHES_ACROSS = (2, 8)  # along each side of the crop
PATCH_DYE = (0.3, 1.5)  # absorbance where it is strongest


def cut(image: np.ndarray, labels: np.ndarray, zoom: float, centre: tuple[float, float], size: int, rng: Generator):
    """Random crop and zoom: the window of `size` output pixels around `centre`, magnified by `zoom`.

    The window is moved inside the image; where the image is smaller than it, the image is mirrored and the labels are
    0.

    Parameters
    ----------
    image : uint8 array of shape (H, W) or (H, W, 3)
    labels : integer array of shape (H, W)
    centre : (y, x) in pixels of `image`

    Returns
    -------
    image (size, size[, 3]) uint8, labels (size, size) int32, known (size, size) float32: 1 inside the image, 0 in
    padding.
    """
    slices, out, places = [], [], []
    for position, length in zip(centre, labels.shape):
        extent = min(length, max(1, round(size / zoom)))
        start = int(np.clip(round(position - extent / 2), 0, length - extent))
        pixels = min(size, max(1, round(extent * zoom)))
        slices.append(slice(start, start + extent))
        out.append(pixels)
        places.append(int(rng.integers(0, size - pixels + 1)))
    crop = cv2.resize(
        image[tuple(slices)], (out[1], out[0]), interpolation=cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR
    )
    rows, columns = ((np.arange(n) + 0.5) * ((s.stop - s.start) / n) for n, s in zip(out, slices))
    cells = labels[tuple(slices)][rows.astype(np.intp)[:, None], columns.astype(np.intp)]
    pad = [(p, size - n - p) for p, n in zip(places, out)]
    crop = np.pad(crop, pad + [(0, 0)] * (crop.ndim - 2), mode="symmetric")
    known = np.pad(np.ones(out, np.float32), pad)
    return crop, np.pad(cells, pad).astype(np.int32), known


def flip_and_turn(arrays: list[np.ndarray], rng: Generator) -> list[np.ndarray]:
    """One axis flip or none, and one number of quarter turns, the same for all (H, W, ...) arrays."""
    if rng.random() < FLIP:
        axis = int(rng.integers(2))
        arrays = [np.flip(a, axis) for a in arrays]
    if rng.random() < ROTATE_90:
        turns = int(rng.integers(1, 4))
        arrays = [np.rot90(a, turns) for a in arrays]
    return [np.ascontiguousarray(a) for a in arrays]


def gaussian_noise(image: np.ndarray, rng: Generator) -> np.ndarray:
    return image + rng.standard_normal(image.shape, np.float32) * np.float32(rng.uniform(*NOISE_STD))


def adjust_contrast(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Gamma correction, log-uniform between GAMMA's ends."""
    return np.power(np.clip(image, 0, 1), np.float32(np.exp(rng.uniform(*np.log(GAMMA)))))


def gaussian_smooth(image: np.ndarray, rng: Generator) -> np.ndarray:
    return cv2.GaussianBlur(image, (0, 0), rng.uniform(*SMOOTH_SIGMA))


def histogram_shift(image: np.ndarray, rng: Generator) -> np.ndarray:
    """A random monotone piecewise linear map of the intensities."""
    points = np.linspace(0, 1, HISTOGRAM_POINTS)
    moved = points.copy()
    for i in range(1, HISTOGRAM_POINTS - 1):
        moved[i] = rng.uniform(moved[i - 1], points[i + 1])
    return np.interp(image.ravel(), points, moved).astype(np.float32).reshape(image.shape)


def invert(image: np.ndarray, rng: Generator) -> np.ndarray:
    return 1 - image


def stain(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Another stain: what haematoxylin, eosin and DAB absorb (Ruifrok and Johnston, 2001) is given to dyes of nearly
    the same or of each other's colours, in other amounts."""
    if image.ndim == 2:
        return image
    own = np.arange(3)
    dyes = dyes_like(np.where(rng.random(3) < OTHER_DYE, rng.integers(3, size=3), own), rng)
    dyes *= np.exp(rng.uniform(*np.log(DYE_AMOUNT), (3, 1)))
    return combine_stains(separate_stains(np.clip(image, 0, 1), hed_from_rgb), dyes).astype(np.float32)


def dye_patches(image: np.ndarray, rng: Generator) -> np.ndarray:
    """A further dye in patches that are no cells: an antibody's brown, say, on membranes and glands. Its colour is near
    eosin's or DAB's; patches in haematoxylin's would look like nuclei."""
    if image.ndim == 2:
        return image
    across = int(rng.integers(*PATCHES_ACROSS, endpoint=True))
    field = cv2.resize(
        rng.standard_normal((across + 1, across + 1), np.float32), image.shape[1::-1], interpolation=cv2.INTER_CUBIC
    )
    amount = np.clip((field - rng.uniform(-0.5, 1)) * rng.uniform(0.5, 5), 0, 1) * rng.uniform(*PATCH_DYE)
    return image * np.exp(-amount[:, :, None] * dyes_like(rng.integers(1, 3, size=1), rng)).astype(np.float32)


def dyes_like(kinds: np.ndarray, rng: Generator) -> np.ndarray:
    """Absorbances (n, 3) of red, green and blue, of length 1, of dyes nearly as haematoxylin (0), eosin (1) or DAB (2)
    is coloured.
    """
    dyes = np.maximum(rgb_from_hed[kinds] + rng.normal(0, DYE_SPREAD, (len(kinds), 3)), 0)
    return dyes / np.linalg.norm(dyes, axis=1, keepdims=True)


def colour_gain(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Another stain or white balance: a gain and an offset for each channel (for the one channel of a gray image)."""
    shape = image.shape[2:]
    return image * rng.uniform(0.7, 1.3, shape).astype(np.float32) + rng.uniform(-0.15, 0.15, shape).astype(np.float32)


def desaturate(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Towards the mean of the channels, by a random part of the way."""
    if image.ndim == 2:
        return image
    part = np.float32(rng.random())
    return image * (1 - part) + part * image.mean(axis=2, keepdims=True)


def channel_order(image: np.ndarray, rng: Generator) -> np.ndarray:
    return image if image.ndim == 2 else image[:, :, rng.permutation(3)]


def composite(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Fluorescence of two dyes, of which the labels are for the first: a dark gray image in one channel, and in another
    one a smooth and dimmer signal, around the same cells as a cytoplasm is or, turned by half a circle, elsewhere.
    """
    if image.ndim == 3 or image.mean() > DARK:
        return image
    second = cv2.GaussianBlur(image if rng.random() < 0.5 else image[::-1, ::-1], (0, 0), rng.uniform(*SECOND_SPREAD))
    second *= np.float32(rng.uniform(*SECOND_DYE)) * image.max() / max(second.max(), np.float32(1e-6))
    channels = np.stack([image, second, np.zeros_like(image)], axis=2)
    return channels[:, :, rng.permutation(3)]


def hue(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Fluorescence as a colour camera or a viewer's colour table shows it: a dark gray image in one random hue."""
    if image.ndim == 3 or image.mean() > DARK:
        return image
    colour = rng.uniform(*BLEED, 3)
    brightest, second, _ = rng.permutation(3)
    colour[brightest] = 1
    if rng.random() < 0.3:  # cyan, magenta, yellow and what lies between
        colour[second] = rng.uniform(0.3, 1)
    if rng.random() < 0.4:  # a pure channel, the others empty
        colour = np.where(colour == 1, 1.0, 0.0)
    return image[:, :, None] * colour.astype(np.float32)


def shot_noise(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Noise of PHOTONS counted photons at the brightest pixel, by the normal distribution of the same variance."""
    most = np.float32(np.exp(rng.uniform(*np.log(PHOTONS))))
    return image + rng.standard_normal(image.shape, np.float32) * np.sqrt(np.clip(image, 0, 1) / most)


def downsample(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Detail lost as by a weaker objective or a reduced file."""
    height, width = image.shape[:2]
    factor = rng.uniform(*SHRINK)
    small = cv2.resize(
        image, (max(1, round(width / factor)), max(1, round(height / factor))), interpolation=cv2.INTER_AREA
    )
    return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)


def vignette(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Light that falls off from a random point, by the square of the distance."""
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) - np.float32(rng.uniform(-1, 1)) for n in image.shape[:2])
    distance = y[:, None] ** 2 + x[None, :] ** 2
    light = 1 - np.float32(rng.uniform(*VIGNETTE_DEPTH)) * distance / distance.max()
    return image * (light if image.ndim == 2 else light[:, :, None])


def dim(image: np.ndarray, rng: Generator) -> np.ndarray:
    """What is left of the contrast where something else was much brighter: a part of the range, anywhere in it."""
    gain = np.float32(rng.uniform(*DIM_GAIN))
    return image * gain + np.float32(rng.uniform(0, 1) * (1 - gain) if image.mean() > DARK else 0)


def debris(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Blurred specks as bright as the image can be; on bright backgrounds as dark."""
    mask = np.zeros(image.shape[:2], np.float32)
    for _ in range(rng.integers(*SPECKS, endpoint=True)):
        centre = [int(rng.integers(n)) for n in mask.shape[::-1]]
        axes = [int(rng.integers(*SPECK_RADIUS, endpoint=True)) for _ in range(2)]
        cv2.ellipse(mask, centre, axes, float(rng.uniform(0, 180)), 0, 360, 1.0, -1)
    mask = gaussian_smooth(mask, rng)
    mask = mask if image.ndim == 2 else mask[:, :, None]
    return image * (1 - mask) + mask * np.float32(image.mean() <= DARK)


def jpeg(image: np.ndarray, rng: Generator) -> np.ndarray:
    """Compressed and decompressed."""
    quality = int(rng.integers(*JPEG_QUALITY, endpoint=True))
    pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    stored = pixels if image.ndim == 2 else pixels[:, :, ::-1]
    _, data = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    return (decoded if image.ndim == 2 else decoded[:, :, ::-1]).astype(np.float32) / 255


INTENSITY = (
    (STAIN, stain),
    (PATCHES, dye_patches),
    (COMPOSITE, composite),  # like the next one before anything makes a bright image dark
    (HUE, hue),
    (VIGNETTE, vignette),
    (DIM, dim),
    (DEBRIS, debris),
    (DOWNSAMPLE, downsample),
    (SHOT_NOISE, shot_noise),
    (NOISE, gaussian_noise),
    (CONTRAST, adjust_contrast),
    (SMOOTH, gaussian_smooth),
    (HISTOGRAM_SHIFT, histogram_shift),
    (INVERT, invert),
    (COLOUR_GAIN, colour_gain),
    (DESATURATE, desaturate),
    (CHANNEL_ORDER, channel_order),
    (JPEG, jpeg),
)


def change_intensity(image: np.ndarray, rng: Generator, changes=INTENSITY) -> np.ndarray:
    """Each change with its probability, in their order; the result is clipped to [0, 1]."""
    for probability, change in changes:
        if rng.random() < probability:
            image = change(image, rng)
    return np.clip(image, 0, 1)
