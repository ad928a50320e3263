"""python -m experiments"""

import signal
import sys

from experiments.runtime import startup, supervisor
from onesde import ours_first

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until `listen`: Python's own way out is a traceback
    words = sys.argv[1:]
    restart = words[:1] in [[command] for command in startup.RESTARTED] and "--no-restart" not in words
    place = [word for word in words if word.startswith("--distributed")]
    if supervisor.follow():
        pass  # its parent has set the environment
    elif place and sys.gettrace() is None:
        sys.exit(supervisor.supervise(place[0], startup.flags() | (startup.memory() if restart else {})))
    else:
        startup.make_fast(restart)
    from experiments.runtime.signals import listen

    listen()  # from before the seconds that importing jax takes
    try:
        import jax as jax
    except ValueError as error:
        print(f"a variable of jax's, {error}", file=sys.stderr)
        sys.exit(2)
    with ours_first():
        from experiments.main import main

        sys.exit(main())
