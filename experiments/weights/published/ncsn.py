"""The layout of ermongroup/ncsn's and ermongroup/ncsnv2's files, of `models.NCSN` and `models.NCSNv2`."""

from __future__ import annotations

from experiments.weights.layout import Layout
from models.networks.ncsn import NCSN
from models.networks.ncsnv2 import NCSNv2
from models.networks.refinenet import ResidualUnits


def ncsn(net: NCSN | NCSNv2) -> Layout:
    """Returns the layout of the first code's CondRefineNetDilated, and of the second's NCSN, NCSNv2, NCSNv2Deeper and -Deepest.

    It is also that of `ncsn`, `ncsnv2_64`, `ncsnv2_128` and `ncsnv2_256` of score_sde_pytorch, which are copies of these.
    """
    norm = ".embed" if isinstance(net, NCSN) else ""
    places = {"net.first": "begin_conv", "net.norm": f"normalizer{norm}", "net.last": "end_conv"}
    # Deepest adds a stage, which is called 31 both down and up.
    n = len(net.stages)
    down = ("1", "2", "3", "31", "4", "5") if n == 6 else tuple(str(i + 1) for i in range(n))
    up = ("1", "2", "31", "3", "4", "5") if n == 6 else down

    for i, name in enumerate(down):
        for j, block in enumerate(net.net.down[i]):
            ours, theirs, pooled = f"net.down.{i}.{j}", f"res{name}.{j}", ".conv" if block.halve else ""
            places |= {f"{ours}.norm{k}": f"{theirs}.normalize{k}{norm}" for k in (1, 2)}
            places |= {f"{ours}.conv1": f"{theirs}.conv1", f"{ours}.conv2": f"{theirs}.conv2{pooled}"}
            places[f"{ours}.shortcut"] = f"{theirs}.shortcut{pooled}"

    for i, name in enumerate(up):
        ours, theirs, refinement = f"net.up.{i}", f"refine{name}", net.net.up[i]
        for j, units in enumerate(refinement.adapt):
            places |= _units(units, f"{ours}.adapt.{j}", f"{theirs}.adapt_convs.{j}", norm)
        for j, unit in enumerate(("fuse.fine", "fuse.coarse")):
            places |= {f"{ours}.{unit}.norm": f"{theirs}.msf.norms.{j}{norm}", f"{ours}.{unit}.conv": f"{theirs}.msf.convs.{j}"}
        for j in range(len(refinement.pool.units)):
            unit = f"{ours}.pool.units.{j}"
            places |= {f"{unit}.norm": f"{theirs}.crp.norms.{j}{norm}", f"{unit}.conv": f"{theirs}.crp.convs.{j}"}
        places |= _units(refinement.out, f"{ours}.out", f"{theirs}.output_convs", norm)
    return Layout(places, ignored=r"^sigmas$")


def _units(module: ResidualUnits, ours: str, theirs: str, norm: str) -> dict[str, str]:
    places = {}
    for i, pair in enumerate(module.units):
        for j in range(len(pair)):
            unit, name = f"{ours}.units.{i}.{j}", f"{theirs}.{i + 1}_{j + 1}"
            places |= {f"{unit}.norm": f"{name}_norm{norm}", f"{unit}.conv": f"{name}_conv"}
    return places
