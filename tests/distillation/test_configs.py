"""The configurations of a run: those that ship, and what is wrong with others."""

import pytest

from resnexus import ResnexusError
from resnexus.distillation.configs import config_text, configs, find_config


def test_those_that_ship():
    assert configs() == ["ssld-published", "ssld-small"]
    small = find_config("ssld-small").changed()
    assert small.embedded.name == "digits"
    assert (small.student, small.fixres.size) == ("Res2Net_small", 10)
    own = find_config("ssld-small").changed(labelled="photos", pool=("more",), student="ResNet50_vd")
    assert (own.student, own.fixres.size, own.stage1_recipe(0).images.image_size) == ("ResNet50_vd", 288, 224)
    assert small.teacher.trained_on == "labelled"
    assert small.stage1_recipe(2).seed == 2
    assert small.stage1_recipe(0).images.image_size == small.baseline_recipe(0, 9).images.image_size == 8


def test_the_published_recipe_is_what_was_published():
    config = find_config("ssld-published")
    first, second, tuned = config.stage1_recipe(0), config.stage2_recipe(0), config.fixres_recipe(0)
    assert (first.epochs, first.global_batch_size, first.optim.weight_decay) == (360, 1024, 4e-5)
    assert first.scaled_lr == pytest.approx(0.4)
    assert (first.distil.distillation, first.distil.teacher_statistics) == ("symmetric_kl", "batch")
    assert (first.distil.label_weight, first.target.mixup_alpha) == (0, 0)
    assert first.images.crop_area == (0.08, 1.0)
    assert (second.scaled_lr, second.optim.weight_decay) == (pytest.approx(0.004), 4e-5)
    assert second.distil == first.distil
    assert (config.fixres.size, tuned.optim.freeze_stages, tuned.distil.distillation) == (320, 5, "none")
    assert (config.mine.per_class, config.mine.min_confidence, config.dedupe) == (4000, 0.0, True)
    assert config.student == "Res2Net50_vd_26w_4s"


def test_the_baseline_differs_from_the_student_in_what_it_learns_alone():
    config = find_config("ssld-small").changed()
    student, baseline = config.stage1_recipe(1).flat(), config.baseline_recipe(1, 7).flat()
    assert {name for name in student if student[name] != baseline[name]} == {"distillation", "label_weight", "epochs"}


def test_one_of_your_own_and_what_a_command_line_changes(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(
        "student: own\nrows: [{name: own, block: bottleneck, depths: [1], width: 4, out_width: 8, stem: small}]\n"
        "stage2: null\n"
    )
    config = find_config(path)
    assert (config.name, config.stage2, config.row("own").width) == ("mine", None, 4)
    changed = config.changed(labelled="photos", pool=("more",), teacher="T.pdparams", student="ResNet_small", seeds=5)
    assert (changed.labelled, changed.pool, changed.teacher.given) == ("photos", ("more",), "T.pdparams")
    assert (changed.student, changed.seeds, changed.embedded) == ("ResNet_small", 5, None)
    assert config.changed() == config
    assert config_text(path).startswith("student: own")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seed: 3", "unknown field of Config 'seed': did you mean 'seeds'"),
        ("seeds: 0", "seeds=0: expected at least 1"),
        ("seeds: many", r"seeds: expected a whole number, found \"many\""),
        ("student: ResNet_smal", "unknown architecture 'ResNet_smal': did you mean 'ResNet_small'"),
        ("embedded: {name: digit}", "unknown embedded data set 'digit': did you mean 'digits'"),
        ("loss: js", "unknown loss 'js'"),
        ("stage1: {epoch: 3}", "unknown setting of a recipe 'epoch'"),
        ("teacher: {trained_on: everything}", "unknown trained_on 'everything'"),
        ("mine: {per_class: 1.5}", "per_class: expected a whole number, found 1.5"),
        ("[1]", "expected settings and their values, found list"),
        ("a: [", "is not YAML"),
    ],
)
def test_what_is_no_configuration(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ResnexusError, match=message):
        find_config(path)


def test_names_and_files_that_are_not_there(tmp_path):
    with pytest.raises(ResnexusError, match="unknown configuration 'ssld': did you mean 'ssld-"):
        find_config("ssld")
    with pytest.raises(ResnexusError, match=r"cannot read the configuration .*none.yaml: No such file"):
        find_config(tmp_path / "none.yaml")
    with pytest.raises(ResnexusError, match="labelled pictures and a pool belong together"):
        find_config("ssld-small").changed(labelled="photos")
