"""Conditions of examples, by kind. Each is a function of an example, and the tuples are the registries that configs name from.

    key     the randomness of the example at this step, for what is drawn anew each time
    x       the event [*space, C] as the network sees it, mirrored and augmented
    label   the number of its class, and `names` the names of the classes

A function takes of these what it needs, by their names; its other arguments are options of the config. A condition is the same
to a network as none where it is zero. A vector may also be by an encoder, one of `models.VECTOR_ENCODERS`.
"""

from experiments.conditions.image import grey, low_resolution, mask
from experiments.conditions.text import captions, token_ids, token_states
from experiments.conditions.vector import channel_means

__all__ = ["captions", "channel_means", "grey", "low_resolution", "mask", "token_ids", "token_states"]

VECTORS = (channel_means,)
IMAGES = (grey, low_resolution, mask)
TOKENS = (captions, token_ids, token_states)
