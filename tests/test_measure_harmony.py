"""The measurement of chords with a network of random weights yields shares, reproducibly."""

from test_composer import composer, request

from diffbgm.music.key import Key
from scripts.measure_harmony import listened


def test_every_wish_has_its_share_and_what_chance_gives() -> None:
    machine = composer("free")
    found = dict(listened(machine, request(32), Key(0, False)))
    assert len(found) == 5
    assert all(share is None or 0 <= share <= 1 for share in found.values())
    assert found == dict(listened(machine, request(32), Key(0, False)))
