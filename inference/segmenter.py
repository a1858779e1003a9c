"""An image's way from pixels to labels: normalise, route, bring the cells to the stream's size, run the network, decode."""

import math
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from inference.ahead import ahead
from inference.hover_stream import hover_rows
from inference.images import Picture
from inference.network import Network, choose_device
from inference.nms import StarDistSettings
from inference.normalisation import NormalisedImage, square
from inference.routing import Route, RouterNetwork, liveliest_corner, ruled_out
from inference.scaling import ScaleSettings, WorkingImage, typical_diameter
from inference.stardist_stream import stardist_rows
from inference.tiles import Tally, cut_batches, run_tiles, tile_image
from inference.watershed import HoverSettings
from models.checkpoint import CheckpointError
from models.router import CLASSES

ROUTER_FILE = "router.safetensors"
STREAM_FILE = "class{}.safetensors"
# Kind of network -> its decoder and the decoder's settings, which a checkpoint's configuration may change.
DECODERS = {"stardist": (stardist_rows, StarDistSettings), "hover": (hover_rows, HoverSettings)}


@dataclass
class Segmentation:
    """The segmentation of one image: what is known before it begins, and then its labels, row by row.

    image : the normalised image
    stream : class of the network that runs, 0 to 3
    route : what the router said; None if the stream was given
    diameter : typical cell diameter that the working size was chosen by, in pixels of the image
    scale : working size over image size, (y, x)
    rows : bands of label rows from top to bottom, int32 of shape (rows, W): 0 is background, cells are 1, 2, 3, ...; to be read once
    tally : numbers of tiles and cells; complete after the last row
    seconds : time of each stage; complete after the last row
    """

    image: NormalisedImage
    stream: int
    route: Route | None
    diameter: float
    scale: tuple[float, float]
    rows: Iterator[np.ndarray]
    tally: Tally
    seconds: dict[str, float] = field(default_factory=dict)

    @cached_property
    def labels(self) -> np.ndarray:
        """All rows at once: (H, W) int32."""
        return collect(self.rows, self.image.shape)

    @property
    def cells(self) -> int:
        """Number of cells in the rows read so far."""
        return self.tally.cells


def collect(rows: Iterator[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """The label image (H, W) int32 of its bands of rows."""
    labels = np.empty(shape, np.int32)
    top = 0
    for band in rows:
        labels[top : top + len(band)] = band
        top += len(band)
    return labels


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

    def route(self, image: NormalisedImage | np.ndarray, excluded: Sequence[int] = ()) -> Route:
        """The router's answer for a normalised image, which is of none of the `excluded` classes."""
        if self._router is None:
            self._router = RouterNetwork(self.weights / ROUTER_FILE)
        return self._router(image, excluded)

    def segment(self, picture: Picture, on_tile: Callable[[int], None] = lambda total: None) -> Segmentation:
        """Begin to segment one image: everything but the labels, which the answer makes as they are read.

        Parameters
        ----------
        picture : as `inference.images.open_image` gives it
        on_tile : called after each tile with the number of tiles that the whole image has
        """
        clock = Stopwatch()
        with clock("normalise"):
            image = NormalisedImage(picture.pixels)
        with clock("route"):
            route = self.route(image, ruled_out(picture.pixels))
            stream = route.best if self.stream is None else self.stream
        with clock("load"):
            network = self.network(stream)
        with clock("scale"):
            diameter = self.diameter or self.measure_diameter(image, network, route.diameter)
        working = WorkingImage(image, self.working_scale(image.shape, network, diameter))
        tally = Tally()
        rows = label_rows(working, network, tally, clock, on_tile)
        return Segmentation(image, stream, route if self.stream is None else None, diameter, working.scale, rows, tally, clock.seconds)

    def working_scale(self, shape: tuple[int, ...], network: Network, diameter: float) -> float:
        """Factor that brings cells of `diameter` pixels to the network's, within what the image's size allows."""
        settings, pixels = self.scale_settings, shape[0] * shape[1]
        limit = max(1.0, min(settings.enlargement, settings.enlarged_pixels / pixels))
        return min(network.config["diameter"] / diameter, math.sqrt(limit))

    def measure_diameter(self, image: NormalisedImage, network: Network, guess: float) -> float:
        """Typical cell diameter in pixels of the image: the router's guess, corrected by what the network itself finds.

        A network measures cells well that are up to twice as large or small as those it was trained on. So it segments the
        liveliest part of the image at the size that the guess asks for, then at the size that this measurement asks for.
        """
        settings = self.scale_settings
        diameter = min(max(guess, 1.0), settings.largest_share * max(image.shape))
        for _ in range(settings.measurements):
            scale = self.working_scale(image.shape, network, diameter)
            side = max(1, round(settings.probe_side / scale))
            probe, reduction = square(image, liveliest_corner(image, side), side, 1 / scale)
            measured = typical_diameter(segment_at(probe, network, scale * reduction)) * reduction
            if math.isnan(measured):  # no cells
                break
            change = measured / settings.typical_over_median / diameter
            diameter *= min(max(change, 1 / settings.furthest), settings.furthest)
        return diameter


def segment_at(image: NormalisedImage | np.ndarray, network: Network, scale: float) -> np.ndarray:
    """Labels (H, W) int32 of a normalised image, segmented at `scale` times its size."""
    image = image if isinstance(image, NormalisedImage) else NormalisedImage.of(image)
    return collect(label_rows(WorkingImage(image, scale), network, Tally(), Stopwatch()), image.shape)


def label_rows(working: WorkingImage, network: Network, tally: Tally, clock: "Stopwatch",
               on_tile: Callable[[int], None] = lambda total: None) -> Iterator[np.ndarray]:
    """Bands of label rows of an image, made as they are read; see `Segmentation.rows`.

    With a GPU, cutting windows, running the network and decoding go on at the same time, each in a thread of its own.
    """
    total = len(tile_image(*working.shape))
    batches = cut_batches(working.shape, clock.timed("scale", working.rows), network.batch, tally)
    batches = ahead(batches, 1) if network.overlaps else batches
    tiles = run_tiles(batches, clock.timed("network", network), lambda: on_tile(total))
    tiles = clock.steps("wait", ahead(tiles, 2 * network.batch)) if network.overlaps else tiles
    decode, settings = DECODERS[network.kind]
    settings = settings(**network.config.get(network.kind, {}))
    return clock.steps("decode", decode(tiles, settings, working.shape, working.image.shape, tally))


class Stopwatch:
    """Seconds spent in each named stage. A stage that another one calls is not counted twice; what several threads do at the same
    time adds up to more than the time that passes. A stage belongs to one thread."""

    def __init__(self):
        self.seconds: dict[str, float] = {}
        self._own = threading.local()  # .inner: seconds of the stages within the running one

    @contextmanager
    def __call__(self, stage: str):
        start, outer, self._own.inner = time.perf_counter(), getattr(self._own, "inner", 0.0), 0.0
        try:
            yield
        finally:
            passed = time.perf_counter() - start
            self.seconds[stage] = self.seconds.get(stage, 0.0) + passed - self._own.inner
            self._own.inner = outer + passed

    def timed(self, stage: str, function: Callable) -> Callable:
        """`function`, with its time counted to a stage."""
        def wrapped(*args):
            with self(stage):
                return function(*args)
        return wrapped

    def steps(self, stage: str, items: Iterator) -> Iterator:
        """`items`, with the time that it takes to make them counted to a stage."""
        while True:
            with self(stage):
                try:
                    item = next(items)
                except StopIteration:
                    return
            yield item
