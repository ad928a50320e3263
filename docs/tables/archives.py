"""The table of the archives that `data prepare` reads."""

from experiments.data.archives import ARCHIVES


def archives() -> str:
    """Returns a row for the data sets of each archive: their names, the published files, and where they are."""
    code = lambda words: ", ".join(f"`{word}`" for word in words)
    names: dict[tuple[str, ...], list[str]] = {}
    for name, archive in ARCHIVES.items():
        names.setdefault((*archive.sums, archive.page), []).append(name)
    rows = [f"| {code(its)} | {code(files)} | {page} |" for (*files, page), its in names.items()]
    return "\n".join(["| NAME | ARCHIVE | from |", "|---|---|---|", *rows]) + "\n"
