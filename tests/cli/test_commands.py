"""The commands as a user types them."""

import json
import subprocess
import sys
from importlib.metadata import entry_points

import pytest

from resnexus import list_models

VERBS = ("list", "info", "compare", "bench", "fetch", "convert", "verify", "optimize")


def resnexus(*arguments, **options):
    command = [sys.executable, "-c", "from resnexus.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_the_command_is_installed():
    (script,) = entry_points(group="console_scripts", name="resnexus")
    assert script.value == "resnexus.cli:main"


def test_help_answers_at_once():
    # The promise is 0.3 s on an idle machine; user time does not grow on a busy one.
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    done = resnexus("--help")
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 0.3
    assert done.returncode == 0
    for verb in VERBS:
        assert f"  {verb} " in done.stdout


def test_every_verb_explains_every_option():
    for verb in VERBS:
        done = resnexus(verb, "--help")
        assert done.returncode == 0
        options = [line for line in done.stdout.splitlines() if line.lstrip().startswith("--")]
        assert options


def test_list_shows_all_networks():
    done = resnexus("list")
    assert [line.split()[0] for line in done.stdout.splitlines()[1:] if line.strip()] == list_models()


def test_list_filters_and_sorts():
    rows = json.loads(resnexus("list", "50*vd", "--family", "senet", "--sort", "top1", "--json").stdout)
    assert rows == []
    rows = json.loads(resnexus("list", "*50*vd*", "--family", "senet", "--sort", "top1", "--json").stdout)
    assert [row["name"] for row in rows] == ["SE_ResNet50_vd", "SE_ResNeXt50_vd_32x4d"]
    assert rows[1]["gflops"] == 11.20
    checkpoints = json.loads(resnexus("list", "--pretrained", "--json").stdout)
    assert len(checkpoints) == 27


def test_info_tells_what_is_wrong_and_why():
    done = resnexus("info", "resnext50_32X4D")
    assert done.returncode == 0
    assert "25.03 M" in done.stdout
    assert "8.46 GFLOPs" in done.stdout
    assert (
        "8.02 GFLOPs, counted 8.46: the page divides the weights of the grouped convolutions by the 32" in done.stdout
    )
    assert "23.64 M parameters, counted 25.03" in done.stdout
    content = json.loads(resnexus("info", "ResNeXt50_32x4d", "--json").stdout)
    assert content["complexity"]["parameters"] == 25028904
    assert content["features"][3] == {"name": "stage3", "channels": 2048, "reduction": 32}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "resnext5"], "error: unknown architecture 'resnext5': did you mean"),
        (["info", "SE_ResNet18_vd", "--image-size", "0"], "error: image_size=0: expected at least 1 pixel"),
        (["list", "--family", "vit"], "error: unknown family 'vit': accepted are Res2Net, ResNeXt, ResNet, SENet"),
        (["list", "--sort", "top2"], "error: unknown column 'top2'"),
        (["compare", "--data", "digit"], "error: data 'digit': no folder with train/ and val/ is there"),
        (
            ["compare", "--models", "ResNet_smal"],
            "error: unknown architecture 'ResNet_smal': did you mean 'ResNet_small'",
        ),
        (["compare", "--models", "ResNet_small,ResNet_small"], "'ResNet_small' is named 2 times"),
        (["compare", "--batch-sizes", "1,x"], "error: '1,x': expected whole numbers separated by commas"),
        (["compare", "--precisions", "fp8"], "error: unknown precision 'fp8'"),
        (["compare", "--epochs", "0"], "error: epochs=0: expected at least 1"),
        (["compare", "--series", "some"], "error: unknown series mode 'some'"),
        (["compare", "--seeds", "0"], "error: seeds=0: expected at least 1"),
        (["compare", "--out", "/proc/report"], "error: cannot write /proc/report/.writable"),
        (["compare", "--epochs", "many"], "Invalid value for '--epochs'"),
        (["compair"], "No such command 'compair'"),
        (["optimize"], "error: give one of: a network, --explain REWRITE, --list"),
        (["optimize", "--explain", "fold_bn"], "error: unknown rewrite 'fold_bn': did you mean 'fold_batch_norm'"),
        (["optimize", "SE_ResNet18_vd", "--precision", "fp8"], "error: unknown precision 'fp8'"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(tmp_path, arguments, message):
    done = resnexus(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_rewrites_are_explained():
    everything = resnexus("optimize", "--list").stdout
    assert everything.count("Exact because: ") == everything.count("Applies to: ") > 8
    assert "gate_before_projection" not in resnexus("optimize", "--explain", "Res2Net50_26w_4s").stdout
    assert "gate_before_projection" in resnexus("optimize", "--explain", "senet154_vd").stdout


def test_a_closed_pipe_is_no_traceback():
    command = f"{sys.executable} -c 'from resnexus.cli import main; main()' list | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
