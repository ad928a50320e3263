"""python -m experiments"""

import os
import sys
from importlib.metadata import version

# XLA:CPU's library convolutions leave cores idle (1.4x per training step on digits). jaxlib aborts on flags that it does not
# know and the user's own flags come first, so this is set only where it was measured.
if "XLA_FLAGS" not in os.environ and version("jaxlib").startswith(("0.10.", "0.11.")):
    os.environ["XLA_FLAGS"] = "--xla_cpu_experimental_ynn_fusion_type=-LIBRARY_FUSION_TYPE_INDIVIDUAL_CONVOLUTION"

if __name__ == "__main__":
    from experiments.main import main

    sys.exit(main())
