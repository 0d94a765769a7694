"""`resnexus train`, from the recipe to a file that other commands take."""

import json

import pytest

from resnexus.weights import read_record


def test_recipes_are_listed_and_printed_whole(command):
    names = command("train", "--list-recipes").stdout.split()
    assert len(names) == 36
    assert {"SE_ResNet18_vd", "Res2Net50_vd_26w_4s_ssld", "rsb-a2", "finetune-small"} <= set(names)
    done = command(
        "train", "--recipe", "SE_ResNet18_vd", "--print-recipe", "--json", "--set", "optim.lr=0.05", "--set", "epochs=3"
    )
    recipe = json.loads(done.stdout)
    assert (recipe["lr"], recipe["epochs"], recipe["weight_decay"]) == (0.05, 3, 7e-5)
    assert {
        "label_smoothing",
        "mixup_alpha",
        "global_batch_size",
        "image_size",
        "workers",
        "seed",
        "lr_schedule",
    } <= set(recipe)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--recipe", "SE_ResNet18"], "error: unknown recipe 'SE_ResNet18': did you mean 'SE_ResNet18_vd'"),
        (["--set", "epoch=3", "--model", "ResNet_small"], "did you mean 'epochs'"),
        (["--set", "epochs", "--model", "ResNet_small"], "error: "),
        ([], "error: recipe 'finetune-small' is for any network: say which with --model"),
        (["--model", "ResNet_smal"], "did you mean 'ResNet_small'"),
        (
            ["--recipe", "usi", "--model", "ResNet_small"],
            "error: this recipe learns from a teacher (distillation='kl'): name",
        ),
        (["--model", "ResNet_small", "--teacher", "SENet154_vd"], "error: a teacher has no effect on this recipe"),
        (["--recipe", "usi", "--model", "ResNet_small", "--teacher", "gone.safetensors"], "gone.safetensors"),
        (["--model", "ResNet_small", "--set", "image_size=64"], "error: image_size=64 has no effect on 'digits'"),
        (["--model", "ResNet_small", "--data", "nowhere"], "error: data 'nowhere': no folder"),
        (["--model", "ResNet_small", "--weights", "gone.safetensors"], "gone.safetensors"),
    ],
)
def test_a_mistake_is_one_sentence(command, monkeypatch, tmp_path, options, message):
    monkeypatch.chdir(tmp_path)
    done = command("train", *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_training_and_the_same_command_again(command, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    options = ["--model", "ResNet_small", "--data", "digits", "--device", "cpu", "--out", "run"]
    options += ["--set", "global_batch_size=128", "--set", "warmup_epochs=0", "--set", "stage_lr_decay=1"]
    done = command("train", *options, "--set", "epochs=1")
    assert done.returncode == 0, done.stderr
    best, wrote = done.stdout.splitlines()[-2:]
    assert best.startswith("best: ")
    assert " % top-1 after epoch 1 of 1; " in best
    assert wrote == "wrote run/best.safetensors, run/last.safetensors, run/metrics.csv"
    (row,) = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[1:]
    record = read_record(tmp_path / "run" / "best.safetensors")
    assert record.architecture.name == "ResNet_small"
    assert record.metrics["epoch"] == 1
    assert f",{record.metrics['top1']}," in row

    again = command("train", *options, "--set", "epochs=1")
    assert again.stdout.splitlines()[-2].split(";")[0] == best.split(";")[0]
    assert len(json.loads((tmp_path / "run" / "starts.json").read_text())) == 2
    other = command("train", *options, "--set", "epochs=2")
    assert other.returncode == 2
    assert "epochs" in other.stderr
