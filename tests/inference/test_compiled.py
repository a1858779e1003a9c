"""Which files a compiled function is made from."""

from pathlib import Path

from inference.compiled import source_files
from inference.decoding.painting import _paint
from inference.decoding.polygons import polygon_area


def test_a_function_depends_on_the_files_of_what_it_calls():
    names = {Path(path).name for path in source_files(_paint.py_func)}
    assert names == {"painting.py", "polygons.py"}
    assert {Path(path).name for path in source_files(polygon_area.py_func)} == {"polygons.py"}
