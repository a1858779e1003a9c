"""One stream at work: from an image at its working size to label rows, through windows, network and decoder."""

from collections.abc import Callable, Iterator

import numpy as np

from inference.ahead import ahead
from inference.hover_stream import hover_rows
from inference.network import Network
from inference.nms import StarDistSettings
from inference.normalisation import NormalisedImage
from inference.scaling import WorkingImage
from inference.stardist_stream import stardist_rows
from inference.stopwatch import Stopwatch
from inference.tiles import Tally, TileMaps, cut_batches, run_tiles, tile_image
from inference.watershed import HoverSettings

# Kind of network -> its decoder and the decoder's settings, which a checkpoint's configuration may change.
DECODERS = {"stardist": (stardist_rows, StarDistSettings), "hover": (hover_rows, HoverSettings)}


def label_rows(working: WorkingImage, network: Network, tally: Tally, clock: Stopwatch,
               on_tile: Callable[[int], None] = lambda total: None) -> Iterator[np.ndarray]:
    """Bands of label rows of an image, made as they are read; see `inference.segmenter.Segmentation`.

    With a GPU, cutting windows, running the network and decoding go on at the same time, each in a thread of its own.
    """
    total = len(tile_image(*working.shape))
    batches = cut_batches(working.shape, clock.timed("scale", working.rows), network.batch, tally)
    batches = ahead(batches, 1) if network.overlaps else batches
    tiles = run_tiles(batches, clock.timed("network", network), lambda: on_tile(total))
    tiles = clock.steps("wait", ahead(tiles, 2 * network.batch)) if network.overlaps else tiles
    return clock.steps("decode", decode(tiles, network, working, tally))


def decode(tiles: TileMaps, network: Network, working: WorkingImage, tally: Tally) -> Iterator[np.ndarray]:
    """Bands of label rows from the maps of an image's tiles, by the decoder for this kind of network."""
    rows, settings = DECODERS[network.kind]
    return rows(tiles, settings(**network.config.get(network.kind, {})), working.shape, working.image.shape, tally)


def collect(rows: Iterator[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """The label image (H, W) int32 of its bands of rows."""
    labels = np.empty(shape, np.int32)
    top = 0
    for band in rows:
        labels[top : top + len(band)] = band
        top += len(band)
    return labels


def segment_at(image: NormalisedImage | np.ndarray, network: Network, scale: float) -> np.ndarray:
    """Labels (H, W) int32 of a normalised image, segmented at `scale` times its size."""
    image = image if isinstance(image, NormalisedImage) else NormalisedImage.of(image)
    return collect(label_rows(WorkingImage(image, scale), network, Tally(), Stopwatch()), image.shape)
