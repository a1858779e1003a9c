"""An image's way from pixels to labels: normalise, route, bring the cells to the stream's size, run the network, decode."""

import math
import time
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from inference.images import Picture, normalise, to_three_channels
from inference.network import Network, choose_device
from inference.nms import Candidates, StarDistSettings, find_candidates, paint, suppress
from inference.routing import Route, RouterNetwork, liveliest_corner, mean_saturation
from inference.tiles import WINDOW, Tile, run_tiles, tile_image
from inference.watershed import HoverSettings, decode_hover, resize_labels
from models.checkpoint import CheckpointError
from models.router import CLASSES
from models.stardist import RAYS
from models.unet import DEEPEST_STRIDE, STRIDE

TileMaps = Iterable[tuple[Tile, tuple[np.ndarray, ...]]]

ROUTER_FILE = "router.safetensors"
STREAM_FILE = "class{}.safetensors"
HOVER_STRIDE = 2  # Hover's maps are trained and decoded at half the working size: at a quarter the gaps between touching cells vanish


@dataclass(frozen=True)
class ScaleSettings:
    """How an image is brought to the size at which its stream works best."""

    probe_side: int = 2 * WINDOW - DEEPEST_STRIDE  # working pixels; of a larger image the liveliest part is measured
    tolerance: float = 1.25  # a measured diameter this close to the assumed one is taken as equal
    passes: int = 2  # measurements at most
    fewest_cells: int = 3  # fewer say nothing about the size
    trust: float = 0.7  # in a measurement: 0 keeps the diameter assumed before it, 1 takes the measured one
    bounds: tuple[float, float] = (0.4, 1.5)  # of the result over the router's guess; unrecognised cells measure too large
    largest_share: float = 0.75  # of the image's longer side; no cell is assumed to be larger
    enlargement: float = 4.0  # an image is enlarged to this many times its pixels at most...
    enlarged_pixels: int = 4_000_000  # ...and to this many, for the sake of the time; it is never made smaller for it


@dataclass
class Segmentation:
    """The result for one image.

    labels : (H, W) int32, 0 is background, cells are 1..cells
    stream : class of the network that ran, 0 to 3
    route : what the router said; None if the stream was given
    diameter : median cell diameter that the working size was chosen by, in pixels of the image
    scale : working size over image size, (y, x)
    seconds : time of each stage
    """

    labels: np.ndarray
    cells: int
    stream: int
    route: Route | None
    diameter: float
    scale: tuple[float, float]
    tiles: int
    seconds: dict[str, float] = field(default_factory=dict)


class Segmenter:
    """All five networks of a weights folder; each one is loaded when the first image needs it.

    Parameters
    ----------
    weights : folder with router.safetensors and class0.safetensors to class3.safetensors; CheckpointError if one is missing
    device : "auto", "cpu" or "cuda"
    stream : 0 to 3 to send every image to that network, None to let the router choose
    diameter : typical cell diameter in pixels, None to measure it in each image
    """

    def __init__(self, weights: Path, device: str = "auto", stream: int | None = None, diameter: float | None = None):
        self.diameter = diameter
        self.weights, self.device, self.stream = Path(weights), choose_device(device), stream
        missing = [n for n in (ROUTER_FILE, *map(STREAM_FILE.format, range(CLASSES))) if not (self.weights / n).is_file()]
        if missing:
            raise CheckpointError(f"{self.weights}: {', '.join(missing)} missing; give the folder of all five networks with --weights")
        self.scale_settings = ScaleSettings()
        self._networks: dict[int, Network] = {}
        self._router: RouterNetwork | None = None

    def network(self, stream: int) -> Network:
        """The segmenter of a class."""
        if stream not in self._networks:
            self._networks[stream] = Network(self.weights / STREAM_FILE.format(stream), self.device)
        return self._networks[stream]

    def route(self, image: np.ndarray, saturation: float = 0.0) -> Route:
        """The router's answer for a normalised image, with the mean saturation that it was read with."""
        if self._router is None:
            self._router = RouterNetwork(self.weights / ROUTER_FILE)
        return self._router(image, saturation)

    def segment(self, picture: Picture, on_tile: Callable[[int], None] = lambda total: None) -> Segmentation:
        """Segment one image.

        Parameters
        ----------
        picture : as `inference.images.read_image` gives it
        on_tile : called after each tile with the number of tiles that the whole image has
        """
        clock = Stopwatch()
        with clock("normalise"):
            image = normalise(picture.pixels)
        with clock("route"):
            route = self.route(image, mean_saturation(picture.pixels))
            stream = route.best if self.stream is None else self.stream
        with clock("load"):
            network = self.network(stream)
        with clock("scale"):
            diameter = self.diameter or self.measure_diameter(image, network, route.diameter)
        scale = self.working_scale(image.shape, network, diameter)
        labels, cells, scale, tiles = segment_at(image, network, scale, clock, on_tile)
        return Segmentation(labels, cells, stream, route if self.stream is None else None, diameter, scale, tiles, clock.seconds)

    def working_scale(self, shape: tuple[int, ...], network: Network, diameter: float) -> float:
        """Factor that brings cells of `diameter` pixels to the network's, within what the image's size allows."""
        settings, pixels = self.scale_settings, shape[0] * shape[1]
        limit = max(1.0, min(settings.enlargement, settings.enlarged_pixels / pixels))
        return min(network.config["diameter"] / diameter, math.sqrt(limit))

    def measure_diameter(self, image: np.ndarray, network: Network, guess: float) -> float:
        """Median cell diameter in pixels of the image: the router's guess, drawn towards what the network itself finds.

        The network's cells are measured at the size that the guess asks for. Both err, the network towards the guess, so
        that the truth is expected between them.
        """
        settings = self.scale_settings
        guess = diameter = min(max(guess, 1.0), settings.largest_share * max(image.shape[:2]))
        for _ in range(settings.passes):
            scale = self.working_scale(image.shape, network, diameter)
            side = max(1, round(settings.probe_side / scale))
            top, left = liveliest_corner(image, side)
            labels, cells, _, _ = segment_at(image[top : top + side, left : left + side], network, scale)
            if cells < settings.fewest_cells:
                break
            areas = np.bincount(labels.ravel())[1:]
            measured = 2 * math.sqrt(np.median(areas) / math.pi)
            before, diameter = diameter, diameter * (measured / diameter) ** settings.trust
            diameter = min(max(diameter, settings.bounds[0] * guess), settings.bounds[1] * guess)
            if max(diameter / before, before / diameter) < settings.tolerance:
                break
        return diameter


