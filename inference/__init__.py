"""What happens to an image at prediction time, in this order: images, routing, tiles, network, nms or watershed, outputs."""

__version__ = "0.1.0"
