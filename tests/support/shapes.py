"""The shapes of examples of the data that our configs name."""

SHAPES = {
    "digits": (8, 8, 1),
    "npz": (28, 28, 1),
    "cifar10": (32, 32, 3),
    "two_moons": (2,),
    "seattle_weather": (32, 3),
    "jacksboro_elevation": (32, 32, 1),
    "brain": (16, 16, 16, 1),
}
"""By data.name."""
