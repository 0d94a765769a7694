"""Imports go one way only, and importing the package loads nothing heavy."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import resnexus

SOURCE = Path(resnexus.__file__).parent

# A room may import those before it, and itself; rooms in one group may not import each other.
GROUPS = (
    ("errors", "version"),
    ("files", "home", "packages", "signal_stack", "trust"),
    ("devices", "machine", "progress", "records"),
    ("claim",),
    ("architectures", "data"),
    ("rewrites", "evaluation"),
    ("training",),
    ("series",),
    ("weights",),
    ("models", "timm"),
    ("teachers",),
    ("trainer", "detection", "subject", "prediction.runner"),
    ("parity",),
    ("acceleration.backends.contract",),
    ("acceleration.backends.memory", "acceleration.backends.exporting", "acceleration.lowering"),
    ("acceleration.native", "acceleration.cuda.kernels"),
    ("acceleration.cuda",),
    ("acceleration.backends",),
    ("acceleration.planning",),
    ("acceleration",),
    ("artefacts",),
    ("benchmark",),
    ("report",),
    ("artefacts.web",),
    ("comparison", "assessment", "prediction"),
    ("distillation", "quantisation"),
    ("cli",),
    ("__main__",),
)
RANK = {name: rank for rank, group in enumerate(GROUPS) for name in group}


def room(module: str) -> str:
    """The room of a module, without the package's own name: the longest that `GROUPS` knows."""
    parts = module.split(".")
    names = [".".join(parts[:length]) for length in range(len(parts), 0, -1)]
    return next((name for name in names if name in RANK), parts[0])


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imported(path: Path) -> set[str]:
    """What a file imports of the package, without the package's own name."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name.removeprefix("resnexus.") for name in found if name.startswith("resnexus.")}


def imports(path: Path) -> set[str]:
    return {room(name) for name in imported(path)}


def test_imports_go_one_way():
    wrong = []
    for path in sorted(SOURCE.rglob("*.py")):
        module = path.relative_to(SOURCE)
        own = room(".".join(module.with_suffix("").parts))
        if own != "__init__":
            wrong += [f"{module} imports {name}" for name in imports(path) if name != own and RANK[name] >= RANK[own]]
    assert wrong == []


def test_every_package_has_a_rank():
    names = {path.name.removesuffix(".py") for path in SOURCE.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert names - {"__init__", "__pycache__", "py.typed"} <= set(RANK)


CONTRIBUTING = Path(__file__).parents[1] / "CONTRIBUTING.md"


def mapped() -> dict[str, int]:
    """The rooms that CONTRIBUTING's map names, each with the number of its row."""
    found = {}
    rows = re.findall(r"^\| (`.+?) \| (.+) \|$", CONTRIBUTING.read_text(encoding="utf-8"), re.MULTILINE)
    for number, (names, what) in enumerate(rows):
        rooms = [name.removesuffix(".py").rstrip("/").replace("/", ".") for name in re.findall(r"`([^`]+)`", names)]
        found |= dict.fromkeys(rooms, number)
        found |= dict.fromkeys((f"{rooms[-1]}.{below}" for below in re.findall(r"`(\w+)/`", what)), number)
    return found


def test_the_map_names_every_room():
    rooms = {".".join(path.parent.relative_to(SOURCE).parts) for path in SOURCE.glob("*/**/__init__.py")}
    modules = {path.stem for path in SOURCE.glob("*.py")} - {"__init__"}
    assert sorted((rooms | modules) - mapped().keys()) == []
    for name in mapped():
        path = SOURCE.joinpath(*name.split("."))
        assert path.is_dir() or path.with_suffix(".py").is_file(), f"CONTRIBUTING's map names {name}"


def test_imports_go_up_the_map():
    rows = mapped()

    def row(module: str) -> str:
        parts = module.split(".")
        return next(name for length in range(len(parts), 0, -1) if (name := ".".join(parts[:length])) in rows)

    wrong = []
    for path in SOURCE.rglob("*.py"):
        module = ".".join(path.relative_to(SOURCE).with_suffix("").parts)
        if module == "__init__":
            continue
        own = row(module)
        for name in imported(path):
            other = row(name)
            if rows[other] > rows[own] and not other.startswith(f"{own}."):
                wrong.append(f"{module} imports {name}")
    assert wrong == []


def test_files_and_functions_stay_short():
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 320, path
        for node in nodes(path):
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


def test_importing_networks_and_engines_loads_nothing_optional():
    code = (
        "import sys, resnexus, resnexus.acceleration.accelerate, resnexus.rewrites.table; resnexus.create_model;"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    optional = {"lightning", "altair", "pydantic", "onnx", "openvino", "sklearn", "timm", "huggingface_hub"}
    optional |= {"onnxruntime", "onnxscript", "nncf", "pooch", "platformdirs", "torchvision"}
    assert not loaded & optional
