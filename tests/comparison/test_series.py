from dataclasses import replace

import pytest

from resnexus import ResnexusError
from resnexus.benchmark.bench import Bench, BenchSettings
from resnexus.benchmark.cell import Cell
from resnexus.benchmark.environment import environment
from resnexus.comparison.series import QUICK, benched_series, line_name, published_series
from resnexus.records import write_json


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("ResNeXt101_vd_64x4d", "ResNeXt_vd_64x4d"),
        ("Res2Net50_14w_8s", "Res2Net_14w_8s"),
        ("Res2Net200_vd_26w_4s_ssld", "Res2Net_vd_26w_4s_ssld"),
        ("SENet154_vd", "SENet_vd"),
        ("SE_ResNet18_vd", "SE_ResNet_vd"),
        ("ResNet_small", "ResNet_small"),
    ],
)
def test_a_line_is_the_name_without_its_depth(name, line):
    assert line_name(name) == line


def test_the_page_has_27_checkpoints_and_4_baselines():
    series = published_series()
    assert len(series) == 31
    assert [entry.name for entry in series if entry.name.endswith("_ssld")] == [
        "Res2Net50_vd_26w_4s_ssld",
        "Res2Net101_vd_26w_4s_ssld",
        "Res2Net200_vd_26w_4s_ssld",
    ]
    assert max(series, key=lambda entry: entry.top1).top1 == 0.851


def test_quick_has_one_network_of_each_kind():
    by_name = {entry.name: entry for entry in published_series()}
    assert {by_name[name].family for name in QUICK} == {"ResNet", "ResNeXt", "SENet", "Res2Net"}


def cell(engine, image_size=224):
    return Cell(
        model="SE_ResNet18_vd",
        device="cpu",
        precision="fp32",
        batch_size=1,
        engine=engine,
        image_size=image_size,
        median_ms=30.0,
        p10_ms=29.0,
        p90_ms=31.0,
        repeats=2,
        rounds_ms=(29.0, 31.0),
    )


def test_latencies_come_from_the_record_of_a_benchmark(tmp_path):
    bench = Bench(
        environment=replace(environment(), date="2026-01-01T00:00:00+00:00"),
        settings=BenchSettings(),
        cells=(cell("eager"), cell("openvino"), cell("resnexus"), cell("resnexus", image_size=64)),
    )
    write_json(bench, tmp_path / "bench.json")
    found = benched_series(tmp_path / "bench.json")
    assert [(entry.engine, entry.image_size, entry.median_ms) for entry in found] == [
        ("eager", 224, 30.0),
        ("resnexus", 224, 30.0),
    ]
    assert all(entry.rounds_ms == () for entry in found)

    other = replace(bench, environment=replace(bench.environment, cpu="another"))
    write_json(other, tmp_path / "other.json")
    with pytest.raises(ResnexusError, match="measured on another machine or with other versions: run resnexus bench"):
        benched_series(tmp_path / "other.json")
    write_json(replace(bench, cells=(cell("openvino"),)), tmp_path / "peers.json")
    with pytest.raises(ResnexusError, match="has no latencies of 'eager' or 'resnexus' at 224x224 pixels"):
        benched_series(tmp_path / "peers.json")
    for options in ({"out_indices": (1, 2)}, {"output_stride": 8}):
        write_json(replace(bench, settings=BenchSettings(**options)), tmp_path / "maps.json")
        with pytest.raises(ResnexusError, match="is of feature maps or another output stride: expected one of logits"):
            benched_series(tmp_path / "maps.json")
    with pytest.raises(ResnexusError, match="cannot read"):
        benched_series(tmp_path / "none.json")
