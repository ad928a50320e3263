"""CLIP's text encoder: published sizes, its causal mask, and transformers' own."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from published import draw, relative_error
from slow import slow_for

from experiments.weights.layout import from_published
from experiments.weights.published import clip
from models import CLIPText
from models.build import abstract

SMALL = partial(CLIPText, vocabulary=20, width=16, depth=2, heads=4)


@slow_for("H/14")
@pytest.mark.parametrize(
    ("name", "options", "published"),
    [
        ("L/14", {}, 123_060_480),
        ("B", {"width": 512, "heads": 8}, 63_165_952),
        ("H/14", {"width": 1024, "depth": 24, "heads": 16, "gelu": "exact"}, 352_984_064),
    ],
    ids=["L/14", "B", "H/14"],
)
def test_it_has_the_published_sizes(name, options, published):
    params = nnx.state(abstract(partial(CLIPText, **options), (77,)), nnx.Param)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == published


@pytest.mark.slow
def test_a_token_reads_those_before_it():
    net, ids = jax.jit(SMALL((7,), rngs=nnx.Rngs(0))), jnp.arange(7)[None]
    changed = np.abs(net(ids.at[0, 4].set(19)) - net(ids)).max(-1)[0]
    assert changed[:4].max() < 1e-6
    assert changed[4:].min() > 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(("gelu", "theirs"), [("sigmoid", "quick_gelu"), ("exact", "gelu")])
def test_it_is_transformers(gelu, theirs):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    config = transformers.CLIPTextConfig(
        vocab_size=20, hidden_size=16, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, hidden_act=theirs,
        max_position_embeddings=7, bos_token_id=0, eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    model = transformers.CLIPTextModel(config).eval()
    state = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith("position_ids")}
    tensors = draw({name: tuple(tensor.shape) for name, tensor in state.items()})
    model.load_state_dict({name: torch.from_numpy(tensor) for name, tensor in tensors.items()}, strict=False)
    net = abstract(partial(SMALL, gelu=gelu), (7,))
    graph, like = nnx.split(net)
    prefix = "text_model." if any(name.startswith("text_model.") for name in tensors) else ""
    params = from_published(nnx.to_pure_dict(like), clip.layout(net, prefix), tensors, "transformers")
    nnx.replace_by_pure_dict(like, jax.tree.map(jnp.asarray, params))
    ids = np.arange(14).reshape(2, 7)
    with torch.no_grad():
        states = model(torch.from_numpy(ids)).last_hidden_state.numpy()
    assert relative_error(nnx.merge(graph, like)(jnp.array(ids)), states) < 1e-5
