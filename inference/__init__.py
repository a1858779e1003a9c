"""What happens to an image at prediction time: reading, normalisation, routing, diameter, scaling, tiles, network,
kinds, outputs.
"""

__version__ = "0.1.0"
