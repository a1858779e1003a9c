"""The tasks of an image that is too large for one worker: a look at the whole, its network piece by piece, decoding
band by band, and its files.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np

from inference.cluster.asking import Asked, Asking
from inference.cluster.hover_parts import HoverPlan
from inference.cluster.job import Job, at_work, open_part, reader, segmenter_of
from inference.cluster.joining import Border, Numbers, Part, encode
from inference.cluster.stardist_parts import StarBand, decide_band, decide_seam, find_in_tiles, paint_band
from inference.cluster.tasks import Done, Entries, Large, make_run
from inference.decoding.polygons import Candidates
from inference.hover import Band
from inference.image.forms import LargeImage
from inference.image.normalisation import Normalisation
from inference.image.scaling import WorkingImage, labelling_scale
from inference.kinds import KINDS
from inference.outputs.label_rows import LabelRows, Strips
from inference.pipeline import run_network
from inference.reading import Picture
from inference.running.messages import collected_warnings
from inference.running.opened import Opened, open_all
from inference.running.report import ReportRow
from inference.running.run import by_image
from inference.segmentation import Plan, Segmentation, summarise
from inference.stardist import count_survivors
from inference.stopwatch import Stopwatch
from inference.tiles import Tally, spans, tile_image
from models.stardist import RAYS


@dataclass(frozen=True)
class Looked:
    """What is known of an image before its first tile.

    normalisation : of its pixels
    kind, settings : of the network and its decoder
    scale : working size over image size
    seconds : of each stage
    """

    plan: Plan
    normalisation: Normalisation
    kind: str
    settings: Any
    scale: float
    seconds: dict[str, float]


@dataclass(frozen=True)
class Counted:
    """What a task adds to the summary of an image."""

    tally: Tally = field(default_factory=Tally)
    seconds: dict[str, float] = field(default_factory=dict)
    device: str = ""


@dataclass(frozen=True)
class _Given:
    """In the place of a segmenter: labels that are there already."""

    segmentation: Segmentation
    job: Job

    def segment(self, picture: Picture, **options) -> Segmentation:
        return self.segmentation

    def digest(self, class_: int, own: bool = False) -> str:
        return segmenter_of(self.job).digest(class_, own)


def look(number: str, large: Large) -> Looked | Done:
    """Everything about an image but its labels; or what became of it, if there is nothing more to be done."""
    with at_work(number) as (job, said):
        page = Entries(large.file, large.number)
        run = make_run(job, [large.file], Asking(), page)
        first, others = _planes(job, large)
        row: ReportRow
        with collected_warnings() as warnings:
            try:
                row = run.image(first, others, warnings, lambda total: None)
            except Asked as asked:
                looked = _plan(job, asked)
                said.clear()  # it is said again when the labels are written
                if not looked.plan.at_once:
                    return looked
                # That is so only for images that are not too large for one worker.
                whole = make_run(job, [large.file], segmenter_of(job), page)
                row = whole.attempt(*_planes(job, large), time.perf_counter(), lambda total: None)
                warnings[:] = [row.warnings] if row.warnings else []
            except Exception as error:
                row = run.failed(first, error)
        return Done([(large.place, replace(row, warnings="; ".join(warnings) or None))], page.entries, tuple(said))


def _planes(job: Job, large: Large) -> tuple[Opened, Iterator[Opened]]:
    """Those of the image, the first one by itself."""
    planes = open_all([large.file.found], job.request.reading, reader(job))
    return next(islice(by_image(planes), large.number, None))


def _plan(job: Job, asked: Asked) -> Looked:
    clock, options = Stopwatch(), asked.options
    segmenter, picture = segmenter_of(job), asked.picture
    known = options["class_"], options["diameter"], options["ends"]
    image, network, plan = segmenter.plan(picture, *known, clock, options["like"])
    assert image.normalisation is not None, "it was made of pixels"
    settings = KINDS[network.kind].Settings(**network.config.decoder).at(options["sensitivity"])
    scale = labelling_scale(network.config.diameter, plan.diameter)
    return Looked(plan, image.normalisation, network.kind, settings, scale, dict(clock.seconds))


def run_piece(number: str, large: Large, looked: Looked, rows: range) -> tuple[Any, Counted]:
    """The network over some rows of tiles: StarDist's candidates, or Hover's maps by tile."""
    with at_work(number) as (job, _):
        picture = open_part(job, large.file.found.path, large.number)
        segmenter, clock, tally = segmenter_of(job), Stopwatch(), Tally()
        network = segmenter.network(looked.plan.image_class.number, looked.plan.own)
        working = WorkingImage(LargeImage(picture.pixels, looked.normalisation), looked.scale)
        lows = {spans(working.shape[0])[i].low for i in rows}
        tiles = [tile for tile in tile_image(*working.shape) if tile.y.low in lows]
        maps = run_network(working, segmenter.labelling(network), tally, clock, tiles=tiles)
        found: Any
        if looked.kind == "stardist":
            found = find_in_tiles(maps, looked.settings)
        else:  # copies: a part of a batch keeps the whole of it in memory
            found = [(tile, own if own is None else tuple(m.copy() for m in own)) for tile, own in maps]
        return found, Counted(tally, dict(clock.seconds), str(network.device))


def take(items: Sequence, place: int):
    """One of a task's results, for a task that needs no other."""
    return items[place]


