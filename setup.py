"""The build of the installed package; everything else about it is in pyproject.toml.

In the repository the modules import each other as `inference`, `models` and `training`, the folders that one sees
there. Nothing of that name is to lie at the top of anybody's environment, so the files of the installed package import
`multistream_cellseg.inference` and so on instead.
"""

import re
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

FOLDERS = "inference|models|training"
IMPORTED = re.compile(rf"\bfrom ({FOLDERS})(?=\.|\s+import\b)")
NAMED = re.compile(rf"(?<=[\"'])({FOLDERS})(?=\.[a-z])")  # modules that are named in strings


class BuildWithPackageNames(build_py):
    """Copies the modules with the package's name before those of its parts."""

    def build_module(self, module, module_file, package):
        copied = super().build_module(module, module_file, package)
        path = Path(self.get_module_outfile(self.build_lib, package.split("."), module))
        text = path.read_text(encoding="utf-8")
        text = IMPORTED.sub(r"from multistream_cellseg.\1", text)
        path.write_text(NAMED.sub(r"multistream_cellseg.\1", text), encoding="utf-8")
        return copied


setup(cmdclass={"build_py": BuildWithPackageNames})
