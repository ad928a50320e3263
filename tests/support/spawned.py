"""Functions that tests run in spawned processes, which import them by this plain name."""

from experiments.config.schema import Data
from experiments.data.sources import open_sources


def digits_size(folder):
    """Returns the number of training digits, written to the folder if they are not there."""
    return len(open_sources(Data(name="digits", data_dir=str(folder))).train)
