"""What is known of an image's segmentation before, while and after its labels are made."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from inference.image.scaling import Sizes
from inference.measuring.diameter import size_unsure
from inference.pipeline import collect
from inference.routing import Route
from inference.tiles import Tally
from models.classes import ImageClass

if TYPE_CHECKING:
    from inference.outputs.label_rows import LabelRows


@dataclass(frozen=True)
class Plan:
    """How an image is segmented: all that is known before its first label.

    image_class : whose network runs
    route : what the router said; None if the class was given
    diameter : typical cell diameter that the working size was chosen by, in pixels of the image
    sizes : of the image and of the working image
    second : typical diameter of further, much smaller cells, which are looked for beside the others; None without any
    agreement : as of `inference.measuring.diameter.Measurement`
    brown : False if a brown stain was taken away
    glare : False if a few bright places were left out of the contrast
    ground : gray level of a dark background, in which gaps between cells are looked for and left out; None elsewhere
    embedded : whether the image is a picture in empty surroundings, which is labelled as if it were alone
    own : whether the class's network that runs is the one fine-tuned on images of one's own, since the image is like
        them
    """

    image_class: ImageClass
    route: Route | None
    diameter: float
    sizes: Sizes
    second: float | None = None
    agreement: float | None = None
    brown: bool = True
    glare: bool = True
    ground: float | None = None
    embedded: bool = False
    own: bool = False

    @property
    def several_passes(self) -> bool:
        """Whether the image is segmented more than once."""
        return self.second is not None or self.embedded

    @property
    def at_once(self) -> bool:
        """Whether the labels are made all at once, not band by band: the image is small enough then."""
        return self.several_passes or self.ground is not None

    @property
    def unsure_of_size(self) -> bool:
        """Whether the cells found depend much on the size that was assumed for them."""
        return size_unsure(self.agreement)

    @property
    def doubts(self) -> tuple[str, ...]:
        """What the program is unsure of, so that somebody had better look at the labels: "class", "size"."""
        unsure = {"class": self.route is not None and self.route.uncertain, "size": self.unsure_of_size}
        return tuple(name for name, doubted in unsure.items() if doubted)


@dataclass(frozen=True)
class Summary:
    """What is known after the last label row of an image; the numbers are those of `inference.tiles.Tally`.

    probabilities : of the cells, (cells,) float32: of StarDist's centre points, or the mean over Hover's cell pixels
    device : on which the network ran, at the end: "cpu" where the GPU's memory did not suffice
    seconds : time of each stage
    """

    tiles: int
    empty_tiles: int
    cells: int
    seam_cells: int
    cut_cells: int
    probabilities: np.ndarray
    device: str
    seconds: Mapping[str, float]


def summarise(tally: Tally, device: str, seconds: Mapping[str, float]) -> Summary:
    """What is known once all is counted."""
    counts = vars(tally) | {"probabilities": tally.all_probabilities}
    return Summary(**counts, device=device, seconds=seconds)


class Segmentation:
    """An image's labels, made as they are read.

    plan : how they are made
    rows : bands of label rows from top to bottom, int32 of shape (rows, W): 0 is background, cells are 1, 2, 3, ...; to
        be read once
    stored : the labels, if they are kept already; there are no rows then
    """

    stored: "LabelRows | None" = None

    def __init__(self, plan: Plan, rows: Iterator[np.ndarray], summarise: Callable[[], Summary]):
        self.plan = plan
        self._summary: Summary | None = None
        self.rows = self._to_the_end(rows, summarise)

    @classmethod
    def of_stored(cls, plan: Plan, stored: "LabelRows", summary: Summary) -> "Segmentation":
        """Of labels that are made and kept already."""
        segmentation = cls(plan, iter(()), lambda: summary)
        segmentation.stored = stored
        return segmentation

    def _to_the_end(self, rows: Iterator[np.ndarray], summarise: Callable[[], Summary]) -> Iterator[np.ndarray]:
        yield from rows
        self._summary = summarise()

    @cached_property
    def labels(self) -> np.ndarray:
        """All rows at once: (H, W) int32."""
        return collect(self.rows, self.plan.sizes.image)

    @property
    def summary(self) -> Summary:
        """What there is to say when the last row has been read; before that, RuntimeError."""
        if self._summary is None:
            raise RuntimeError("an image has no summary before all of its label rows have been read")
        return self._summary
