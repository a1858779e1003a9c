"""An image that is too large for one worker, on all of them: which task does what, and what waits for what."""

import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from inference.cluster import large
from inference.cluster.hover_parts import HoverPlan
from inference.cluster.job import Job
from inference.cluster.joining import join
from inference.cluster.large import Looked
from inference.cluster.stardist_parts import FEWEST_ROWS, TooFew, image_rows, seams
from inference.cluster.tasks import Done, Large
from inference.outputs.label_tiff import rows_of_strip, stored_type
from inference.running.messages import too_slow
from inference.stardist import LONGEST_RAY
from inference.tiles import STEP, spans

if TYPE_CHECKING:
    from distributed import Client, Future

    Placed = tuple[list[Future], list[tuple[int, int]]]

MOST_TILES = 64  # in a piece, unless a row of tiles has more
PIECES_PER_SPLIT = 4  # at least so many pieces for an image of the size from which on images are split

log = logging.getLogger(__name__)


class Split:
    """One image being done. Called, it gives what became of the image."""

    def __init__(self, client: "Client", job: Job, image: Large):
        self.client, self.job, self.image = client, job, image
        self.name = image.file.found.path.name + (f" s{image.number + 1}" if image.number else "")
        self.counted: list[Future] = []
        self.began = time.perf_counter()
        self.stopped = False
        self._asked: WeakSet[Future] = WeakSet()  # the workers keep results only as long as somebody else asks for them
        self._asking = threading.Lock()

    def __call__(self) -> Done:
        looked = self.wait([self.submit(large.look, "look", self.job.number, self.image)], "look")[0]
        if isinstance(looked, Done):
            return self.timed(looked)
        rows = spans(looked.plan.sizes.working[0])
        columns = len(spans(looked.plan.sizes.working[1]))
        most = min(MOST_TILES, self.job.request.split_pixels / PIECES_PER_SPLIT / STEP**2)
        step = max(1, math.ceil(most / columns))
        cuts = [range(i, min(i + step, len(rows))) for i in range(0, len(rows), step)]
        pieces = [
            self.submit(large.run_piece, f"tiles {r.start} to {r.stop - 1}", self.job.number, self.image, looked, r)
            for r in cuts
        ]
        found = [self.part_of(piece, 0) for piece in pieces]
        self.counted += [self.part_of(piece, 1) for piece in pieces]
        del pieces
        parts, places = (self.stardist if looked.kind == "stardist" else self.hover)(looked, cuts, found)
        borders = self.wait([self.part_of(part, 1) for part in parts], "cells")
        numbers = join(borders)
        cells = sum(border.cells - len(own.names) for border, own in zip(borders, numbers))
        shape, dtype = looked.plan.sizes.image, stored_type(cells)
        height = rows_of_strip(shape, dtype)
        whole = [self.part_of(part, 0) for part in parts]
        parts.clear()
        encoded = []
        for i, own_rows in enumerate(strips_of(places, height)):
            reach = range(i, max(i + 1, sum(top < own_rows[1] for top, _ in places)))
            own = [numbers[k] for k in reach], [places[k] for k in reach], *(whole[k] for k in reach)
            encoded.append(self.submit(large.encode_rows, f"strips {i}", own_rows, height, dtype.str, *own))
        whole.clear()
        written = self.submit(
            large.write, "write", self.job.number, self.image, looked, self.counted, height, dtype.str, *encoded
        )
        return self.timed(self.wait([written], "write")[0])

    def stardist(self, looked: Looked, cuts: Sequence[range], found: "list[Future]") -> "Placed":
        """The parts of an image's labels, from the candidates of its pieces, and their rows of the image."""
        sizes, rows = looked.plan.sizes, spans(looked.plan.sizes.working[0])
        groups = bands_of([rows[cut.stop - 1].high - rows[cut.start].low for cut in cuts])
        bands = [(rows[cuts[g.start].start].low, rows[cuts[g.stop - 1].stop - 1].high) for g in groups]
        decided = [
            self.submit(large.decide_pieces, f"candidates {i}", looked, band, *(found[p] for p in group))
            for i, (group, band) in enumerate(zip(groups, bands))
        ]
        found.clear()  # what nobody asks for any more, the workers forget once it is used
        survivors = [self.part_of(band, 1) for band in decided]
        self.counted += [self.part_of(band, 3) for band in decided]
        borders = seams(self.wait([self.part_of(band, 2) for band in decided], "network"))
        whole = [self.part_of(band, 0) for band in decided]
        decided.clear()
        between = [
            self.submit(large.decide_between, f"border {first} to {last}", looked, *whole[first : last + 1])
            for first, last in borders
        ]
        whole.clear()
        crossing = [self.part_of(seam, 0) for seam in between]
        self.counted += [self.part_of(seam, 1) for seam in between]

        def paint(number: int, reach: int) -> "Future":
            first, last = max(0, number - reach), min(len(bands) - 1, number + reach)
            known = (
                bands[first][0] - LONGEST_RAY if first else -math.inf,
                bands[last][1] + LONGEST_RAY if last < len(bands) - 1 else math.inf,
            )
            cells = survivors[first : last + 1]
            cells += [seam for seam, (a, b) in zip(crossing, borders) if b >= first and a <= last]
            own = image_rows(bands, sizes)[number]
            return self.submit(large.paint, f"labels {number} with {reach}", looked, own, known, *cells)

        parts = []
        for number, part in enumerate([paint(number, 1) for number in range(len(bands))]):
            reach = 1
            while isinstance(self.failure(part), TooFew):
                reach *= 2
                part = paint(number, reach)
            parts.append(part)
        self.counted += [self.part_of(part, 2) for part in parts]
        return parts, image_rows(bands, sizes)

    def hover(self, looked: Looked, cuts: Sequence[range], found: "list[Future]") -> "Placed":
        """The parts of an image's labels, from the maps of its pieces, and their rows of the image."""
        limits = self.job.request.limits
        plan = HoverPlan(looked.plan.sizes, limits)
        bands = []
        for number in range(len(plan.bands)):
            wanted = plan.tile_rows(number)
            pieces = [f for f, cut in zip(found, cuts) if cut.start < wanted.stop and cut.stop > wanted.start]
            bands.append(self.submit(large.decode_pieces, f"watershed {number}", looked, limits, number, *pieces))
        found.clear()
        decoded = [self.part_of(band, 0) for band in bands]
        self.counted += [self.part_of(band, 1) for band in bands]
        parts = []
        for number in range(len(bands)):
            near = [decoded[i] for i in plan.bands_of(number)]
            parts.append(self.submit(large.rows_of_bands, f"labels {number}", looked, limits, number, *near))
        self.counted += [self.part_of(part, 2) for part in parts]
        return parts, [plan.image_rows(number) for number in range(len(bands))]

    def submit(self, task: Callable, what: str, *args: Any) -> "Future":
        """A task, under a name that a person understands."""
        return self._ask(task, *args, key=(task.__name__, f"{self.name} {what}", self.job.number))

    def part_of(self, future: "Future", place: int) -> "Future":
        """One of the results of a task."""
        assert isinstance(future.key, tuple), "as `submit` names it"
        key = ("take", f"{future.key[1]} {future.key[0]} {place}", self.job.number)
        return self._ask(large.take, future, place, key=key)

    def _ask(self, task: Callable, *args: Any, key: tuple[str, ...]) -> "Future":
        with self._asking:
            if self.stopped:
                raise CancelledError
            future = self.client.submit(task, *args, key=key, pure=False)
            self._asked.add(future)
        return future

    def stop(self) -> None:
        """Cancel all tasks, from another thread; the image then ends with an error."""
        with self._asking:
            self.stopped = True
            futures = list(self._asked)
        self.client.cancel(futures, force=True)

    def failure(self, future: "Future") -> BaseException | None:
        """What a task has raised, once it has ended."""
        self.await_end([future], "cells")
        return future.exception()

    def wait(self, futures: "Sequence[Future]", stage: str) -> list:
        """The results of tasks."""
        self.await_end(futures, stage)
        return self.client.gather(list(futures))

    def await_end(self, futures: "Sequence[Future]", stage: str) -> None:
        """Return once tasks have ended; the log tells now and then how far they are."""
        from distributed import wait

        while True:
            try:
                wait(futures, timeout=min(self.job.request.seconds_between_lines, self.left() or math.inf))
                return
            except TimeoutError:  # ours: what a task has raised, `wait` does not raise
                self.left()
                ended = sum(future.done() for future in futures)
                log.info("%s: %s, %d of %d parts", self.image.file.found.path.name, stage, ended, len(futures))

    def left(self) -> float | None:
        """Seconds that are left of --timeout, or None; raises ImageError if there are none."""
        limit = self.job.request.timeout
        if limit is None:
            return None
        left = limit - (time.perf_counter() - self.began)
        if left <= 0:
            raise too_slow(self.image.file.found.path.name, limit)
        return left

    def timed(self, done: Done) -> Done:
        """The same with the seconds that the whole image took."""
        seconds = round(time.perf_counter() - self.began, 2)
        return replace(done, rows=[(place, replace(row, seconds=seconds)) for place, row in done.rows])


def strips_of(places: Sequence[tuple[int, int]], height: int) -> list[tuple[int, int]]:
    """The rows [top, bottom) of the strips that begin in each part.

    Parameters
    ----------
    places : the parts' rows of the image, one after the other
    height : rows of a strip, but for the last one
    """
    last = places[-1][1]
    edges = [min(last, math.ceil(top / height) * height) for top, _ in places] + [last]
    return list(zip(edges, edges[1:]))


def bands_of(heights: Sequence[int]) -> list[range]:
    """Pieces of these heights put together to bands of at least FEWEST_ROWS rows, one band if there are no more."""
    bands, start, height = [], 0, 0
    for i, own in enumerate(heights):
        height += own
        if height >= FEWEST_ROWS:
            bands.append(range(start, i + 1))
            start, height = i + 1, 0
    if start < len(heights):  # too few for a band of their own
        before = bands.pop().start if bands else 0
        bands.append(range(before, len(heights)))
    return bands
