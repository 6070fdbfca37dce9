"""Modulators of velocity and key as plain generators."""

import struct

import numpy as np
import pytest

from diffbgm.music.modulators import FILTER, KEYS, VELOCITIES, bands, modulators_of, source_value
from diffbgm.music.soundfont import MODULATOR, SAMPLE


@pytest.mark.parametrize(
    ("source", "at", "value"),
    [
        (0x2, 127, 1), (0x2, 0, 0), (0x103, 0, 1), (0x203, 127, 1), (0x203, 0, -1), (0x303, 0, 1), (0x402, 127, 1),
        (0x502, 127, 0), (0x502, 0, 1), (0x402, 0, 0), (0x802, 127, 1), (0x802, 0, 0), (0xC02, 80, 1), (0xC02, 40, 0),
    ],
)  # fmt: skip
def test_sources_have_the_values_of_the_specification(source: int, at: int, value: float) -> None:
    assert source_value(source, at) == pytest.approx(value)


def test_a_zone_is_parted_and_its_filter_opens_with_velocity() -> None:
    zone = {VELOCITIES: 64 | 107 << 8, FILTER: 500, SAMPLE: 7}
    parts = list(bands(zone, {}, {(0x2, FILTER): 1270}))
    assert [part[FILTER] for part in parts] == [500 + 10 * v + 15 for v in range(64, 108, 4)]
    assert parts[0][VELOCITIES] == 64 | 67 << 8
    assert parts[-1][VELOCITIES] == 104 | 107 << 8
    assert all(list(part)[:2] == [KEYS, VELOCITIES] and list(part)[-1] == SAMPLE for part in parts)


def test_a_zone_without_modulators_stays_and_others_are_left_out() -> None:
    zone = {FILTER: 500, SAMPLE: 7}
    assert list(bands(zone, {}, {})) == [zone]
    assert list(bands(zone, {}, {(0x2, FILTER): 0})) == [zone]
    raw = [(0x2, FILTER, 900, 0, 0), (0x102, FILTER, 1, 0xD02, 0), (0x81, FILTER, 1, 0, 0), (0x502, 48, 800, 0, 0)]
    records = np.frombuffer(b"".join(struct.pack("<HHhHH", *row) for row in raw), MODULATOR)
    assert modulators_of(records) == {(0x2, FILTER): 900}


def test_the_global_zone_gives_what_a_zone_does_not_say() -> None:
    [first] = bands({SAMPLE: 7}, {FILTER: 100, VELOCITIES: 0 | 3 << 8}, {(0x2, FILTER): 1270})
    assert first[FILTER] == 115
    assert first[VELOCITIES] == 3 << 8
