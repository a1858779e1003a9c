"""Cell instance segmentation for microscopy images of any modality: `from multistream_cellseg import Segmenter`.

The parts of this package are `inference`, `models` and `training`. In the repository they lie beside it, installed they lie in it.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if (Path(__file__).parents[1] / "predict.py").is_file():
    __path__.append(str(Path(__file__).parents[1]))

if TYPE_CHECKING:
    from multistream_cellseg.inference.door import Segmenter

__all__ = ["Segmenter"]


def __getattr__(name: str):
    if name == "Segmenter":
        from multistream_cellseg.inference.door import Segmenter  # late: PyTorch is imported

        return Segmenter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
