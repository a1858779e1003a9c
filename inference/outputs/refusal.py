"""The one error of outputs."""


class OutputRefused(ValueError):
    """A format that cannot hold an image. The message says why, and which one can."""
