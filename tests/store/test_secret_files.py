from __future__ import annotations

from pathlib import Path

import pytest

from ionloop.errors import StoreError
from ionloop.store.connection import database_uri
from ionloop.store.secret_files import read_secret, with_password
from ionloop.testing import environment


def write(path: Path, text: str, mode: int = 0o600) -> Path:
    path.write_text(text)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("text", ["s3cret", "s3cret\n", " s3cret \r\n"])
def test_a_secret_is_one_line(tmp_path, text):
    assert read_secret(write(tmp_path / "p", text), "x") == "s3cret"


@pytest.mark.parametrize(
    ("text", "mode", "message"),
    [
        ("s3cret", 0o604, "got one for others too; chmod 600"),
        ("s3cret", 0o602, "got one for others too"),
        ("s3cret", 0o640, "got one for others too"),
        ("", 0o600, "expected one line in .*, got 0"),
        ("\n", 0o600, "expected one line"),
        ("s3cret\nmore\n", 0o600, "got 2"),
    ],
)
def test_a_bad_file_is_refused_without_its_content(tmp_path, text, mode, message):
    with pytest.raises(StoreError, match=message) as caught:
        read_secret(write(tmp_path / "p", text, mode), "x")
    assert "s3cret" not in str(caught.value)


def test_missing_files_folders_and_bytes_are_refused(tmp_path):
    with pytest.raises(StoreError, match=r"x: expected a file .* No such file"):
        read_secret(tmp_path / "none", "x")
    with pytest.raises(StoreError, match="got the folder"):
        read_secret(tmp_path, "x")
    (tmp_path / "p").write_bytes(b"\xff\xfe")
    with pytest.raises(StoreError, match="it is no text") as caught:
        read_secret(tmp_path / "p", "x")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("mongodb://runner@h:1/?a=b", "mongodb://runner:p%40s%2Fs+1@h:1/?a=b"),
        ("mongodb+srv://runner@h/", "mongodb+srv://runner:p%40s%2Fs+1@h/"),
    ],
)
def test_a_password_is_put_into_the_uri(tmp_path, uri, expected):
    assert with_password(uri, write(tmp_path / "p", "p@s/s 1")) == expected


@pytest.mark.parametrize(
    ("uri", "got"),
    [("mongodb://h:1/", "got none"), ("mongodb://a:s3cret@h:1/", "got one with"), ("h:1", "none")],
)
def test_a_uri_without_a_user_or_with_a_password_is_refused(tmp_path, uri, got):
    with pytest.raises(StoreError, match=got) as caught:
        with_password(uri, write(tmp_path / "p", "other"))
    assert "s3cret" not in str(caught.value)


def test_settings_name_uri_and_password_file(ionloop_home, tmp_path):
    path = write(tmp_path / "p", "s3cret")
    with environment({"IONLOOP_DB_PASSWORD_FILE": str(path)}):
        with pytest.raises(StoreError, match="expected IONLOOP_DB_URI beside it"):
            database_uri()
        with environment({"IONLOOP_DB_URI": "mongodb://me@h:1"}):
            assert database_uri().startswith("mongodb://me:s3cret@h:1/?w=majority")
