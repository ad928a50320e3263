"""python -m experiments"""

import os
import sys
from importlib.metadata import version

# XLA:CPU's library convolutions leave cores idle, and its library sums are slow in backward passes: without them a training
# step on 8x8 at width 32 takes 1.6 times less on two cores. jaxlib aborts on flags that it does not know and the user's own
# come first, so they are set only for the versions that accept them; the gain was measured on 0.10.
if "XLA_FLAGS" not in os.environ and version("jaxlib").startswith(("0.10.", "0.11.")):
    left_out = ("INDIVIDUAL_CONVOLUTION", "REDUCE")
    os.environ["XLA_FLAGS"] = "--xla_cpu_experimental_ynn_fusion_type=" + ",".join(
        f"-LIBRARY_FUSION_TYPE_{part}" for part in left_out
    )

# Where processes end with the first that dies, jaxlib says so in a page of each; experiments/failure.py has a line.
if any(word.startswith("--distributed") for word in sys.argv):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "4")

if __name__ == "__main__":
    from experiments.interrupt import listen

    listen()  # from before the seconds that importing jax takes
    from experiments.main import main

    sys.exit(main())
