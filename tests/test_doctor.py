"""`diffbgm doctor`: a working installation passes, and each thing that is missing is named with its remedy."""

from pathlib import Path

import pytest

from diffbgm.app import doctor
from diffbgm.app.doctor import BAD, NOTE, OK


def test_this_installation_makes_music(capsys):
    assert doctor.main() == 0
    lines = capsys.readouterr().out.splitlines()
    topics = {line.split()[1] for line in lines[:-1]}
    assert {"diffbgm", "packages", "device", "weights", "soundfont", "codecs", "here", "cache"} <= topics
    assert lines[-1] == "ready to make music"
    assert any("7.3" in line and "M parameters" in line for line in lines), "the shipped weights"


def test_what_is_missing_is_named(monkeypatch, capsys, tmp_path: Path):
    monkeypatch.setattr(doctor, "CONFIGS", tmp_path / "configs")
    monkeypatch.setattr(doctor, "BASE", ("torch", "no-such-package"))
    monkeypatch.setattr(doctor, "ENCODERS", ("no_such_codec",))
    monkeypatch.setattr(doctor, "CHECKS", (doctor.check_versions, doctor.check_weights, doctor.check_codecs))
    assert doctor.main() == 1
    out = capsys.readouterr().out
    assert "BAD   packages    not installed: no-such-package; pip install diffbgm" in out
    assert "BAD   weights     there is no checkpoint at" in out
    assert "BAD   codecs      no encoder no_such_codec" in out
    assert out.endswith("3 things to mend\n")


def test_what_is_optional_is_a_note(monkeypatch):
    monkeypatch.setattr(doctor, "EXTRAS", {"app": (("no-such-package",), "the app"), "base": (("torch",), "torch")})
    states = {finding.topic: finding.state for finding in doctor.check_versions()}
    assert (states["[app]"], states["[base]"]) == (NOTE, OK)
    monkeypatch.setattr(doctor, "ROOM", 2**70)
    assert {finding.state for finding in doctor.check_space()} == {NOTE}


@pytest.mark.parametrize(("argument", "code"), [("--help", 0), ("now", 1)])
def test_arguments_are_answered_with_help(capsys, argument: str, code: int):
    assert doctor.main([argument]) == code
    assert "exit code 1 if sampling cannot work" in capsys.readouterr().out
    assert BAD == "BAD"
