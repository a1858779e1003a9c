"""From an image at its working size to label rows: windows, network, decoder."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from inference.ahead import ahead
from inference.image.forms import NormalisedForm, NormalisedImage
from inference.image.gaps import gaps
from inference.image.scaling import Sizes, WorkingImage
from inference.kinds import KINDS
from inference.limits import LIMITS, Limits
from inference.network import Segmenting
from inference.outputs.filters import new_numbers
from inference.stopwatch import Stopwatch
from inference.tiles import Tally, Tile, TileMaps, cut_batches, run_tiles, tile_image


def label_rows(
    working: WorkingImage,
    network: Segmenting,
    tally: Tally,
    clock: Stopwatch,
    on_tile: Callable[[int], None] = lambda total: None,
    limits: Limits = LIMITS,
    sensitivity: float = 0.0,
) -> Iterator[np.ndarray]:
    """Bands of label rows of an image, made as they are read; see `inference.segmentation.Segmentation`.

    With a GPU, cutting windows, running the network and decoding go on at the same time, each in a thread of its own.
    """
    tiles = run_network(working, network, tally, clock, on_tile)
    return clock.steps("decode", decode(tiles, network, working.sizes, tally, limits, sensitivity))


def rows_without_gaps(
    rows: Iterator[np.ndarray], image: NormalisedForm, middle: float, tally: Tally, clock: Stopwatch
) -> Iterator[np.ndarray]:
    """As `label_rows`, all rows in one band, of an image that is small enough for it, without the dark gaps. What is in
    empty surroundings is not compared with these.

    Parameters
    ----------
    rows : of the image with them, counted in `tally`
    middle : gray level of the ground, as of `inference.image.gaps.ground`
    """
    labels = collect(rows, image.shape)
    with clock("decode"):
        kept = np.arange(tally.cells + 1) > 0
        content = image.content
        kept[gaps(labels[content.box], content[:, :], middle)] = False
        if content is not image:
            outside = labels.copy()
            outside[content.box] = 0
            kept[gaps(outside, image[:, :], middle)] = False
        labels = new_numbers(kept)[labels]
        tally.probabilities = [tally.all_probabilities[kept[1:]]]
        tally.cells = int(np.count_nonzero(kept))
    yield labels


def run_network(
    working: WorkingImage,
    network: Segmenting,
    tally: Tally,
    clock: Stopwatch,
    on_tile: Callable[[int], None] = lambda total: None,
    tiles: Sequence[Tile] | None = None,
) -> TileMaps:
    """The tiles of an image, or some of them, with their maps, as `inference.tiles.run_tiles` yields them."""
    wanted = tile_image(*working.shape) if tiles is None else tiles
    total = len(wanted)
    batches = cut_batches(working.shape, clock("scale")(working.rows), network.batch, tally, tiles=wanted)
    batches = ahead(batches, 1) if network.overlaps else batches
    maps = run_tiles(batches, clock("network")(network), lambda: on_tile(total))
    return clock.steps("wait", ahead(maps, 2 * network.batch)) if network.overlaps else maps


def decode(
    tiles: TileMaps, network: Segmenting, sizes: Sizes, tally: Tally, limits: Limits = LIMITS, sensitivity: float = 0.0
) -> Iterator[np.ndarray]:
    """Bands of label rows from the maps of an image's tiles, by the decoder for this kind of network."""
    kind = KINDS[network.kind]
    return kind.rows(tiles, kind.Settings(**network.config.decoder).at(sensitivity), sizes, tally, limits)


def collect(rows: Iterator[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """The label image (H, W) int32 of its bands of rows."""
    labels = np.empty(shape, np.int32)
    top = 0
    for band in rows:
        labels[top : top + len(band)] = band
        top += len(band)
    return labels


def segment_at(pixels: np.ndarray, network: Segmenting, scale: float) -> np.ndarray:
    """Labels (H, W) int32 of a normalised image, uint8 (H, W) or (H, W, 3), segmented at `scale` times its size."""
    working = WorkingImage(NormalisedImage(pixels), scale)
    return collect(label_rows(working, network, Tally(), Stopwatch()), pixels.shape[:2])
