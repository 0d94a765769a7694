"""Optional packages: found under any of their names, and missed with the extra that brings them."""

import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from resnexus import packages
from resnexus.packages import PACKAGES, MissingPackageError, how_to_install, required


@pytest.mark.parametrize(
    ("package", "fix"),
    [
        ("lightning", r"pip install 'resnexus\[train\]'"),
        ("timm", r"pip install 'resnexus\[timm\]'"),
        ("paddle", r"pip install 'resnexus\[peers\]'"),
        ("transformers", r"pip install 'resnexus\[dense-peers\]'"),
        ("tensorrt", "pip install 'tensorrt'"),
        ("no_such_package", "pip install 'no_such_package'"),
    ],
)
def test_a_missing_package_is_named_with_the_extra_that_brings_it(package, fix, monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(packages, "import_module", absent)
    with pytest.raises(MissingPackageError, match=f"^{package} is not installed: {fix}$"):
        required(package)


def test_an_import_that_fails_within_a_package_is_not_taken_for_its_absence(monkeypatch):
    def broken(name):
        raise ModuleNotFoundError("No module named 'inner'", name="inner")

    monkeypatch.setattr(packages, "import_module", broken)
    with pytest.raises(ModuleNotFoundError, match="inner"):
        required("timm")


def test_several_packages_of_one_extra_are_installed_once():
    assert how_to_install("onnx", "openvino", "timm") == "pip install 'resnexus[export]' 'resnexus[timm]'"


def test_every_extra_exists():

    extras = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for row in PACKAGES.values():
        if row.extra is not None:
            assert any(requirement.startswith(name) for name in row.distributions for requirement in extras[row.extra])


def test_a_package_counts_under_every_name_that_it_comes_under(monkeypatch):
    def version(name):
        if name != "onnxruntime-gpu":
            raise PackageNotFoundError(name)
        return "9.9"

    monkeypatch.setattr(packages, "version", version)
    assert packages.is_installed("onnxruntime")
    assert packages.installed_version("onnxruntime") == "9.9"
    assert not packages.is_installed("openvino")
    with pytest.raises(MissingPackageError, match="openvino is not installed"):
        packages.installed_version("openvino")


@pytest.mark.parametrize("package", ["timm", "segmentation-models-pytorch", "transformers"])
def test_what_takes_timms_names_comes_without_paddle(package):
    root = Path(__file__).parents[1]
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    extra = "timm" if package == "timm" else "dense-peers"
    (wanted,) = (found for line in extras[extra] if (found := Requirement(line)).name == package)
    pins = (root / "constraints.txt").read_text().splitlines()
    (pinned,) = (line.partition("==")[2] for line in pins if line.startswith(f"{package}=="))
    assert wanted.specifier.contains(pinned)
    assert not any("paddle" in line or "peers" in line for line in extras[extra])


@pytest.mark.parametrize(
    ("package", "refused", "extra"),
    [("lightning", ("2.6.2", "2.6.3"), "train"), ("tensorboard", ("2.20.0",), "train")],  # malware, and broken
)
def test_versions_that_must_not_be_installed(package, refused, extra):
    root = Path(__file__).parents[1]
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    (wanted,) = (found for line in extras[extra] if (found := Requirement(line)).name == package)
    assert not any(map(wanted.specifier.contains, refused))
    pins = (root / "constraints.txt").read_text().splitlines()
    (pinned,) = (line.partition("==")[2] for line in pins if line.startswith(f"{package}=="))
    assert wanted.specifier.contains(pinned)


def test_openvino_does_without_what_reports_its_use():
    """In a process of its own: here another test may have imported it."""
    code = (
        "from resnexus.packages import required; required('openvino'); "
        "from openvino.tools.ovc import telemetry_utils; import sys; "
        "print(telemetry_utils.tm.__name__, sys.modules['openvino_telemetry'])"
    )
    pytest.importorskip("openvino")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["openvino.tools.ovc.telemetry_stub", "None"]


def test_a_reporter_that_is_in_use_already_stays(monkeypatch):
    monkeypatch.setattr(packages, "import_module", lambda name: name)
    monkeypatch.setitem(sys.modules, "openvino_telemetry", packages)
    assert required("openvino") == "openvino"
    assert sys.modules["openvino_telemetry"] is packages
    monkeypatch.delitem(sys.modules, "openvino_telemetry")
    assert required("timm") == "timm"
    assert "openvino_telemetry" not in sys.modules
    required("nncf")
    assert sys.modules["openvino_telemetry"] is None
