"""python -m experiments"""

import os
import sys
from importlib.metadata import version

# XLA:CPU's library convolutions leave cores idle (per training step on 8x8, two cores: 1.1x at width 16, 1.4x at width 32).
# jaxlib aborts on flags that it does not know and the user's own flags come first, so it is set only
# for the versions that accept it; the gain was measured on 0.10.
if "XLA_FLAGS" not in os.environ and version("jaxlib").startswith(("0.10.", "0.11.")):
    os.environ["XLA_FLAGS"] = "--xla_cpu_experimental_ynn_fusion_type=-LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION"

# Where processes end with the first that dies, jaxlib says so in a page of each; experiments/failure.py has a line.
if any(word.startswith("--distributed") for word in sys.argv):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "4")

if __name__ == "__main__":
    from experiments.interrupt import listen

    listen()  # from before the seconds that importing jax takes
    from experiments.main import main

    sys.exit(main())
