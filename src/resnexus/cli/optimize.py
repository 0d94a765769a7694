"""`resnexus optimize`: the fastest form of a network on this machine, and the rewrites behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from resnexus.cli.options import COMMA, PRECISIONS, Features, OutputStride, Threads, numbers, refuse_others

if TYPE_CHECKING:
    from resnexus.acceleration.backends.contract import Precision
    from resnexus.architectures.network import FeatureNetwork, Network

_PRECISIONS = ("fp32", "bf16", "fp16")
"""That can be planned without images to calibrate with; fp16 on a GPU."""

_Network = Annotated[
    str | None,
    typer.Argument(
        metavar="NETWORK", help="A network of `resnexus list`: plan it on this machine, which takes minutes."
    ),
]
_Device = Annotated[
    str,
    typer.Option(
        metavar="auto|cpu|gpu", help="Where to compute: cpu; gpu or cuda, the first GPU; auto, a GPU if there is one."
    ),
]


def optimize(
    context: typer.Context,
    network: _Network = None,
    explain: Annotated[
        str | None, typer.Option(metavar="REWRITE", help="Explain one rewrite, or all the rewrites of a NETWORK.")
    ] = None,
    list_rewrites: Annotated[bool, typer.Option("--list", help="List the rewrites.")] = False,
    features: Features = None,
    output_stride: OutputStride = None,
    batch_sizes: Annotated[str, typer.Option(help=f"Batch sizes to plan for, {COMMA}.")] = "1",
    precision: Annotated[
        str, typer.Option(metavar=PRECISIONS, help="What the network computes in; fp16 on a GPU alone.")
    ] = "fp32",
    device: _Device = "cpu",
    image_size: Annotated[int, typer.Option(help="Pixels on a side.")] = 224,
    threads: Threads = None,
    replan: Annotated[bool, typer.Option("--replan", help="Search even if there is a plan.")] = False,
    clear: Annotated[
        bool, typer.Option("--clear", help="Remove all plans and built networks of this machine.")
    ] = False,
    kernels: Annotated[
        bool, typer.Option("--kernels", help="With --clear: our compiled kernels too, which all networks share.")
    ] = False,
) -> None:
    """Find the fastest form of a network on this machine, check that it computes the same, and keep the plan.

    `resnexus.accelerate` opens the same plan from Python, for any weights. Plans and built networks lie in `engines`
    below RESNEXUS_HOME or the system's place for caches; RESNEXUS_ENGINES_BYTES says how much they may take, 4 GiB if
    it is not set.
    """
    from resnexus.errors import ResnexusError, unknown

    if (network is not None) + (explain is not None) + list_rewrites + clear != 1:
        raise ResnexusError("give one of: a network, --explain REWRITE, --list, --clear")
    if network is None:
        instead = "--clear" if clear else "--list" if list_rewrites else "--explain"
        refuse_others(context, {"clear", "kernels"} if clear else {"list_rewrites", "explain"}, instead)
    elif kernels:
        raise ResnexusError("--kernels has no effect without --clear")
    if precision not in _PRECISIONS:
        raise unknown("precision", precision, _PRECISIONS)
    if clear:
        print(_cleared(kernels=kernels))
        return
    if network is None:
        print("\n\n".join(_explanations(explain)))
        return
    from resnexus.acceleration.accelerate import accelerate
    from resnexus.architectures.catalog import architecture
    from resnexus.devices import device_kind, present_device
    from resnexus.parity.golden import golden_features, golden_network
    from resnexus.progress import Shown

    row = architecture(network)
    present_device(device_kind(device))  # before the network is made
    # The same weights every time: what is built is found again.
    if features is None:
        model: Network | FeatureNetwork = golden_network(row, output_stride=output_stride)
    else:
        model = golden_features(row, numbers(features, "--features"), output_stride)
    engine = accelerate(
        model,
        device=device,
        precision=cast("Precision", precision),
        batch_sizes=numbers(batch_sizes, "--batch-sizes"),
        image_size=image_size,
        threads=threads,
        replan=replan,
        progress=Shown(),
    )
    print(engine.explain())


def _cleared(*, kernels: bool) -> str:
    from resnexus.acceleration.cuda.tuning import remove_tables
    from resnexus.acceleration.native.compiler import libraries, libraries_bytes, remove_libraries
    from resnexus.acceleration.planning.cache import EngineCache

    cache = EngineCache()
    remove_tables()
    built = f"removed {_megabytes(cache.clear())} of built networks, and all plans, from {cache.folder}"
    if kernels:
        return f"{built}\nremoved {_megabytes(remove_libraries())} of compiled kernels from {libraries()}"
    if kept := libraries_bytes():
        return (
            f"{built}\nkept {_megabytes(kept)} of compiled kernels in {libraries()}: --clear --kernels removes them too"
        )
    return built


def _megabytes(count: int) -> str:
    return f"{count / 1e6:,.0f} MB"


def _explanations(name: str | None) -> list[str]:
    from resnexus.architectures.catalog import NETWORKS, architecture
    from resnexus.rewrites.table import REWRITES, applicable, explain

    if name is None:
        return [explain(rewrite) for rewrite in REWRITES]
    if name.lower() in {known.lower() for known in NETWORKS}:
        return [explain(rewrite) for rewrite in applicable(architecture(name))]
    return [explain(name)]
