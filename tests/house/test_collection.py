"""pytest enters every folder of tests: by default it leaves out those with a name like build."""

from fnmatch import fnmatch

from source_files import ROOT


def test_no_folder_of_tests_is_left_out(pytestconfig):
    patterns = pytestconfig.getini("norecursedirs")
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py")}
    assert folders
    assert not [str(folder) for folder in folders if any(fnmatch(part, p) for part in folder.parts for p in patterns)]
