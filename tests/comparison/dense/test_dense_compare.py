"""Segmentation and detection from end to end on a few canvases: results, going on, interruptions."""

from dataclasses import replace
from operator import itemgetter

import pytest

pytest.importorskip("pycocotools", reason="COCO's own evaluation: pip install 'resnexus[dense]'")

import torch

from resnexus import ResnexusError, create_model
from resnexus.comparison.dense import compare as module
from resnexus.comparison.dense import sources
from resnexus.comparison.dense.compare import compare_dense
from resnexus.comparison.dense.jobs import dense_trainings
from resnexus.comparison.dense.settings import DenseSettings
from resnexus.comparison.dense.sources import open_source
from resnexus.packages import MissingPackageError
from resnexus.records import read_json
from resnexus.report.dense import page
from resnexus.report.dense.record import DenseComparison, DenseRun, Scene
from resnexus.report.document import Drawing, is_report
from resnexus.weights.checkpoint_file import CheckpointRecord, write_checkpoint
from tests.data.photographs.folders import write_coco, write_voc
from tests.sampled import sampled

DONE = DenseRun(seed=0, scores={"miou": 0.5}, losses=(1.0,), seconds=1.0, found=(Scene(classes=("..",)),))


@pytest.fixture
def run(backbones, short, tmp_path):
    """Compare the small backbones in `tmp_path / "out"`."""

    def start(task="segmentation", **changes):
        options = {"out": tmp_path / "out", "models": backbones, "seeds": 1, "settings": short} | changes
        return compare_dense(task, **options)

    return start


@pytest.fixture
def _undrawn(monkeypatch):
    """Draw no charts: `tests/report` does."""
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="1"/>'
    monkeypatch.setattr(page, "drawn", lambda figure: Drawing(figure=figure, wide=svg, narrow=svg))
    monkeypatch.setattr(page, "rasterise", lambda svg: b"")


@pytest.fixture
def _unwritten(monkeypatch):
    """Leave the page out."""
    monkeypatch.setattr(module, "write_dense_report", lambda comparison, out: None)


@pytest.mark.usefixtures("_undrawn")
@pytest.mark.parametrize(
    ("task", "metrics"),
    sampled([("segmentation", ["miou"]), ("detection", ["map", "map_50"])], ["segmentation"], itemgetter(0)),
)
def test_from_end_to_end(run, tmp_path, task, metrics, monkeypatch, recorded):
    comparison = run(task)
    assert is_report(tmp_path / "out" / "index.html")
    assert read_json(DenseComparison, tmp_path / "out" / "results.json") == comparison
    assert [network.name for network in comparison.networks] == ["plain", "split"]
    for network in comparison.networks:
        (trained,) = network.runs
        assert list(trained.scores) == metrics
        assert len(trained.losses) == 2
        assert [milestone.epoch for milestone in trained.curve] == [1, 2]
        assert trained.curve[1].score == trained.score
        assert len(trained.found) == len(comparison.examples) == 3
    for example in comparison.examples:
        assert bool(example.truth.boxes) == (task == "detection")
        assert bool(example.truth.classes) == (task == "segmentation")
    assert not (tmp_path / "out" / "unfinished").exists()
    # All over again: nothing is trained, and the same comes out.
    monkeypatch.setattr(module, "train", lambda *_: pytest.fail("trained"))
    assert run(task, progress=recorded).networks == comparison.networks
    assert "plain, seed 0: finished before, kept" in recorded.said


@pytest.mark.thorough
@pytest.mark.usefixtures("_unwritten")
def test_an_interrupted_comparison_goes_on_to_the_same_result(run, tmp_path, monkeypatch):
    whole = run(out=tmp_path / "whole")

    class Cut(Exception):
        """Ends the second training after its first epoch."""

    network = module.train

    def cut(job, *arguments):
        if job.row.name == "split":
            learner = sources.collate_canvases
            calls = []

            def collate(canvases):
                calls.append(1)
                if len(calls) > 3:
                    raise Cut
                return learner(canvases)

            monkeypatch.setattr(sources, "collate_canvases", collate)
        return network(job, *arguments)

    monkeypatch.setattr(module, "train", cut)
    with pytest.raises(Cut) as caught:
        run()
    assert caught.value.__notes__ == ["the training of split, seed 0 goes on after its last whole epoch"]
    assert len(list((tmp_path / "out" / "runs").iterdir())) == 1
    assert (next((tmp_path / "out" / "unfinished").iterdir()) / "checkpoints").is_dir()
    monkeypatch.undo()
    monkeypatch.setattr(module, "write_dense_report", lambda comparison, out: None)
    again = run()
    for one, other in zip(again.networks, whole.networks, strict=True):
        kept = [[(r.scores, r.losses, r.curve, r.found) for r in network.runs] for network in (one, other)]
        assert kept[0] == kept[1]


def test_mistakes_are_told_before_anything_is_done(run, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "train", lambda *_: pytest.fail("trained"))
    with pytest.raises(ResnexusError, match="unknown task 'segmentatoin': did you mean 'segmentation'"):
        run("segmentatoin")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "index.html").write_text("mine")
    with pytest.raises(ResnexusError, match="is no report of ours"):
        run()

    def absent(name):
        if name == "pycocotools":
            raise MissingPackageError("pycocotools is not installed")

    monkeypatch.setattr(module, "installed_version", absent)
    with pytest.raises(MissingPackageError, match="pycocotools is not installed"):
        run("detection")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["index.html"]