def at_scale(image: np.ndarray, scale: float) -> np.ndarray:
    """A normalised image at `scale` times its size, rounded to whole pixels: (h, w, 3) uint8."""
    height, width = image.shape[:2]
    shape = tuple(max(1, round(n * scale)) for n in (height, width))
    if shape != (height, width):
        shrink = shape[0] * shape[1] < height * width
        image = cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA if shrink else cv2.INTER_LINEAR)
    return to_three_channels(image)


def segment_at(image: np.ndarray, network: Network, scale: float, clock: "Stopwatch | None" = None,
               on_tile: Callable[[int], None] = lambda total: None) -> tuple[np.ndarray, int, tuple[float, float], int]:
    """Labels of a normalised image, segmented at `scale` times its size.

    Returns
    -------
    labels (H, W) int32, number of cells, the exact scale (y, x) after rounding to whole pixels, number of tiles.
    """
    clock = clock or Stopwatch()
    shape = image.shape[:2]
    with clock("scale"):
        working = at_scale(image, scale)
    total = len(tile_image(*working.shape[:2]))
    tiles = run_tiles(working, clock.timed("network", network), network.batch, lambda: on_tile(total))
    decode, settings = DECODERS[network.kind]
    labels, cells = decode(tiles, settings(**network.config.get(network.kind, {})), working.shape[:2], shape, clock)
    return labels, cells, tuple(w / n for w, n in zip(working.shape, shape)), total


def stardist_labels(tiles: TileMaps, settings: StarDistSettings, working_shape: tuple[int, int], shape: tuple[int, int],
                    clock: "Stopwatch") -> tuple[np.ndarray, int]:
    """Candidates of every tile, one suppression over all of them, polygons painted at the image's own size.

    Parameters
    ----------
    tiles : tiles with their maps, from `run_tiles` on an image of `working_shape`
    shape : height and width of the labels

    Returns
    -------
    labels (H, W) int32, and the number of cells n: labels are 1..n without gaps.
    """
    scale = tuple(w / n for w, n in zip(working_shape, shape))
    parts = []
    for tile, (prob, dist) in tiles:
        with clock("decode"):
            grid = tile.owned_grid()
            parts.append(find_candidates(prob, dist, (grid[0].start, grid[1].start), settings.prob_threshold))
    with clock("decode"):
        survivors = suppress(Candidates.concatenate(parts, RAYS), settings.overlap_threshold)
        return paint(survivors, shape, scale)


def hover_labels(tiles: TileMaps, settings: HoverSettings, working_shape: tuple[int, int], shape: tuple[int, int],
                 clock: "Stopwatch") -> tuple[np.ndarray, int]:
    """The tiles' maps put together on the 1/4 grid, decoded at half the working size, labels brought to the image's size.

    Parameters and returns as of `stardist_labels`.
    """
    scale = tuple(w / n for w, n in zip(working_shape, shape))
    grid = tuple(-(-n // STRIDE) for n in working_shape)
    maps = np.zeros((3, *grid), np.float32)
    for tile, (cell, hv) in tiles:
        rows, columns = tile.owned_grid()
        maps[0, rows, columns], maps[1:, rows, columns] = cell[0], hv
    with clock("decode"):
        half = tuple(STRIDE // HOVER_STRIDE * n for n in grid)
        logit, vertical, horizontal = (cv2.resize(m, half[::-1], interpolation=cv2.INTER_LINEAR) for m in maps)
        labels, cells = decode_hover(1 / (1 + np.exp(-logit)), np.stack((vertical, horizontal)), settings)
        labels = resize_labels(labels, shape, tuple(s / HOVER_STRIDE for s in scale))
        return _renumber(labels, cells)


# Kind of network -> its decoder and the decoder's settings, which a checkpoint's configuration may change.
DECODERS = {"stardist": (stardist_labels, StarDistSettings), "hover": (hover_labels, HoverSettings)}


def _renumber(labels: np.ndarray, cells: int) -> tuple[np.ndarray, int]:
    """Close the gaps left by cells that vanished (beyond the image's border, or thinner than its pixels)."""
    present = np.bincount(labels.ravel(), minlength=cells + 1) > 0
    present[0] = False
    table = np.cumsum(present, dtype=np.int32) * present
    return table.astype(np.int32)[labels], int(present.sum())


class Stopwatch:
    """Seconds spent in each named stage."""

    def __init__(self):
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str):
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start

    def timed(self, stage: str, function: Callable) -> Callable:
        """`function`, with its time counted to a stage."""
        def wrapped(*args):
            with self(stage):
                return function(*args)
        return wrapped
