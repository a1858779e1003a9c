"""A stand-in for the segmenter, by which a run says whether an image is to be segmented, and how."""

from inference.reading import Picture


class Asked(Exception):
    """What a run asks of its segmenter."""

    def __init__(self, picture: Picture, options: dict):
        super().__init__()
        self.picture, self.options = picture, options


class Asking:
    """In the place of an `inference.segmenter.Segmenter`."""

    def segment(self, picture: Picture, **options):
        """Raises Asked."""
        raise Asked(picture, options)
