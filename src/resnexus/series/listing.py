"""The names of the networks, all of them or some."""

from __future__ import annotations

from fnmatch import fnmatchcase

from resnexus.architectures.catalog import CATALOG, FAMILIES, NETWORKS
from resnexus.errors import unknown
from resnexus.series.published import checkpoint_entries


def list_models(filter: str | None = None, *, pretrained: bool = False) -> list[str]:
    """Return names of networks, in the order of the published table: the 24 and the 4 baselines by default.

    Args:
        filter: a family, `"Res2Net"`, `"ResNeXt"`, `"SENet"` or `"ResNet"` (the baselines); or a pattern with `*`,
            `?` or `[...]`, which is held against every name that `architecture` knows, those of the small siblings
            too: `"*50*"`, `"*_small"`. Upper and lower case are the same. A pattern that fits nothing gives an
            empty list.
        pretrained: keep those with published weights.

    Raises:
        ResnexusError: neither a pattern nor a family.
    """
    names = list(CATALOG) if filter is None else _filtered(str(filter))
    if pretrained:
        trained = {entry["architecture"] for entry in checkpoint_entries()}
        names = [name for name in names if name in trained]
    return names


def _filtered(filter: str) -> list[str]:
    if any(mark in filter for mark in "*?["):
        return [name for name in NETWORKS if fnmatchcase(name.lower(), filter.lower())]
    family = {known.lower(): known for known in FAMILIES}.get(filter.lower())
    if family is None:
        raise unknown("family", filter, FAMILIES)
    return [name for name, row in CATALOG.items() if row.family == family]