# StarDist


def decide_pieces(
    looked: Looked, rows: tuple[int, int], *pieces: Candidates
) -> tuple[StarBand, Candidates, bool, Counted]:
    """The band of some pieces; its survivors; whether it is tied; what is counted."""
    clock = Stopwatch()
    with clock("decode"):
        pool = Candidates.concatenate(list(pieces), RAYS)
        band = decide_band(pool, looked.settings, rows, looked.plan.sizes.working[0])
    return band, band.survivors, band.tied, _counted(looked, band.survivors, clock)


def decide_between(looked: Looked, *bands: StarBand) -> tuple[Candidates, Counted]:
    """The cells on the borders between some bands."""
    clock = Stopwatch()
    with clock("decode"):
        cells = decide_seam(bands, looked.settings)
    return cells, _counted(looked, cells, clock)


def _counted(looked: Looked, cells: Candidates, clock: Stopwatch) -> Counted:
    tally = Tally()
    count_survivors(cells, cells.boxes(), looked.plan.sizes, tally)
    return Counted(tally, dict(clock.seconds))


def paint(
    looked: Looked, rows: tuple[int, int], known: tuple[float, float], *cells: Candidates
) -> tuple[Part, Border, Counted]:
    """Rows of the image, and what the others need to know of them."""
    clock = Stopwatch()
    with clock("decode"):
        part = paint_band(Candidates.concatenate(list(cells), RAYS), rows, looked.plan.sizes, known)
    return part, part.border, Counted(seconds=dict(clock.seconds))


# Hover


def decode_pieces(looked: Looked, limits, number: int, *pieces: list) -> tuple[Band, Counted]:
    """A band of Hover's maps."""
    clock, plan = Stopwatch(), HoverPlan(looked.plan.sizes, limits)
    with clock("decode"):
        wanted = {spans(looked.plan.sizes.working[0])[i].low for i in plan.tile_rows(number)}
        tiles = [entry for piece in pieces for entry in piece if entry[0].y.low in wanted]
        band = plan.decode(number, tiles, looked.settings)
    return band, Counted(Tally(cut_cells=band.cut, seam_cells=band.across), dict(clock.seconds))


def rows_of_bands(looked: Looked, limits, number: int, *bands: Band) -> tuple[Part, Border, Counted]:
    """Rows of the image, and what the others need to know of them."""
    clock = Stopwatch()
    with clock("decode"):
        part = HoverPlan(looked.plan.sizes, limits).part(number, bands)
    return part, part.border, Counted(seconds=dict(clock.seconds))


# Both


def encode_rows(
    rows: tuple[int, int],
    height: int,
    dtype: str,
    numbers: Sequence[Numbers],
    places: Sequence[tuple[int, int]],
    *parts,
) -> tuple[list[bytes], np.ndarray]:
    """The strips that begin in a part, as `inference.cluster.joining.encode` makes them, and the probabilities of the
    part's cells; it is the first one of `parts`, which `numbers` and `places` belong to.
    """
    strips = encode(rows, height, np.dtype(dtype), list(zip(parts, numbers, places))) if rows[1] > rows[0] else []
    return strips, parts[0].new(numbers[0])


def write(
    number: str, large: Large, looked: Looked, counted: Sequence[Counted], height: int, dtype: str, *parts
) -> Done:
    """The image's files, of the strips from top to bottom."""
    with at_work(number) as (job, said):
        tally, seconds = Tally(), dict(looked.seconds)
        for one in counted:
            tally.add(one.tally)
            for stage, spent in one.seconds.items():
                seconds[stage] = seconds.get(stage, 0.0) + spent
        tally.probabilities = [probabilities for _, probabilities in parts]
        tally.cells = sum(map(len, tally.probabilities))
        device = ", ".join(sorted({one.device for one in counted if one.device}))
        page = Entries(large.file, large.number)
        first, others = _planes(job, large)
        strips = Strips(np.dtype(dtype), height, [strip for own, _ in parts for strip in own])
        labels = LabelRows.of_strips(strips, looked.plan.sizes.image, tally.cells)
        segmentation = Segmentation.of_stored(looked.plan, labels, summarise(tally, device, seconds))
        run = make_run(job, [large.file], _Given(segmentation, job), page)
        row = run.attempt(first, others, time.perf_counter(), lambda total: None)
        return Done([(large.place, row)], page.entries, tuple(said))
