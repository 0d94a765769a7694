import json
import sys
from importlib import import_module
from pathlib import Path

import pytest

import studies
from resnexus.benchmark.environment import environment
from resnexus.records import read_json
from studies import quantised_siblings, read_pdparams, rewrites
from studies.worth import Worths

SCRIPTS = [
    path.stem for path in Path(studies.__file__).parent.glob("*.py") if "def main(" in path.read_text(encoding="utf-8")
]


def call(monkeypatch, module, *arguments):
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
    return module.main()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_says_how_it_is_called(monkeypatch, capsys, name):
    assert f"python -m studies.{name} " in studies.__doc__
    with pytest.raises(SystemExit) as end:
        call(monkeypatch, import_module(f"studies.{name}"), "--help")
    assert end.value.code == 0
    assert "record" in capsys.readouterr().out


def test_the_record_of_rewrites_is_written_as_it_grows(monkeypatch, tmp_path):
    path = tmp_path / "rewrites.json"
    asked = {}

    def measure_worth(batch_sizes, **options):
        asked.update(options, batch_sizes=batch_sizes)
        yield Worths(environment=here)
        assert read_json(Worths, path).environment == here
        yield Worths(environment=environment())

    here = environment()
    monkeypatch.setattr(rewrites, "measure_worth", measure_worth)
    call(monkeypatch, rewrites, path, "--rounds", 3, "--batch-sizes", 1, 8)
    assert (asked["batch_sizes"], asked["rounds"]) == ([1, 8], 3)
    assert read_json(Worths, path).worths == ()


def test_a_folder_without_trainings_is_said_before_anything_is_measured(monkeypatch, tmp_path):
    pytest.importorskip("sklearn", reason="the digits need scikit-learn: pip install 'resnexus[demo]'")
    with pytest.raises(SystemExit, match=r"holds no .* trained with the default settings"):
        call(monkeypatch, quantised_siblings, tmp_path, tmp_path / "record.json")
    assert list(tmp_path.iterdir()) == []


def test_losses_are_summed_up_over_networks_and_seeds():
    def result(top1, losses, cosine):
        cell = {"loss_points": losses, "top1": top1 - losses, "lost": 2, "gained": 1}
        return {"top1_fp32": top1, "int8": cell | {"max_rel": 1 - cosine, "cosine": cosine, "same_class": 0.9}}

    found = quantised_siblings.summary(
        [result(98.0, 1.0, 0.99), result(96.0, 0.0, 0.9), result(97.0, 0.5, 1.0)], "int8"
    )
    assert found["top1_fp32_mean"] == 97.0
    assert found["top1_mean"] == 96.5
    assert found["loss_points_mean"] == 0.5
    assert found["loss_points_standard_deviation"] == 0.5
    assert found["loss_points_standard_error"] == pytest.approx(0.5 / 3**0.5)
    assert found["loss_points_range"] == [0.0, 1.0]
    assert (found["lost"], found["gained"], found["cosine_smallest"]) == (6, 3, 0.9)


def test_readings_are_summed_up_with_their_spread(monkeypatch, tmp_path):
    seconds = iter([9.0, 0.001, 0.002, 0.003, 0.004, 0.005])  # the first one warms up

    def run(code, path):
        figures = {"seconds": next(seconds), "cpu_seconds": 0.001, "peak_bytes": 300, "result_bytes": 200}
        return f"a line of the library's\n{json.dumps(figures)}\n"

    monkeypatch.setattr(read_pdparams, "run", run)
    path = tmp_path / "file"
    path.write_bytes(bytes(100))
    found = read_pdparams.measure(path, 5, ["resnexus"])["resnexus"]
    assert found["time_ms"] == {
        "median": 3.0,
        "quartiles": [1.5, 4.5],
        "minimum": 1.0,
        "all": [1.0, 2.0, 3.0, 4.0, 5.0],
    }
    assert found["peak_beyond_result_per_file"] == 1.0