@pytest.mark.usefixtures("_unwritten")
def test_an_output_stride_reaches_network_and_figures(run, backbones, short, monkeypatch):
    asked = []
    monkeypatch.setattr(module, "train", lambda job, *_: asked.append(job.network()) or DONE)
    options = {"models": backbones[:1], "settings": replace(short, output_stride=4)}
    dilated, plain = (run(**options | changes).networks[0] for changes in ({}, {"settings": short}))
    assert asked[0].backbone(torch.zeros(1, 1, 32, 32))["1"].shape[2:] == (8, 8)
    assert dilated.gflops > 1.2 * plain.gflops
    assert dilated.mparams == plain.mparams


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("photographs")
    return {"coco": write_coco(root / "pets"), "voc": write_voc(root / "pascal")}


@pytest.mark.usefixtures("_undrawn")
@pytest.mark.parametrize(
    ("kind", "task"), sampled([("coco", "segmentation"), ("voc", "detection")], ["voc"], itemgetter(0))
)
def test_photographs_from_end_to_end(run, backbones, folders, tmp_path, kind, task):
    comparison = run(task, data=f"{kind}:{folders[kind]}", image_size=64, models=backbones[1:])
    assert (comparison.data, comparison.image_size) == (f"{kind}:{folders[kind].name}", 64)
    assert (comparison.train_images, comparison.val_images) == (6, 3)
    assert comparison.classes[:2] == (("cat", "dog") if kind == "coco" else ("aeroplane", "bicycle"))
    assert read_json(DenseComparison, tmp_path / "out" / "results.json") == comparison
    for network in comparison.networks:
        assert 0 <= network.runs[0].score <= 1
    truth = comparison.examples[1].truth
    if task == "detection":
        assert [box.label for box in truth.boxes] == ["cat", "dog"]
    else:
        names = comparison.names
        assert {names[letter] for letter in set("".join(truth.classes)) - set(".?")} == {"cat", "dog"}
    text = (tmp_path / "out" / "index.html").read_text()
    assert "canvas" not in text.lower()
    assert f"6 photographs of {kind}:{folders[kind].name} at 64x64 pixels and evaluated on 3 photographs" in text


@pytest.mark.thorough  # twenty seconds of training
@pytest.mark.usefixtures("_unwritten")
def test_a_segmenter_learns_photographs(run, backbones, folders):
    """A few steps are enough to tell red and blue rectangles from grey."""
    settings = DenseSettings(epochs=20, learning_rate=0.01, batch_size=2)
    comparison = run(data=f"coco:{folders['coco']}", image_size=64, settings=settings, models=backbones[:1])
    for network in comparison.networks:
        assert network.runs[0].losses[-1] < 0.5 * network.runs[0].losses[0]
        assert network.runs[0].score > 0.6


@pytest.mark.usefixtures("_unwritten")
def test_backbones_for_photographs_start_from_weights(run, backbones, folders, tmp_path, monkeypatch):
    path = tmp_path / "own.safetensors"
    network = create_model(backbones[0], num_classes=4)
    write_checkpoint(network.state_dict(), path, CheckpointRecord(architecture=backbones[0]))
    options = {"data": f"voc:{folders['voc']}", "image_size": 64, "models": backbones[:1]}
    comparison = run(**options, weights=path)
    assert comparison.settings["weights"] == str(path)
    (job,) = dense_trainings(
        "segmentation",
        models=backbones[:1],
        seeds=1,
        settings=DenseSettings(epochs=1, learning_rate=0.1),
        source=open_source(
            options["data"], "segmentation", DenseSettings(epochs=1, learning_rate=0.1), image_size=64, weights=path
        ),
    )
    stem = job.network().backbone.body.stem.state_dict()
    assert all(torch.equal(stem[name], value) for name, value in network.stem.state_dict().items())
    assert not any(parameter.requires_grad for parameter in job.network().backbone.body.stage0.parameters())
    tuned = DenseSettings(epochs=1, learning_rate=0.1, stage_lr=(0.1, 0.2, 1.0))
    source = open_source(options["data"], "segmentation", tuned, image_size=64, weights=path)
    body = replace(job, settings=tuned, source=source).network().backbone.body
    trained = {name for name, parameter in body.named_parameters() if parameter.requires_grad}
    assert {name.partition(".")[0] for name in trained} == {"stage0", "stage1"}
    assert not any("norm" in name for name in trained)
    monkeypatch.setattr(module, "train", lambda *_: pytest.fail("trained"))
    with pytest.raises(ResnexusError, match=r"own\.safetensors"):
        run(**options | {"models": backbones}, weights=path, out=tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_random_is_the_word_for_weights_that_are_left_out(run):
    wanted = {"random": "unknown backbone for canvases of digits 'nothing'", "imagenet": "imagenet has no effect"}
    for weights, message in wanted.items():
        with pytest.raises(ResnexusError, match=message):
            run(models=["nothing"], weights=weights)
