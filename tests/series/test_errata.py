"""The published cells that are wrong, and that the reasons given reproduce the printed numbers."""

import pytest

from resnexus import ResnexusError, architecture, complexity, list_models
from resnexus.architectures.complexity import layers
from resnexus.series.checkpoints import checkpoints, tags
from resnexus.series.errata import errata
from resnexus.series.published import published

GROUPED = [name for name in list_models() if architecture(name).groups > 1]


@pytest.mark.parametrize("name", GROUPED)
def test_dividing_by_the_groups_twice_gives_the_printed_sizes(name):
    grouped = [layer for layer in layers(architecture(name), (224, 224)) if layer.groups > 1]
    lost = [layer.weights - 9 * layer.out_width * (layer.in_width // layer.groups // layer.groups) for layer in grouped]
    parameters = complexity(name).parameters - sum(lost)
    macs = sum(count * layer.height * layer.width for count, layer in zip(lost, grouped, strict=True))
    assert published(name).mparams == pytest.approx(parameters / 1e6, rel=1.2e-3)
    assert published(name).gflops == pytest.approx(complexity(name).gflops - 2e-9 * macs, rel=4e-3)
    assert [erratum.field for erratum in errata(name)][:2] == ["gflops", "mparams"]
    assert "groups twice" in errata(name)[0].reason


def test_two_rows_have_each_others_figures():
    first, second = "Res2Net50_vd_26w_4s", "Res2Net50_14w_8s"
    for name, other in ((first, second), (second, first)):
        assert published(name).mparams == pytest.approx(complexity(other).mparams, abs=0.005)
        assert published(name).gflops == pytest.approx(complexity(other).gflops, abs=0.03)
        assert all(other in erratum.reason for erratum in errata(name))


def test_the_other_rows_are_right():
    assert [name for name in list_models() if not errata(name)] == [
        "Res2Net50_26w_4s",
        "Res2Net101_vd_26w_4s",
        "Res2Net200_vd_26w_4s",
        "SE_ResNet18_vd",
        "SE_ResNet34_vd",
        "SE_ResNet50_vd",
        "ResNet50_vd",
        "ResNet101_vd",
        "ResNet152_vd",
        "ResNet200_vd",
    ]


def test_resnext50():
    gflops, mparams, latency = errata("ResNeXt50_32x4d")
    assert (gflops.published, round(gflops.counted, 2)) == (8.02, 8.46)
    assert (mparams.published, round(mparams.counted, 2)) == (23.64, 25.03)
    assert latency.published == published("ResNeXt50_32x4d").v100_ms
    assert published("ResNeXt50_vd_32x4d").v100_ms < latency.published


def test_latency_errata_quote_the_page():
    for name in list_models():
        figures = published(name)
        for erratum in errata(name):
            printed = {
                "gflops": figures.gflops,
                "mparams": figures.mparams,
                "v100_ms": figures.v100_ms,
                **figures.t4_ms,
            }
            assert printed[erratum.field] == erratum.published


def test_there_are_27_checkpoints():
    assert len(checkpoints()) == 27
    assert list(tags("Res2Net50_vd_26w_4s")) == ["imagenet", "ssld"]
    assert tags("ResNet50_vd") == {}
    record = tags("Res2Net200_vd_26w_4s")["ssld"]
    assert record.url.endswith("/dygraph/Res2Net200_vd_26w_4s_ssld_pretrained.pdparams")
    assert (record.published.top1, record.published.top5) == (0.851, 0.974)


def test_recipes_as_published():
    recipe = {name: record.recipe for name, record in checkpoints().items()}
    assert recipe["ResNeXt152_64x4d"].optim.weight_decay == 1.8e-4
    assert (recipe["ResNeXt50_32x4d"].epochs, recipe["ResNeXt50_32x4d"].rate.lr_schedule) == (120, "step")
    assert (recipe["SENet154_vd"].optim.weight_decay, recipe["SENet154_vd"].target.mixup_alpha) == (7e-5, 0.2)
    assert recipe["Res2Net50_vd_26w_4s_ssld"] is None


def test_an_unknown_row():
    with pytest.raises(ResnexusError, match="unknown published network 'ResNet50'"):
        published("ResNet50")
