import pytest

from resnexus.comparison.series import QUICK, line_name, published_series


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
