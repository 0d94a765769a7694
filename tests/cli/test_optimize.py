from __future__ import annotations

import pytest
from typer.testing import CliRunner

from resnexus.acceleration import accelerate as module
from resnexus.acceleration.native import compiler
from resnexus.acceleration.planning.cache import EngineCache
from resnexus.cli.application import app
from resnexus.errors import ResnexusError
from resnexus.parity import golden
from resnexus.progress import Shown
from resnexus.trust import TrustError
from resnexus.weights.state_digest import state_sha256


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNEXUS_HOME", str(tmp_path))
    return tmp_path


def _optimize(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["optimize", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout


def test_every_run_plans_the_same_weights(home, monkeypatch):
    given = []

    class Explained:
        def explain(self) -> str:
            return "as fast as it gets"

    def accelerate(network, **options):
        given.append((state_sha256(network), options))
        return Explained()

    monkeypatch.setattr(module, "accelerate", accelerate)
    for _ in range(2):
        assert _optimize("SE_ResNet18_vd", "--batch-sizes", "1,8") == "as fast as it gets\n"
    assert given[0][0] == given[1][0]
    options = given[0][1]
    assert tuple(options["batch_sizes"]) == (1, 8)
    assert isinstance(options["progress"], Shown)


def test_maps_in_place_of_logits(home, monkeypatch):
    given = []

    class Explained:
        def explain(self) -> str:
            return "as fast as it gets"

    monkeypatch.setattr(
        module, "accelerate", lambda network, **options: given.append((network, options)) or Explained()
    )
    _optimize("SE_ResNet18_vd", "--features", "1,-1", "--output-stride", "16", "--image-size", "640")
    _optimize("SE_ResNet18_vd", "--output-stride", "8")
    (maps, options), (logits, _) = given
    assert (maps.out_indices, maps.output_stride, options["image_size"]) == ((1, 4), 16, 640)
    assert (logits.num_classes, logits.output_stride) == (1000, 8)
    with pytest.raises(ResnexusError, match="--features has no effect with --list: leave it out"):
        CliRunner().invoke(app, ["optimize", "--list", "--features", "1"], catch_exceptions=False)
    with pytest.raises(ResnexusError, match="expected maps from 0, the stem, to 4"):
        CliRunner().invoke(app, ["optimize", "SE_ResNet18_vd", "--features", "5"], catch_exceptions=False)


def test_clearing_says_how_much_is_gone(home, monkeypatch):
    monkeypatch.setattr(compiler, "home", lambda: home)  # not the kernels that all tests share
    assert _optimize("--clear") == f"removed 0 MB of built networks, and all plans, from {home}/engines\n"
    cache = EngineCache()
    with cache.scratch() as scratch:
        (scratch / "built").mkdir()
        (scratch / "built" / "model.bin").write_bytes(bytes(3_000_000))
        cache.keep_build({"a": 1}, scratch / "built")
    del cache
    assert _optimize("--clear") == f"removed 3 MB of built networks, and all plans, from {home}/engines\n"
    assert [path for path in home.rglob("*") if path.is_file()] == []


@pytest.fixture
def _kernels(home, monkeypatch):
    """Compiled kernels of 2 MB, below the same home as the plans."""
    monkeypatch.setattr(compiler, "home", lambda: home)
    compiler.libraries().mkdir(mode=0o700, parents=True)
    (compiler.libraries() / "0123456789abcdef-00.so").write_bytes(bytes(2_000_000))


@pytest.mark.usefixtures("_kernels")
def test_clearing_says_what_it_leaves_and_takes_it_when_asked(home):
    engines = home / "engines"
    plans = f"removed 0 MB of built networks, and all plans, from {engines}\n"
    assert _optimize("--clear") == (
        f"{plans}kept 2 MB of compiled kernels in {engines}/kernels: --clear --kernels removes them too\n"
    )
    assert _optimize("--clear", "--kernels") == f"{plans}removed 2 MB of compiled kernels from {engines}/kernels\n"
    assert [path for path in home.rglob("*") if path.is_file()] == []
    assert _optimize("--clear") == plans


@pytest.mark.usefixtures("_kernels")
def test_kernels_in_a_folder_that_others_may_write_are_left_alone(home):
    compiler.libraries().chmod(0o777)
    with pytest.raises(TrustError, match="kernels"):
        CliRunner().invoke(app, ["optimize", "--clear", "--kernels"], catch_exceptions=False)
    assert compiler.libraries_bytes() == 2_000_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--precision", "fp8"], "unknown precision 'fp8': accepted are bf16, fp16, fp32"),
        (["--precision", "int8"], "unknown precision 'int8'"),
        (["--kernels"], "--kernels has no effect without --clear"),
    ],
)
def test_a_mistake_is_told_before_a_network_is_built(home, monkeypatch, arguments, message):
    monkeypatch.setattr(golden, "golden_network", lambda *_, **__: pytest.fail("built"))
    with pytest.raises(ResnexusError, match=message):
        CliRunner().invoke(app, ["optimize", "SE_ResNet18_vd", *arguments], catch_exceptions=False)


def test_one_thing_at_a_time():
    with pytest.raises(ResnexusError, match=r"give one of: a network, --explain REWRITE, --list, --clear"):
        CliRunner().invoke(app, ["optimize", "SE_ResNet18_vd", "--clear"], catch_exceptions=False)
