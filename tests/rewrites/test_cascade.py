from __future__ import annotations

import torch
from torch import nn

from resnexus.rewrites.cascade import Cascade, SummedProjection
from resnexus.rewrites.folding import BiasedConv


def _conv(value: float, bias: float | None) -> BiasedConv:
    conv = nn.Conv2d(1, 1, 1, bias=bias is not None)
    nn.init.constant_(conv.weight, value)
    if bias is not None:
        nn.init.constant_(conv.bias, bias)
    return BiasedConv(conv.requires_grad_(False), relu=False)


def _cascade(**options) -> Cascade:
    entries = [_conv(factor, 0.0) for factor in (1, 10, 100)]
    splits = [_conv(2, 0.0), _conv(3, 0.0)]
    return Cascade(entries, splits, nn.Identity(), cells=[(1,)] * 3, **options)


def test_chained_parts_by_hand():
    x = torch.ones(1, 1, 1, 1)
    parts = _cascade(chained=True, concatenated=False)(x)
    assert [float(part) for part in parts] == [2, 3 * (10 + 2), 100]
    assert _cascade(chained=True)(x).flatten().tolist() == [2, 36, 100]


def test_unchained_parts_by_hand():
    assert _cascade(chained=False)(torch.ones(1, 1, 1, 1)).flatten().tolist() == [2, 30, 100]


def test_summed_projection_by_hand():
    parts = [torch.full((1, 1, 1, 1), value) for value in (1.0, 2.0, 3.0)]
    projection = SummedProjection([_conv(1, 0.5), _conv(10, None), _conv(100, None)])
    assert float(projection(parts)) == 0.5 + 1 + 20 + 300
