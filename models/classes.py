"""The four classes of images (paper, section 2.1), and where a weights folder keeps the networks that serve them."""

from dataclasses import dataclass
from pathlib import Path

SHIPPED_WEIGHTS = Path(__file__).resolve().parents[1] / "weights"
ROUTER_FILE = "router.safetensors"
REFERENCE_FILE = "reference.safetensors"  # what the router sees in the images that the networks were made from


@dataclass(frozen=True)
class ImageClass:
    """One class of images.

    number : 0 to 3, the router's output
    name : in words, for people
    kind : of network that the paper gives it, "stardist" or "hover"; which kind a trained network is, its checkpoint
        says
    shows : what is in such images
    """

    number: int
    name: str
    kind: str
    shows: str

    @property
    def file(self) -> str:
        """Name of the network's checkpoint in a weights folder."""
        return f"class{self.number}.safetensors"

    @property
    def own_file(self) -> str:
        """Name of the checkpoint of the network, if there is one, that was fine-tuned from the class's on images of
        one's own and serves those that are like them.
        """
        return f"class{self.number}-own.safetensors"


CLASSES = (
    ImageClass(0, "binary", "stardist", "fluorescence and other single-channel images"),
    ImageClass(1, "gray", "hover", "phase contrast, DIC"),
    ImageClass(2, "large colour", "stardist", "colour with large cells"),
    ImageClass(3, "small colour", "stardist", "colour with small cells"),
)
BINARY, GRAY, LARGE_COLOUR, SMALL_COLOUR = range(4)


def find_class(text: str) -> ImageClass:
    """The class of this number or name.

    Raises
    ------
    ValueError
        If there is none. The message lists them.

    Examples
    --------
    >>> find_class("3").name, find_class("small-colour").number
    ('small colour', 3)
    """
    wanted = text.strip().lower().replace("-", " ").replace("_", " ")
    for image_class in CLASSES:
        if wanted in (str(image_class.number), image_class.name):
            return image_class
    raise ValueError(
        f"{text!r} is no class of images; give one of {', '.join(f'{c.number} ({c.name})' for c in CLASSES)}"
    )
