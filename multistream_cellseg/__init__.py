"""Cell instance segmentation for microscopy images of any modality: `from multistream_cellseg import Segmenter`.

The parts of this package are `inference`, `models` and `training`. Installed they lie in it (see setup.py). In the
repository, or where that is installed with `pip install -e`, they lie beside it and are found under their own names as
well, in this process alone.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

_REPOSITORY = Path(__file__).parents[1]
if (_REPOSITORY / "predict.py").is_file():
    __path__.append(str(_REPOSITORY))
    if str(_REPOSITORY) not in sys.path:
        sys.path.append(str(_REPOSITORY))

if TYPE_CHECKING:
    from inference.door import Segmenter

__all__ = ["Segmenter"]


def __getattr__(name: str):
    if name == "Segmenter":
        from multistream_cellseg.inference.door import Segmenter  # late: PyTorch is imported

        return Segmenter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
