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
ROOMS = {  # folders of `inference`, and which of the others each may import
    "reading": set(),
    "image": {"reading"},
    "decoding": set(),
    "measuring": {"image"},
    "outputs": {"reading", "image", "decoding"},
    "running": {"reading", "image", "decoding", "outputs", "cluster"},
    "cluster": {"reading", "image", "decoding", "outputs", "running"},
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


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_what_it_may(room):
    """Of the other folders of `inference`."""
    name = f"inference.{room}"
    others = {other for module in EDGES if module.startswith(f"{name}.") for other in EDGES[module]}
    found = {other.split(".")[1] for other in others if other.startswith("inference.")} & set(ROOMS)
    assert found <= ROOMS[room] | {room}


def test_every_folder_of_inference_has_a_rule():
    assert {path.name for path in (ROOT / "inference").iterdir() if (path / "__init__.py").exists()} == set(ROOMS)


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


COMMANDS = {
    name
    for name, path in MODULES.items()
    if name.startswith("training.") and 'if __name__ == "__main__":' in path.read_text(encoding="utf-8")
}


def taken_from_commands(tree):
    """(command, name) of all that a syntax tree takes from commands of training, by an import or as an attribute."""
    taken, modules = set(), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module in COMMANDS:
            taken |= {(node.module, alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            modules |= {name: module for name, module in inner.items() if module in COMMANDS}
    taken |= {
        (modules[node.value.id], node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules
    }
    return taken


def test_what_is_taken_from_commands_is_found():
    text = "from training.label import main, find_images\nfrom training import train as t, runs\nt.main\nruns.KINDS"
    assert taken_from_commands(ast.parse(text)) == {
        ("training.label", "main"),
        ("training.label", "find_images"),
        ("training.train", "main"),
    }


@pytest.mark.parametrize("name", MODULES)
def test_a_command_is_no_library(name):
    """Others may start it; what they share with it has a module of its own."""
    taken = taken_from_commands(ast.parse(MODULES[name].read_text(encoding="utf-8")))
    assert {other for other in taken if other[1] != "main"} == set()
