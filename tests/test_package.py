"""The package as others install it: one name at the top, a command, and modules that import each other within it.

Skipped where the package is not installed (`pip install .`), or is installed from this folder (`pip install -e .`).
"""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {  # of modules that are named otherwise
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "dask": "distributed",
    "csbdeep": "stardist",
}


def elsewhere(*arguments, cwd):
    """Python's answer in another folder, where nothing of the repository can be found by chance."""
    done = subprocess.run([sys.executable, "-I", *arguments], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder of the installed package."""
    folder = tmp_path_factory.mktemp("elsewhere")
    find = "import importlib.util as u; s = u.find_spec('multistream_cellseg'); print(s.origin if s else '')"
    origin = elsewhere("-c", find, cwd=folder)
    if not origin or Path(origin).parent == ROOT / "multistream_cellseg":
        pytest.skip("needs the package installed: pip install .")
    return Path(origin).parent


def imported(folder):
    """Packages of others that the modules of a folder import, wherever in them: name -> a file that does."""
    found = {}
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in {name.split(".")[0] for name in names} - set(sys.stdlib_module_names):
                if not (ROOT / name).is_dir():
                    found[PACKAGES.get(name, name).lower().replace("_", "-")] = path.relative_to(ROOT)
    return found


@pytest.mark.parametrize(
    "folder, extras",
    [
        ("inference", ("formats", "outputs", "cluster")),
        ("models", ("training",)),
        ("training", ("training", "outputs", "cluster", "dev")),
    ],
)
def test_what_is_imported_is_installed(folder, extras):
    """By `pip install .`, or by an extra whose absence is told: what is asked for late would fail late."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]
    wanted = project["dependencies"] + [line for extra in extras for line in optional[extra]]
    listed = {re.match(r"[\w-]+", line)[0].lower() for line in wanted}
    found = imported(folder)
    assert "torch" in found
    assert {name: path for name, path in found.items() if name not in listed} == {}


def test_nothing_else_lies_at_the_top(installed):
    (found,) = importlib.metadata.distributions(name="multistream-cellseg", path=[str(installed.parent)])
    files = found.files or []
    tops = {file.parts[0] for file in files if file.suffix == ".py"}
    assert tops == {"multistream_cellseg"}


def test_every_module_imports_within_the_package(installed):
    """None asks for `inference`, `models` or `training`, which are not there under these names."""
    modules = sorted(
        ".".join(path.relative_to(installed.parent).with_suffix("").parts)
        for folder in ("inference", "models")
        for path in (installed / folder).rglob("*.py")
    )
    assert len(modules) > 50
    names = [name.removesuffix(".__init__") for name in modules]
    program = f"import importlib\nfor name in {names!r}: importlib.import_module(name)\nprint('all')"
    assert elsewhere("-c", program, cwd=installed) == "all"


def test_a_segmenter_by_one_import(installed, tmp_path):
    program = "from multistream_cellseg import Segmenter; print(Segmenter.__module__)"
    assert elsewhere("-c", program, cwd=tmp_path) == "multistream_cellseg.inference.door"
