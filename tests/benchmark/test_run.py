from dataclasses import replace

import pytest
import torch

from resnexus import Architecture, ResnexusError, create_model
from resnexus.acceleration.planning.plan import Plan
from resnexus.benchmark import engines, run
from resnexus.benchmark.bench import Bench, BenchSettings, steps
from resnexus.benchmark.peaks import Peak
from resnexus.benchmark.ratios import ratio_of
from resnexus.records import read_json, write_json

NAME = "ResNet50_vd"
ROW = Architecture(
    name="tiny", block="bottleneck", depths=(1,), width=8, out_width=32, stem="small", stem_width=16, shortcut="pool"
)
SETTINGS = BenchSettings(
    precisions=("fp32", "bf16"),
    batch_sizes=(1, 2),
    engines=("eager", "channels_last", "timm"),
    image_size=16,
    rounds=3,
    threads=1,
)


def tiny(_row):
    torch.manual_seed(1)
    return create_model(ROW, num_classes=7).eval()


@pytest.fixture
def quick_peaks(monkeypatch, tmp_path_factory):
    monkeypatch.setenv("RESNEXUS_HOME", str(tmp_path_factory.mktemp("home")))
    measured = []

    def peak(device, precision, threads):
        assert threads == SETTINGS.threads
        measured.append(precision)
        return Peak(device=device, precision=precision, tflops=0.1, gbytes_s=10.0, call_us=2.0)

    monkeypatch.setattr(run, "peak", peak)
    return measured


def test_everything_is_opened_checked_and_timed_in_turns(quick_peaks):
    ticks, begun = [], []
    watch = run.Watch(begin=lambda *place: begun.append(place), step=lambda: ticks.append(1))
    *_, record = run.run([NAME], SETTINGS, create=tiny, watch=watch)
    assert quick_peaks == ["fp32", "bf16"]
    assert begun == [(NAME, "cpu", 1), (NAME, "cpu", 2)]
    assert len(ticks) == 2 * steps(SETTINGS)
    keys = [(cell.batch_size, cell.precision, cell.engine) for cell in record.cells]
    assert keys == [(s, p, e) for s in (1, 2) for p in ("fp32", "bf16") for e in ("eager", "channels_last")]
    for cell in record.cells:
        assert len(cell.rounds_ms) == cell.repeats == SETTINGS.rounds
        assert min(cell.rounds_ms) <= cell.p10_ms <= cell.median_ms <= cell.p90_ms <= max(cell.rounds_ms)
        assert cell.agreement < (1e-5 if cell.precision == "fp32" else 0.1)
        assert cell.cosine > 0.99
        assert cell.plan is None
    assert ratio_of(record.cells[0], record.cells[0]).median == 1
    reasons = {(entry.engine, entry.reason) for entry in record.left_out}
    assert reasons == {("timm", "has no network that computes the same")}


def test_a_cell_of_ours_says_what_was_chosen(quick_peaks, tmp_path):
    pytest.importorskip("openvino", reason="openvino is optional: pip install 'resnexus[export]'")
    settings = replace(SETTINGS, batch_sizes=(2,), precisions=("fp32",), engines=("resnexus",))
    settings = replace(settings, plan_backends=("openvino",), plan_seconds=0.05)
    *_, record = run.run([NAME], settings, create=tiny, cache_dir=tmp_path)
    (cell,) = record.cells
    (kept,) = (tmp_path / "plans").iterdir()
    assert cell.plan == str(read_json(Plan, kept).candidate)
    write_json(record, tmp_path / "bench.json")
    assert read_json(Bench, tmp_path / "bench.json") == record


def test_back_ends_that_do_not_run_a_precision_are_named(quick_peaks, tmp_path):
    settings = replace(SETTINGS, batch_sizes=(1,), engines=("resnexus",), plan_backends=("onnxruntime",))
    *_, record = run.run([NAME], replace(settings, precisions=("bf16",)), create=tiny, cache_dir=tmp_path)
    assert [entry.reason for entry in record.left_out] == ["BackendError: none of onnxruntime runs bf16 on cpu"]
    assert [path.name for path in tmp_path.iterdir()] == []  # what engines build is removed


def test_an_engine_that_computes_something_else_is_left_out_and_not_timed(quick_peaks, monkeypatch, caplog):
    def wrong(subject, job):
        return lambda images: torch.ones(len(images), 7)

    row = replace(engines.ENGINES["channels_last"], open=wrong)
    monkeypatch.setattr(run, "engine", lambda name: row if name == "channels_last" else engines.ENGINES[name])
    settings = replace(SETTINGS, batch_sizes=(1,), precisions=("fp32",), engines=("eager", "channels_last"))
    *_, record = run.run([NAME], settings, create=tiny)
    assert [cell.engine for cell in record.cells] == ["eager"]
    assert "DisagreementError: the fp32 logits differ by" in record.left_out[0].reason
    assert "channels_last is left out for ResNet50_vd in fp32" in caplog.text


def test_it_goes_on_where_it_stopped(quick_peaks, tmp_path):
    settings = replace(SETTINGS, precisions=("fp32",), engines=("eager",))
    growing = run.run([NAME], settings, create=tiny)
    next(growing)
    write_json(next(growing), tmp_path / "bench.json")
    growing.close()
    half = read_json(Bench, tmp_path / "bench.json")
    assert [cell.batch_size for cell in half.cells] == [1]
    begun = []
    watch = run.Watch(begin=lambda *place: begun.append(place))
    *_, record = run.run([NAME], settings, before=half, create=tiny, watch=watch)
    assert begun == [(NAME, "cpu", 2)]
    assert record.cells[0] == half.cells[0]
    with pytest.raises(ResnexusError, match="measured with other settings, on another machine or with other versions"):
        next(run.run([NAME], replace(settings, rounds=4), before=half, create=tiny))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engines": ("tensorflow",)}, "unknown engine 'tensorflow'"),
        ({"precisions": ("fp8",)}, "unknown precision 'fp8'"),
        ({"devices": ("tpu",)}, "unknown device 'tpu'"),
        ({"batch_sizes": (0,)}, "batch size 0: expected a whole number of at least 1"),
        ({"plan_backends": ("tvm",)}, "unknown back end 'tvm'"),
        ({"rounds": 0}, "rounds=0"),
        ({"engines": ()}, "nothing to time"),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(ResnexusError, match=message):
        replace(SETTINGS, **options)


def test_an_unknown_network_is_said_before_anything_is_measured(quick_peaks):
    with pytest.raises(ResnexusError, match="unknown"):
        next(run.run(["ResNet51"], SETTINGS))
    assert quick_peaks == []
