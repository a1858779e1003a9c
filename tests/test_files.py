"""A module's tests are found by its name: in a file of that name, or in one whose docstring names it."""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
MODULES = sorted(
    path.relative_to(TESTS.parent)
    for folder in ("models", "inference", "training")
    for path in (TESTS.parent / folder).rglob("*.py")
    if path.name != "__init__.py"
)
DOCSTRINGS = [ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "" for path in TESTS.rglob("test_*.py")]


def names(text, module):
    """Whether a text names a module or its file; a name that goes on is another one's."""
    wanted = module, f"{module.replace('.', '/')}.py"
    return any(re.search(rf"(?<![\w./]){re.escape(name)}(?!\.?\w)", text) for name in wanted)


@pytest.mark.parametrize(
    "text, named",
    [
        ("training.own.split: images", True),
        ("training/own/split.py.", True),
        ("All of training.own.", False),
        ("training.own.splits", False),
        ("training.own.other", False),
        ("my_training.own.split", False),
        ("training", False),
    ],
)
def test_names(text, named):
    assert names(text, "training.own.split") == named


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_has_tests(module):
    own = TESTS / module.parent / f"test_{module.name}"
    dotted = ".".join(module.with_suffix("").parts)
    assert own.exists() or any(names(text, dotted) for text in DOCSTRINGS), (
        f"expected {own}, or a docstring with {dotted}"
    )
