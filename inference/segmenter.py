"""An image's way from pixels to labels: normalise, route, bring the cells to the stream's size, run the network, decode."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from inference.reading import Picture
from inference.measuring import measure_diameter
from inference.network import Network, choose_device
from inference.normalisation import NormalisedImage
from inference.routing import Route, RouterNetwork, ruled_out
from inference.scaling import WorkingImage, working_scale
from inference.stopwatch import Stopwatch
from inference.stream import collect, label_rows
from inference.tiles import Tally
from models.checkpoint import CheckpointError
from models.router import CLASSES

ROUTER_FILE = "router.safetensors"
STREAM_FILE = "class{}.safetensors"


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
        picture : as `inference.reading.open_image` gives it
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
        working = WorkingImage(image, working_scale(image.shape, network.config["diameter"], diameter))
        tally = Tally()
        rows = label_rows(working, network, tally, clock, on_tile)
        return Segmentation(image, stream, route if self.stream is None else None, diameter, working.scale, rows, tally, clock.seconds)

    def measure_diameter(self, image: NormalisedImage, network: Network, guess: float) -> float:
        """Typical cell diameter in pixels of the image, from the router's guess."""
        return measure_diameter(image, network, guess)
