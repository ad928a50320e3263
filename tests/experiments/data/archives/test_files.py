"""Zips and tars that name a place outside of themselves, or hold what is no file: refused, with nothing written."""

import io
import stat
import tarfile
import zipfile

import pytest
from archives import tar, zipped

from experiments.data.archives.files import open_files
from experiments.runtime.errors import DataError

OUTSIDE = ["../mark", "a/../../mark", "/mark", "..\\mark", "C:\\mark", "a/..", "\\\\host\\mark"]


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("make", [tar, zipped])
def test_a_place_outside_is_refused(tmp_path, make, name):
    """Although nothing is ever unpacked."""
    path = make(tmp_path / "archive", {"inside": b"x", name: b"x"})
    with pytest.raises(DataError, match="a place outside of itself"), open_files(path):
        pass
    assert [each.name for each in tmp_path.iterdir()] == ["archive"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_a_link_or_a_device_in_a_tar_is_refused(tmp_path, kind):
    with tarfile.open(tmp_path / "archive.tar", "w") as archive:
        info = tarfile.TarInfo("data")
        info.type, info.linkname = kind, "/etc/passwd"
        archive.addfile(info)
    with pytest.raises(DataError, match="data is a link or a device"), open_files(tmp_path / "archive.tar"):
        pass


def test_a_link_in_a_zip_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "archive.zip", "w") as archive:
        info = zipfile.ZipInfo("data")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    with pytest.raises(DataError, match="data is a link or encrypted"), open_files(tmp_path / "archive.zip"):
        pass


def test_a_zip_whose_directory_is_cut_is_refused(tmp_path):
    path = zipped(tmp_path / "archive.zip", {"data": bytes(range(256)) * 40})
    content = path.read_bytes()
    end = content.rindex(b"PK\x01\x02")
    path.write_bytes(content[:end] + bytes(8) + content[end + 8 :])
    with pytest.raises(DataError, match="is damaged, or not as published"), open_files(path) as files, files.open("data"):
        pass


def test_files_are_known_by_their_names(tmp_path):
    """They are those of a folder, and of the zips in it that are asked for."""
    zipped(tmp_path / "asked.zip", {"x/data_2": b"2", "x/data_10": b"10", "x/": b""})
    zipped(tmp_path / "other.zip", {"data_3": b"3"})
    (tmp_path / "data_1").write_bytes(b"1")
    with open_files(tmp_path, {"asked.zip"}) as files:
        assert files.matching(r"data_\d+") == ["data_1", "data_2", "data_10"]
        with files.open("data_10") as stream:
            assert stream.read() == b"10"
        assert "other.zip" in files
    with open_files(tmp_path / "data_1") as files, files.open("data_1") as stream:
        assert stream.read() == b"1"
    with pytest.raises(DataError, match=r"--from=.*nowhere: there is no such file or folder"), open_files(tmp_path / "nowhere"):
        pass


def test_members_are_read_one_beside_the_other(tmp_path):
    """The members of a tar come in any order."""
    path = tar(tmp_path / "archive.tgz", {str(i): bytes([i]) * 1000 for i in range(5)})
    with open_files(path) as files, files.open("4") as last, files.open("1") as other:
        assert (last.read(3), other.read(3), last.read(1)) == (b"\4" * 3, b"\1" * 3, b"\4")
    assert isinstance(last, io.IOBase)
