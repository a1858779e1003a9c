"""A reader of files in the tests' own process, where they can change its limits."""

from inference.reading import open_images


class InThisProcess:
    """In the place of `inference.safe_reading.SafeReader`."""

    def __init__(self, limits=None):
        pass

    def open_images(self, path, options):
        return open_images(path, options), "0" * 16
