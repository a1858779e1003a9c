"""An image's way from pixels to labels: normalise, route, measure the cells, bring them to the network's size, run it,
decode.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from inference.image.content import Cutout
from inference.image.forms import NormalisedForm, normalised_by, normalised_image
from inference.image.gaps import ground
from inference.image.glare import share_of_the_dim
from inference.image.normalisation import Ends
from inference.image.scaling import Sizes, WorkingImage, labelling_scale
from inference.image.stains import clearer, hides_nuclei
from inference.limits import LIMITS, Limits
from inference.measuring.diameter import Measurement, checked_in_mirrors, measure_diameter, size_unsure
from inference.network import Network, Segmenting, choose_device
from inference.passes import LARGEST, Size, rows_of_passes
from inference.pipeline import label_rows, rows_without_gaps
from inference.reading import Picture
from inference.routing import Route, RouterNetwork, ruled_out
from inference.segmentation import Plan, Segmentation, summarise
from inference.stopwatch import Stopwatch
from inference.tiles import Tally
from inference.turned import SeenTwice
from models.checkpoint import read_config
from models.checksums import sha256
from models.classes import CLASSES, LARGE_COLOUR, ROUTER_FILE, SMALL_COLOUR, ImageClass
from models.likeness import Likeness
from models.weights_folder import check_weights, own_files

DIGITS = 12  # of a checkpoint's SHA-256, in hexadecimal: enough to tell networks apart


class Examined(NamedTuple):
    """What is found out of an image before it is planned how it is segmented.

    route : the router's answer; None if it was not needed
    own : whether the network is the one fine-tuned on images of one's own
    """

    image: NormalisedForm
    image_class: ImageClass
    route: Route | None
    network: Network
    own: bool
    size: Measurement


class Segmenter:
    """The router, and the networks of the four classes.

    Parameters
    ----------
    router : called with a normalised image and the classes that are ruled out; or the path of its checkpoint
    networks : by class, 0 to 3; or the paths of their checkpoints. There need be none for a class that no image is of
    device : as of `inference.network.choose_device`, for the networks that are given by their paths. These are loaded
        when an image first needs them
    quick : whether labels are made of what a network says of each window once, not also of the window turned
    own : by class, the paths of checkpoints that were fine-tuned on images of one's own; for images that are like
        those, each takes the place of its class's network, and of those of the classes that have none like them
    """

    def __init__(
        self,
        router: Callable[[NormalisedForm, Sequence[int]], Route] | Path,
        networks: Mapping[int, Network | Path],
        device: str = "auto",
        limits: Limits = LIMITS,
        quick: bool = False,
        own: Mapping[int, Path] | None = None,
    ):
        self._router, self._networks = router, dict(networks)
        self.files = {number: network for number, network in networks.items() if isinstance(network, Path)}
        self.own_files = dict(own or {})
        self._own_networks: dict[int, Network | Path] = dict(self.own_files)
        self._likeness = {c: Likeness(**read_config(path)[1].likeness) for c, path in self.own_files.items()}
        self._sums: dict[tuple[int, bool], str] = {}
        self.device, self.limits, self.quick = choose_device(device), limits, quick

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        device: str = "auto",
        limits: Limits = LIMITS,
        verify: bool = False,
        quick: bool = False,
    ) -> "Segmenter":
        """With the networks of a weights folder; `verify` compares the checksums of all of them at once.

        Raises CheckpointError as `models.weights_folder.check_weights`; ValueError if there is no such device.
        """
        folder = Path(folder)
        networks = {c.number: folder / c.file for c in CLASSES}
        check_weights(folder, verify)
        fine_tuned = own_files(folder)
        own = {c.number: folder / c.own_file for c in CLASSES if c.own_file in fine_tuned}
        return cls(folder / ROUTER_FILE, networks, device, limits, quick, own)

    def network(self, class_: int, own: bool = False) -> Network:
        """The segmenter of a class; `own` is that for images like one's own."""
        networks = self._own_networks if own else self._networks
        network = networks[class_]
        if isinstance(network, Path):
            network = networks[class_] = Network.load(network, self.device)
        return network

    def labelling(self, network: Network) -> Segmenting:
        """A class's network as labels are made with it."""
        return network if self.quick else SeenTwice(network)

    def digest(self, class_: int, own: bool = False) -> str:
        """The first digits of the SHA-256 of a network's checkpoint; none if the network was given as it is."""
        if (class_, own) not in self._sums:
            files = self.own_files if own else self.files
            self._sums[class_, own] = sha256(files[class_])[:DIGITS] if class_ in files else ""
        return self._sums[class_, own]

    def route(self, image: NormalisedForm, excluded: Sequence[int] = ()) -> Route:
        """The router's answer for an image, which is of none of the `excluded` classes."""
        if isinstance(self._router, Path):
            self._router = RouterNetwork.load(self._router)
        return self._router(image, excluded)

    def likely_classes(self, picture: Picture, least: float = 1.0) -> tuple[int, ...]:
        """Numbers of the class whose network `segment` takes if it is given none, and of the others to which the router
        gives at least this probability.
        """
        looked = self._look(picture, None, None, None, Stopwatch())
        taken, probabilities = looked.image_class.number, looked.route.probabilities if looked.route else ()
        return taken, *(c for c, p in enumerate(probabilities) if p >= least and c != taken)

    def features(self, picture: Picture) -> np.ndarray | None:
        """(F,) float32: what the router sees in an image, by which it is told whether that is like one's own; None if
        the router does not tell.
        """
        clock = Stopwatch()
        image, route = self._normalised(picture, None, clock)
        return (route or self._route(picture, image, clock)).features

    def segment(
        self,
        picture: Picture,
        *,
        class_: int | None = None,
        diameter: float | None = None,
        like: Plan | None = None,
        sensitivity: float = 0.0,
        ends: Ends | None = None,
        on_tile: Callable[[int], None] = lambda total: None,
    ) -> Segmentation:
        """Begin to segment one image: everything but the labels, which the answer makes as they are read.

        Parameters
        ----------
        picture : as `inference.reading.open_image` gives it
        class_ : 0 to 3, whose network is to run; None to let the router choose
        diameter : typical cell diameter in pixels of the image; None to measure it
        like : the plan of another plane of the image, by whose class, cell sizes and stain this one is segmented
        sensitivity : how readily something is taken for a cell, as of `inference.decoding.sensitivity.SENSITIVITIES`
        ends : of the contrast, as of `inference.image.normalisation.Normalisation`; None for those of the image
        on_tile : called after each tile with the number of tiles that the whole image has
        """
        clock, tally = Stopwatch(), Tally()
        image, network, plan = self.plan(picture, class_, diameter, ends, clock, like)
        sizes = [Size(labelling_scale(network.config.diameter, plan.diameter))]
        if plan.second is not None:
            sizes.append(Size(labelling_scale(network.config.diameter, plan.second), LARGEST * plan.diameter))
        how = self.labelling(network), tally, clock, on_tile, self.limits, sensitivity
        if plan.several_passes:
            rows = rows_of_passes(image, sizes, *how)
        else:
            rows = label_rows(WorkingImage(image, sizes[0].scale), *how)
        if plan.ground is not None:
            rows = rows_without_gaps(rows, image, plan.ground, tally, clock)
        return Segmentation(plan, rows, lambda: summarise(tally, str(network.device), clock.seconds))

    def plan(
        self,
        picture: Picture,
        class_: int | None,
        diameter: float | None,
        ends: Ends | None,
        clock: Stopwatch,
        like: Plan | None = None,
    ) -> tuple[NormalisedForm, Network, Plan]:
        """All that is to be known of an image before its first tile. Parameters as of `segment`."""
        if like:
            return self._plan_like(like, picture, ends, clock)
        image, image_class, route, network, own, size = self._look(picture, class_, diameter, ends, clock)
        sizes = Sizes.at_scale(image.shape, labelling_scale(network.config.diameter, size.diameter))
        second = size.second if self._fits_one_band(image) else None
        route = route if class_ is None else None
        brown = image.normalisation.brown if image.normalisation else True
        plan = Plan(image_class, route, size.diameter, sizes, second, size.agreement, brown, own=own)
        return image, network, self._with_what_it_shows(plan, image)

    def _fits_one_band(self, image: NormalisedForm) -> bool:
        return math.prod(image.shape) <= self.limits.band_pixels

    def _with_what_it_shows(self, plan: Plan, image: NormalisedForm) -> Plan:
        """The plan with what is each plane's own: its glare, ground and surroundings."""
        plan = replace(plan, glare=image.normalisation.glare if image.normalisation else True)
        if not self._fits_one_band(image):
            return replace(plan, ground=None, embedded=False)
        return replace(plan, ground=ground(image.content.overview), embedded=image.embedded)

    def _plan_like(
        self, like: Plan, picture: Picture, ends: Ends | None, clock: Stopwatch
    ) -> tuple[NormalisedForm, Network, Plan]:
        """As `plan`, by that of another plane of the image; the contrast is the plane's own."""
        if like.brown:
            image, _ = self._normalised(picture, ends, clock)
        else:
            with clock("normalise"):
                image = normalised_image(picture.pixels, self.limits, brown=False)
        with clock("load"):
            network = self.network(like.image_class.number, like.own)
        sizes = Sizes.at_scale(image.shape, labelling_scale(network.config.diameter, like.diameter))
        return image, network, self._with_what_it_shows(replace(like, sizes=sizes), image)

    def measure_diameter(self, picture: Picture, *, class_: int | None = None, ends: Ends | None = None) -> float:
        """Typical cell diameter in pixels of the image. Parameters as of `segment`."""
        return self._look(picture, class_, None, ends, Stopwatch()).size.diameter

    def _look(
        self, picture: Picture, class_: int | None, diameter: float | None, ends: Ends | None, clock: Stopwatch
    ) -> Examined:
        """The image's normalised form, its class, the router's answer, the network and the cells' size."""
        image, route = self._normalised(picture, ends, clock)
        looked = self._look_at(picture, image, route, class_, diameter, clock)
        if class_ is None and diameter is None and ends is None:
            looked = self._without_brown(picture, looked, clock)
        if diameter is not None or looked.route is None:
            return looked
        with clock("scale"):
            guess = looked.route.diameter
            size = checked_in_mirrors(looked.size, looked.image.content, looked.network, guess)
        return looked._replace(size=size)

    def _without_brown(self, picture: Picture, looked: Examined, clock: Stopwatch) -> Examined:
        """Where the size is unsure and much is brown, the image is looked at without that stain as well, and taken so
        if it then shows small cells more surely.
        """
        pixels = picture.pixels
        if not size_unsure(looked.size.agreement) or pixels.dtype != np.uint8 or pixels.shape[2:] != (3,):
            return looked
        with clock("normalise"):
            if not hides_nuclei(looked.image.content.overview):
                return looked
            image = normalised_image(pixels, self.limits, brown=False)
        other = self._look_at(picture, image, None, None, None, clock, looked.route)
        small = other.image_class.number == SMALL_COLOUR
        return other if small and clearer(other.size.agreement, looked.size.agreement) else looked

    def _normalised(self, picture: Picture, ends: Ends | None, clock: Stopwatch) -> tuple[NormalisedForm, Route | None]:
        """The image's normalised form, and the router's answer for it if that was needed.

        A few bright places are left out of its contrast if the router is then surer of the class that it says. That may
        be another class only where it was one of colour images, which a gray image is not.
        """
        with clock("normalise"):
            image = normalised_image(picture.pixels, self.limits, ends)
            share = share_of_the_dim(image.overview) if ends is None and image.gray else None
            if share is None or image.normalisation is None:
                return image, None
            dim = normalised_by(picture.pixels, image.normalisation.without_glare(share), self.limits)
        before, after = self._route(picture, image, clock), self._route(picture, dim, clock)
        surer = max(after.probabilities) > before.probabilities[after.likeliest]
        same = before.likeliest in (after.likeliest, LARGE_COLOUR, SMALL_COLOUR)
        return (dim, after) if surer and same else (image, before)

    def _look_at(
        self,
        picture: Picture,
        image: NormalisedForm,
        route: Route | None,
        class_: int | None,
        diameter: float | None,
        clock: Stopwatch,
        as_it_is: Route | None = None,
    ) -> Examined:
        """As `_look`, of one normalised form; `route` is the router's answer for it if that is known, and `as_it_is`
        that for the image with its brown stain, if this form has none.
        """
        given = class_
        if class_ is None or diameter is None or class_ in self.own_files:
            route = route or self._route(picture, image, clock)
            class_, guess = route.best if class_ is None else class_, route.diameter
        seen = as_it_is or route
        like = self._like(seen, class_, given is None) if seen is not None else None
        class_, own = (class_, False) if like is None else (like, True)
        with clock("load"):
            network = self.network(class_, own)
        if diameter is not None:
            return Examined(image, CLASSES[class_], route, network, own, Measurement(diameter))
        with clock("scale"):
            size = measure_diameter(image.content, network, guess)
        return Examined(image, CLASSES[class_], route, network, own, size)

    def _like(self, route: Route, class_: int, any_class: bool) -> int | None:
        """The class with the network that was fine-tuned on images like this one: that of its own class, if there is
        one, or else of any.
        """
        classes = [class_, *self.own_files] if any_class else [class_]
        return next((c for c in classes if c in self.own_files and self._likeness[c].holds(route.features)), None)

    def _route(self, picture: Picture, image: NormalisedForm, clock: Stopwatch) -> Route:
        """The router's answer for what an image shows, by its pixels and by its normalised form."""
        content = image.content
        with clock("route"):
            return self.route(content, ruled_out(Cutout(picture.pixels, content.box), image.gray))
