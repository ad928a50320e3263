"""The shapes of examples of the data that our configs name, and the names of their classes."""

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
CLASSES = {"digits": tuple(map(str, range(10)))}
"""By data.name; of others no condition is made."""
