"""Imports go one way only, and importing the package loads nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import resnexus

SOURCE = Path(resnexus.__file__).parent

# A room may import those before it, and itself; rooms in one group may not import each other.
GROUPS = (
    ("errors", "version"),
    ("files", "home", "packages", "trust"),
    ("machine", "progress", "records"),
    ("claim",),
    ("architectures", "data"),
    ("rewrites", "evaluation"),
    ("training",),
    ("series",),
    ("weights",),
    ("models", "timm"),
    ("trainer", "detection", "subject", "prediction.runner"),
    ("parity",),
    ("acceleration.backends.contract",),
    ("acceleration.backends.memory", "acceleration.backends.exporting", "acceleration.lowering"),
    ("acceleration.native",),
    ("acceleration.backends",),
    ("acceleration.planning",),
    ("acceleration",),
    ("artefacts",),
    ("benchmark",),
    ("report",),
    ("artefacts.web",),
    ("comparison", "assessment", "prediction"),
    ("cli",),
    ("__main__",),
)
RANK = {name: rank for rank, group in enumerate(GROUPS) for name in group}


def room(module: str) -> str:
    """The room of a module, without the package's own name: the longest that `GROUPS` knows."""
    parts = module.split(".")
    names = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((name for name in names if name in RANK), parts[0])


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {room(name.removeprefix("resnexus.")) for name in found if name.startswith("resnexus.")}


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_go_one_way(path):
    own = room(".".join(path.relative_to(SOURCE).with_suffix("").parts))
    if own == "__init__":
        return
    for other in imports(path):
        assert other == own or RANK[other] < RANK[own], f"{own} must not import {other}"


def test_every_package_has_a_rank():
    names = {path.name.removesuffix(".py") for path in SOURCE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert names - {"__init__", "__pycache__", "py.typed"} <= set(RANK)


def test_files_and_functions_stay_short():
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 320, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                docstring = node.body[0].end_lineno - node.body[0].lineno + 1 if ast.get_docstring(node) else 0
                assert node.end_lineno - node.lineno + 1 - docstring <= 65, f"{path}: {node.name}"


@pytest.mark.parametrize("module", ["resnexus", "resnexus.cli"])
def test_importing_loads_nothing_heavy(module):
    code = f"import sys, {module}; print(*sorted({{name.split('.')[0] for name in sys.modules}}))"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not loaded & {"torch", "numpy", "PIL", "lightning", "altair", "pydantic", "pooch", "safetensors", "sklearn"}


def test_importing_the_networks_loads_nothing_optional():
    code = "import sys, resnexus; resnexus.create_model; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert not loaded & {"lightning", "altair", "pydantic", "onnx", "openvino", "sklearn", "timm", "huggingface_hub"}
