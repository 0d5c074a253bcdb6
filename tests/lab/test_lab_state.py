"""The files of a lab: only ever in a folder of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tierdrill.lab.lab_files import NoSuchLab, make_lab_folder
from tierdrill.lab.supervisor.supervisor_program import prepare_folder


def test_a_lab_folder_that_leads_elsewhere_is_refused_and_left_alone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("mine")
    (tmp_path / "labs").mkdir()
    (tmp_path / "labs" / "lab").symlink_to(elsewhere)
    for make in (make_lab_folder, prepare_folder):
        with pytest.raises(NoSuchLab, match="symbolic link"):
            make(tmp_path, "lab")
    assert (elsewhere / "precious").read_text() == "mine"


def test_what_a_lab_folder_links_to_is_left_alone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("mine")
    folder = make_lab_folder(tmp_path, "lab")
    (folder / "data").symlink_to(elsewhere)
    (folder / "old").mkdir()
    _, lock = prepare_folder(tmp_path, "lab")
    os.close(lock)
    assert (elsewhere / "precious").read_text() == "mine"
    assert sorted(path.name for path in folder.iterdir()) == ["lock"]
