"""python -m experiments"""

import os
import sys

from experiments.runtime.startup import make_fast

if __name__ == "__main__":
    make_fast()
    # Where processes end with the first that dies, jaxlib says so in a page of each; runtime/failures.py has a line.
    if any(word.startswith("--distributed") for word in sys.argv):
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "4")
    from experiments.runtime.signals import listen

    listen()  # from before the seconds that importing jax takes
    from experiments.main import main

    sys.exit(main())
