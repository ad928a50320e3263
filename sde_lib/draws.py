"""The former name of `sde_lib.fast_random`, for code outside of this repository."""

from sde_lib.fast_random import bits, normal

__all__ = ["bits", "normal"]
