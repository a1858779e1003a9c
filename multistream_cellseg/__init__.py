"""Cell instance segmentation for microscopy images of any modality.

The parts of this package are `inference`, `models` and `training`. In the repository they lie beside it, installed they lie in it.
"""

from pathlib import Path

if (Path(__file__).parents[1] / "predict.py").is_file():
    __path__.append(str(Path(__file__).parents[1]))
