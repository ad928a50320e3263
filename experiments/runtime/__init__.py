"""The machine that a run is on: its devices, processes, signals, files and limits.

What is global to a process is here, all of it:

- `signals.stop`: whether the user has asked to stop, set by a thread and read at safe points; whether anything is unsaved.
- `supervisor`'s link to the parent of one of several processes, and `failures.ending`, the exit code that was announced.
- `progress.console`, which prints, on `streams.STDOUT`; what ends the process speaks on `streams.STDERR`.
- `limits`' table of what is waited for, and the thread that counts its seconds.
- Caches, which only save time: `devices`' mesh and `circumstances`' list of packages; elsewhere the order of an epoch, the
  levels of pixels, the options of a signature, the networks of `build`, Inception's weights, and the cells of `matrix`.

jax.config and the environment are set by `startup`, `compile_cache` and `processes.join` alone.
"""
