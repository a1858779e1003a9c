"""Which module may import which, read from the import statements of all modules, late ones and those for types alone
included.
"""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {
    "models": {"models"},
    "inference": {"models", "inference"},
    "training": {"models", "inference", "training"},
    "predict": {"inference"},
}
LONGEST = 400  # lines
PACKAGE = "multistream_cellseg"
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in (ROOT / "predict.py", *(p for folder in MAY_IMPORT for p in (ROOT / folder).rglob("*.py")))
}


def imports(tree):
    """The modules of this repository that a syntax tree imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            module = node.module.removeprefix(PACKAGE).lstrip(".")
            inner = {f"{module}.{alias.name}".lstrip(".") for alias in node.names} & set(MODULES)
            found |= inner | {module}  # a package is imported before what is in it
        elif isinstance(node, ast.Import):
            found |= {alias.name.removeprefix(f"{PACKAGE}.") for alias in node.names}
    return found & set(MODULES)


EDGES = {name: imports(ast.parse(path.read_text(encoding="utf-8"))) - {name} for name, path in MODULES.items()}


def test_imports_are_found():
    """Of the forms that Python has: of a module, of names in it, within a function."""
    assert imports(
        ast.parse(
            "import inference.tiles\nfrom models import unet\ndef f():\n    from inference.network import Network"
        )
    ) == {"inference.tiles", "models", "models.unet", "inference.network"}
    assert len(MODULES) > 50


@pytest.mark.parametrize("name", MODULES)
def test_a_layer_imports_none_above_it(name):
    folder = name.split(".")[0]
    assert {other.split(".")[0] for other in EDGES[name]} <= MAY_IMPORT[folder]


def test_no_circle():
    try:
        tuple(TopologicalSorter(EDGES).static_order())
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_compiled_imports_no_module_of_ours():
    assert not EDGES["inference.compiled"]


def test_torch_is_imported_where_the_architecture_says():
    """Within `inference`, but for types alone."""
    found = set()
    for name, path in MODULES.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                node.body = []
        imported = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
        if any(re.match(r"(import|from) torch\b", line) for line in imported):
            found.add(name)
    allowed = {"inference.network", "inference.routing", "inference.cluster.connection"}
    assert {name for name in found if name.startswith(("inference", "predict"))} == allowed


@pytest.mark.parametrize("name", MODULES)
def test_no_module_is_too_long(name):
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) <= LONGEST
