"""Launches of every kernel on random numbers, with what they should compute; imported where kernels are interpreted."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from guarded import Guarded, parameter
from judging import UNITS, Launch, sums_error, wide
from torch import Tensor
from torch.nn import functional as F

from resnexus.acceleration.cuda.kernels import (
    gate,
    grouped,
    grouped_pointwise,
    head,
    pointwise,
    pools,
    preprocess,
    res2,
    stem,
)
from resnexus.acceleration.cuda.kernels.epilogue import workspace_numbers
from resnexus.acceleration.cuda.kernels.settings import Product, Tile

Around = tuple[int, int]
NONE: Around = (0, 0)


LARGE = Product(pixels=128, outputs=64, depth=64)
PACK = Product(pixels=128, outputs=32, depth=32)
"""Few programs, each of which costs the interpreter as much as one of a small tile."""


def _dtype(name: str) -> torch.dtype:
    return getattr(torch, name)


def _halved(size: tuple[int, int], stride: int) -> tuple[int, int]:
    return (-(-size[0] // stride), -(-size[1] // stride))


def _workspace(numbers: int) -> Guarded | None:
    return Guarded.like((1, numbers, 1, 1), torch.float32) if numbers else None


def _pool(
    call: Callable[..., None],
    expected: Callable[[Tensor], Tensor],
    stride: int,
    *,
    channels: int = 24,
    size: tuple[int, int] = (5, 7),
    images: int = 2,
    dtype: str = "float16",
    x_around: Around = NONE,
    out_around: Around = NONE,
    **options: object,
) -> Launch:
    x = Guarded.random((images, channels, *size), _dtype(dtype), around=x_around)
    out = Guarded.like((images, channels, *_halved(size, stride)), _dtype(dtype), around=out_around)
    return Launch(
        run=lambda: call(x.view, out.view, **options),
        images=(x,),
        out=out,
        exact=lambda: (expected(wide(x.view)), sums_error(9, expected(wide(x.view).abs()))),
    )


def average_pool_2x2(**options: object) -> Launch:
    def expected(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False)

    return _pool(pools.average_pool_2x2, expected, 2, **options)


def average_pool_3x3(*, stride: int = 2, counts_padding: bool = False, **options: object) -> Launch:
    def expected(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 3, stride, 1, count_include_pad=counts_padding)

    call = partial(pools.average_pool_3x3, stride=stride, counts_padding=counts_padding)
    return _pool(call, expected, stride, **options)


def max_pool_3x3(**options: object) -> Launch:
    return _pool(pools.max_pool_3x3, lambda x: F.max_pool2d(x, 3, 2, 1), 2, **options)


def mean(
    *,
    channels: int = 40,
    size: tuple[int, int] = (5, 7),
    images: int = 2,
    dtype: str = "float16",
    x_around: Around = NONE,
    settings: Tile | None = None,
) -> Launch:
    x = Guarded.random((images, channels, *size), _dtype(dtype), around=x_around)
    out = Guarded.like((images, channels, 1, 1), _dtype(dtype))

    def exact() -> tuple[Tensor, Tensor]:
        magnitude = wide(x.view).abs().mean((2, 3), keepdim=True)
        return wide(x.view).mean((2, 3), keepdim=True), sums_error(size[0] * size[1], magnitude)

    return Launch(lambda: head.mean(x.view, out.rows, settings=settings), (x,), out, exact)


def mean_linear(
    *,
    channels: int = 40,
    outputs: int = 21,
    size: tuple[int, int] = (3, 3),
    images: int = 2,
    dtype: str = "float16",
    bias: bool = True,
    out_dtype: str | None = None,
    settings: Product | None = None,
) -> Launch:
    kind = _dtype(dtype)
    x = Guarded.random((images, channels, *size), kind)
    out = Guarded.like((images, outputs, 1, 1), _dtype(out_dtype or dtype))
    weight = parameter(outputs, channels, dtype=kind, scale=channels**-0.5)
    b = parameter(outputs, dtype=kind) if bias else None
    row = settings or head.mean_linear_default(x.view, out.rows)
    workspace = _workspace(head.mean_linear_workspace_numbers(x.view, out.rows, row))
    assert workspace is not None

    def exact() -> tuple[Tensor, Tensor]:
        means = wide(x.view).mean((2, 3))
        errors = UNITS[kind] * means.abs() + sums_error(size[0] * size[1], wide(x.view).abs().mean((2, 3)))
        expected = F.linear(means, wide(weight), None if b is None else wide(b))
        magnitude = F.linear(means.abs(), wide(weight).abs())
        allowed = F.linear(errors, wide(weight).abs()) + sums_error(channels + 1, magnitude + expected.abs())
        return expected[:, :, None, None], allowed[:, :, None, None]

    def run() -> None:
        head.mean_linear(x.view, weight, b, out.rows, workspace=workspace.rows[0], settings=settings)

    return Launch(run, (x,), out, exact, workspace)


def excite(
    *,
    channels: int = 40,
    hidden: int = 5,
    gates: int | None = None,
    size: tuple[int, int] = (5, 7),
    images: int = 2,
    dtype: str = "float16",
    x_around: Around = NONE,
    settings: Tile | None = None,
) -> Launch:
    kind, gates = _dtype(dtype), gates or channels
    x = Guarded.random((images, channels, *size), kind, around=x_around)
    out = Guarded.like((images, gates, 1, 1), kind)
    w1 = parameter(hidden, channels, dtype=kind, scale=channels**-0.5 * size[0])
    b1 = parameter(hidden, dtype=kind)
    w2, b2 = parameter(gates, hidden, dtype=kind), parameter(gates, dtype=kind)
    row = settings or gate.excite_default(x.view)
    workspace = _workspace(gate.excite_workspace_numbers(x.view, hidden, row))
    assert workspace is not None

    def exact() -> tuple[Tensor, Tensor]:
        numbers = wide(x.view)
        squeezed = F.relu(F.linear(numbers.mean((2, 3)), wide(w1), wide(b1)))
        magnitude = F.linear(numbers.abs().mean((2, 3)), wide(w1).abs(), wide(b1).abs())
        error = sums_error(size[0] * size[1] + channels, magnitude)
        sums = F.linear(squeezed, wide(w2), wide(b2))
        magnitude = F.linear(squeezed, wide(w2).abs(), wide(b2).abs())
        allowed = F.linear(error, wide(w2).abs()) + sums_error(hidden + 1, magnitude)
        gates = torch.sigmoid(sums)
        return gates[:, :, None, None], (allowed / 4 + 2.0**-22 * gates)[:, :, None, None]

    def run() -> None:
        gate.excite(x.view, w1, b1, w2, b2, out.rows, workspace=workspace.rows[0], settings=settings)

    return Launch(run, (x,), out, exact, workspace)


def apply(
    *,
    channels: int = 24,
    size: tuple[int, int] = (5, 7),
    images: int = 2,
    dtype: str = "float16",
    x_around: Around = NONE,
    out_around: Around = NONE,
    settings: Tile | None = None,
) -> Launch:
    kind, shape = _dtype(dtype), (images, channels, *size)
    branch, shortcut = Guarded.random(shape, kind, around=x_around), Guarded.random(shape, kind)
    gates = Guarded.random((images, channels, 1, 1), kind)
    out = Guarded.like(shape, kind, around=out_around)

    def exact() -> tuple[Tensor, Tensor]:
        product = wide(branch.view) * wide(gates.view)
        return F.relu(product + wide(shortcut.view)), sums_error(2, product.abs() + wide(shortcut.view).abs())

    return Launch(
        lambda: gate.apply(branch.view, gates.rows, shortcut.view, out.view, settings=settings),
        (branch, shortcut, gates),
        out,
        exact,
    )


def conv1x1(
    *,
    channels: int = 24,
    outputs: int = 40,
    size: tuple[int, int] = (5, 7),
    images: int = 2,
    dtype: str = "float16",
    stride: int = 1,
    relu: bool = True,
    bias: bool = True,
    residual: bool = False,
    gated: bool = False,
    copied: int = 0,
    x_around: Around = NONE,
    out_around: Around = NONE,
    settings: Product | None = LARGE,
) -> Launch:
    """A 1x1; with `copied`, its last outputs are written again behind all of them, in the same tensor."""
    kind, shape = _dtype(dtype), (images, outputs, *_halved(size, stride))
    x = Guarded.random((images, channels, *size), kind, around=x_around)
    both = Guarded.like((images, outputs + copied, *shape[2:]), kind, around=out_around)
    out, copy = both.view[:, :outputs], both.view[:, outputs:] if copied else None
    weight = parameter(outputs, channels, 1, 1, dtype=kind, scale=channels**-0.5)
    b = parameter(outputs, dtype=kind) if bias else None
    added = Guarded.random(shape, kind, around=out_around) if residual else None
    gates = parameter(images, outputs, dtype=kind) if gated else None
    workspace = _workspace(workspace_numbers(out, settings or pointwise.default(x.view, out)))

    def exact() -> tuple[Tensor, Tensor]:
        strided = wide(x.view)[:, :, ::stride, ::stride]
        sums = F.conv2d(strided, wide(weight), None if b is None else wide(b))
        magnitude = F.conv2d(strided.abs(), wide(weight).abs(), None if b is None else wide(b).abs())
        if gates is not None:
            sums, magnitude = sums * wide(gates)[:, :, None, None], magnitude * wide(gates).abs()[:, :, None, None]
        if added is not None:
            sums, magnitude = sums + wide(added.view), magnitude + wide(added.view).abs()
        expected, allowed = F.relu(sums) if relu else sums, sums_error(channels + 3, magnitude)
        twice = [*range(outputs), *range(outputs - copied, outputs)]
        return expected[:, twice], allowed[:, twice]

    def run() -> None:
        pointwise.conv1x1(
            x.view,
            weight,
            b,
            None if added is None else added.view,
            out,
            relu=relu,
            stride=stride,
            gate=gates,
            copy=copy,
            workspace=None if workspace is None else workspace.rows[0],
            settings=settings,
        )

    return Launch(run, (x,) if added is None else (x, added), both, exact, workspace)


def res2_conv3x3(
    *,
    channels: int = 26,
    outputs: int | None = None,
    groups: int = 1,
    size: tuple[int, int] = (5, 7),
    images: int = 2,
    dtype: str = "float16",
    stride: int = 1,
    addend: bool = False,
    residual: bool = False,
    relu: bool = True,
    x_around: Around = NONE,
    addend_around: Around = NONE,
    out_around: Around = NONE,
    settings: Product | None = LARGE,
) -> Launch:
    kind, outputs = _dtype(dtype), outputs or channels
    x = Guarded.random((images, channels, *size), kind, around=x_around)
    before = Guarded.random((images, channels, *size), kind, around=addend_around) if addend else None
    out = Guarded.like((images, outputs, *_halved(size, stride)), kind, around=out_around)
    added = Guarded.random(tuple(out.view.shape), kind) if residual else None
    fan = 9 * channels // groups
    plain = parameter(outputs, channels // groups, 3, 3, dtype=kind, scale=fan**-0.5)
    weight = grouped.packed(plain, groups) if groups > 1 else plain
    b = parameter(outputs, dtype=kind)
    workspace = _workspace(workspace_numbers(out.view, settings or res2.default(x.view, weight, out.view)))

    def exact() -> tuple[Tensor, Tensor]:
        numbers, magnitudes = wide(x.view), wide(x.view).abs()
        rounding = torch.zeros_like(numbers)
        if before is not None:
            numbers, magnitudes = numbers + wide(before.view), magnitudes + wide(before.view).abs()
            rounding = UNITS[kind] * numbers.abs()
        sums = F.conv2d(numbers, wide(plain), wide(b), stride, 1, groups=groups)
        magnitude = F.conv2d(magnitudes, wide(plain).abs(), wide(b).abs(), stride, 1, groups=groups)
        allowed = F.conv2d(rounding, wide(plain).abs(), None, stride, 1, groups=groups)
        if added is not None:
            sums, magnitude = sums + wide(added.view), magnitude + wide(added.view).abs()
        return F.relu(sums) if relu else sums, allowed + sums_error(fan + 2, magnitude)

    def run() -> None:
        res2.conv3x3(
            x.view,
            None if before is None else before.view,
            weight,
            b,
            out.view,
            stride=stride,
            residual=None if added is None else added.view,
            relu=relu,
            workspace=None if workspace is None else workspace.rows[0],
            settings=settings,
        )

    read = [guarded for guarded in (x, before, added) if guarded is not None]
    return Launch(run, tuple(read), out, exact, workspace)


def res2_block(
    *,
    channels: int = 20,
    width: int = 6,
    scale: int = 3,
    outputs: int = 24,
    size: tuple[int, int] = (4, 5),
    images: int = 2,
    dtype: str = "float16",
) -> Launch:
    """A chained Res2 branch without copies: the first 1x1 writes the untouched part behind where the splits go, too."""
    kind, inner = _dtype(dtype), width * scale
    x = Guarded.random((images, channels, *size), kind)
    between = Guarded.like((images, 2 * inner, *size), kind)
    out = Guarded.like((images, outputs, *size), kind)
    first = parameter(inner, channels, 1, 1, dtype=kind, scale=channels**-0.5)
    splits = [parameter(width, width, 3, 3, dtype=kind, scale=(9 * width) ** -0.5) for _ in range(scale - 1)]
    last = parameter(outputs, inner, 1, 1, dtype=kind, scale=inner**-0.5)

    def exact() -> tuple[Tensor, Tensor]:
        def convolved(numbers: Tensor, error: Tensor, weight: Tensor, padding: int) -> tuple[Tensor, Tensor]:
            magnitude = F.conv2d(numbers.abs(), weight.abs(), padding=padding)
            sums = F.relu(F.conv2d(numbers, weight, padding=padding))
            allowed = F.conv2d(error, weight.abs(), padding=padding) + sums_error(weight[0].numel(), magnitude)
            return sums, allowed + UNITS[kind] * sums

        numbers = wide(x.view)
        parts, errors = convolved(numbers, torch.zeros_like(numbers), wide(first), 0)
        found, found_errors = [], []
        for index, weight in enumerate(splits):
            part, error = parts.chunk(scale, 1)[index], errors.chunk(scale, 1)[index]
            if found:
                part, error = part + found[-1], error + found_errors[-1] + UNITS[kind] * (part + found[-1]).abs()
            part, error = convolved(part, error, wide(weight), 1)
            found.append(part)
            found_errors.append(error)
        joined = torch.cat([*found, parts[:, -width:]], 1), torch.cat([*found_errors, errors[:, -width:]], 1)
        return convolved(*joined, wide(last), 0)

    def run() -> None:
        parts, joined = between.view.chunk(2, 1)
        tile = Product(pixels=64, outputs=32, depth=32)
        pointwise.conv1x1(x.view, first, None, None, parts, relu=True, copy=joined[:, -width:], settings=tile)
        for index, weight in enumerate(splits):
            start = index * width
            before = joined[:, start - width : start] if index else None
            split = joined[:, start : start + width]
            res2.conv3x3(parts[:, start : start + width], before, weight, None, split, settings=tile)
        pointwise.conv1x1(joined, last, None, None, out.view, relu=True, settings=tile)

    return Launch(run, (x,), out, exact, between)


def grouped_conv3x3(
    *,
    channels: int = 64,
    groups: int = 16,
    pack: int = 32,
    size: tuple[int, int] = (5, 7),
    images: int = 2,
    dtype: str = "float16",
    stride: int = 1,
    settings: Product | None = PACK,
) -> Launch:
    kind, shape = _dtype(dtype), (images, channels, *_halved(size, stride))
    x, out = Guarded.random((images, channels, *size), kind), Guarded.like(shape, kind)
    fan = 9 * channels // groups
    plain = parameter(channels, channels // groups, 3, 3, dtype=kind, scale=fan**-0.5)
    weight, b = grouped.packed(plain, groups, pack), parameter(channels, dtype=kind)
    workspace = _workspace(workspace_numbers(out.view, settings or grouped.default(x.view, weight, out.view)))

    def exact() -> tuple[Tensor, Tensor]:
        sums = F.conv2d(wide(x.view), wide(plain), wide(b), stride, 1, groups=groups)
        magnitude = F.conv2d(wide(x.view).abs(), wide(plain).abs(), wide(b).abs(), stride, 1, groups=groups)
        return F.relu(sums), sums_error(fan + 1, magnitude)

    def run() -> None:
        numbers = None if workspace is None else workspace.rows[0]
        grouped.conv3x3(x.view, weight, b, out.view, stride=stride, workspace=numbers, settings=settings)

    return Launch(run, (x,), out, exact, workspace)


def grouped_conv3x3_conv1x1(
    *,
    channels: int = 64,
    groups: int = 16,
    pack: int = 32,
    outputs: int = 40,
    size: tuple[int, int] = (5, 7),
    images: int = 2,
    dtype: str = "float16",
    stride: int = 1,
    residual: bool = True,
    relu: bool = True,
    settings: Product | None = LARGE,
) -> Launch:
    kind, shape = _dtype(dtype), (images, outputs, *_halved(size, stride))
    x, out = Guarded.random((images, channels, *size), kind), Guarded.like(shape, kind)
    added = Guarded.random(shape, kind) if residual else None
    fan = 9 * channels // groups
    plain = parameter(channels, channels // groups, 3, 3, dtype=kind, scale=fan**-0.5)
    inner_weight, inner_bias = grouped.packed(plain, groups, pack), parameter(channels, dtype=kind)
    weight = parameter(outputs, channels, 1, 1, dtype=kind, scale=channels**-0.5)
    b = parameter(outputs, dtype=kind)

    def exact() -> tuple[Tensor, Tensor]:
        inner = F.relu(F.conv2d(wide(x.view), wide(plain), wide(inner_bias), stride, 1, groups=groups))
        magnitude = F.conv2d(wide(x.view).abs(), wide(plain).abs(), wide(inner_bias).abs(), stride, 1, groups=groups)
        error = sums_error(fan + 1, magnitude) + UNITS[kind] * inner
        sums, weights = F.conv2d(inner, wide(weight), wide(b)), wide(weight).abs()
        magnitude = F.conv2d(inner, weights, wide(b).abs())
        if added is not None:
            sums, magnitude = sums + wide(added.view), magnitude + wide(added.view).abs()
        return F.relu(sums) if relu else sums, F.conv2d(error, weights) + sums_error(channels + 2, magnitude)

    def run() -> None:
        grouped_pointwise.conv3x3_conv1x1(
            x.view,
            inner_weight,
            inner_bias,
            weight,
            b,
            None if added is None else added.view,
            out.view,
            stride=stride,
            relu=relu,
            settings=settings,
        )

    return Launch(run, (x,) if added is None else (x, added), out, exact)


def stem_conv(
    *,
    kernel: int = 3,
    outputs: int = 32,
    channels: int = 3,
    size: tuple[int, int] = (9, 11),
    images: int = 2,
    dtype: str = "float16",
    stride: int = 2,
    x_around: Around = NONE,
    settings: Product | None = LARGE,
) -> Launch:
    kind = _dtype(dtype)
    x = Guarded.random((images, channels, *size), kind, around=x_around)
    out = Guarded.like((images, outputs, *_halved(size, stride)), kind)
    patch = kernel * kernel * channels
    weight = parameter(outputs, channels, kernel, kernel, dtype=kind, scale=patch**-0.5)
    b = parameter(outputs, dtype=kind)

    def exact() -> tuple[Tensor, Tensor]:
        sums = F.conv2d(wide(x.view), wide(weight), wide(b), stride, kernel // 2)
        magnitude = F.conv2d(wide(x.view).abs(), wide(weight).abs(), wide(b).abs(), stride, kernel // 2)
        return F.relu(sums), sums_error(patch + 1, magnitude)

    return Launch(
        lambda: stem.convolve(x.view, weight, b, out.view, stride=stride, settings=settings), (x,), out, exact
    )


def normalise(
    *,
    size: tuple[int, int] = (5, 7),
    images: int = 2,
    dtype: str = "float16",
    out_around: Around = NONE,
    settings: Tile | None = None,
) -> Launch:
    pixels = torch.randint(0, 256, (images, *size, 3), dtype=torch.uint8)
    x = Guarded(pixels, pixels.permute(0, 3, 1, 2))
    out = Guarded.like((images, 3, *size), _dtype(dtype), around=out_around)
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

    def exact() -> tuple[Tensor, Tensor]:
        means, stds = (torch.tensor(numbers, dtype=torch.float64)[:, None, None] for numbers in (mean, std))
        return (wide(x.view) / 255 - means) / stds, sums_error(4, (wide(x.view) / 255 + means) / stds)

    return Launch(lambda: preprocess.normalise(pixels, mean, std, out.view, settings=settings), (x,), out, exact)


TABLES = {
    "average_pool_2x2": pools.TILES,
    "max_pool_3x3": pools.TILES,
    "mean": head.TILES,
    "mean_linear": pointwise.PRODUCTS,
    "excite": gate.EXCITE,
    "apply": gate.APPLY,
    "conv1x1": pointwise.PRODUCTS,
    "res2_conv3x3": res2.PRODUCTS,
    "grouped_conv3x3_conv1x1": grouped_pointwise.PRODUCTS,
    "stem_conv": stem.PRODUCTS,
    "normalise": preprocess.TILES,
}
"""Launch -> the rows that any shape can be cut up by."""
