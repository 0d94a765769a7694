"""The bill of materials, as CycloneDX's own tool writes it."""

import json
from importlib.metadata import version

import pytest

from resnexus import ResnexusError, packages
from resnexus.artefacts import materials
from resnexus.artefacts.materials import write_materials


@pytest.mark.slow
def test_the_bill_names_what_is_installed(tmp_path):
    pytest.importorskip("cyclonedx_py", reason="cyclonedx-bom is not installed: pip install 'resnexus[sbom]'")
    place = write_materials(tmp_path / "own.onnx")
    assert place.name == "own.onnx.cdx.json"
    bill = json.loads(place.read_text())
    assert bill["bomFormat"] == "CycloneDX"
    found = {component["name"].lower(): component["version"] for component in bill["components"]}
    for name in ("torch", "numpy", "safetensors"):
        assert found[name] == version(name)


def test_a_tool_that_fails_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(materials, "check_materials", lambda: None)
    monkeypatch.setattr(materials.sys, "executable", "/bin/false")
    with pytest.raises(ResnexusError, match=r"own\.onnx\.cdx\.json: cyclonedx-bom failed: it does not say why"):
        write_materials(tmp_path / "own.onnx")
    assert not list(tmp_path.iterdir())


def test_a_missing_tool_is_said_before_any_work(command, tmp_path, monkeypatch):
    real = packages.import_module

    def absent(name):
        if name == "cyclonedx_py":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name)

    monkeypatch.setattr(packages, "import_module", absent)
    arguments = ("ResNet_small", "--weights", "random", "--format", "safetensors", "--out", tmp_path / "own", "--sbom")
    done = command("export", *arguments)
    assert (done.returncode, done.stderr) == (
        2,
        "error: cyclonedx_py is not installed: pip install 'resnexus[sbom]'\n",
    )
    assert not list(tmp_path.iterdir())
