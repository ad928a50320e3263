"""The subcommands: a linear script each. A new one is a file in this folder and a line in `main.TABLE`.

Each script has `HELP`, a sentence for `--help`; `ARGUMENTS`, functions of `arguments.py` (or its own) that add to its parser;
and `run(call)`, which does its work. `OVERRIDES = False` says that it takes no --config.key=value.
"""
