"""Turn SoundFont modulators of velocity and key into plain generators, for a renderer without modulators.

A soundfont may open its filters with the velocity and the key of a note. Without its modulators, the middle layer of
such a piano is heard through a closed filter, some 20 dB too soft. Each zone is therefore split into bands of velocity
and key, and each band gets the values that the modulators have at its middle.

Source: SoundFont Technical Specification 2.04 (Creative, 2006), sections 8.2, 8.4 and 9.5.
"""

import struct
from collections.abc import Iterator

import numpy as np

FILTER, ENVELOPE_TO_FILTER = 8, 11  # generators that are changed: cutoff, and the modulation envelope added to it
KEYS, VELOCITIES = 43, 44  # generators with the range of a zone
VELOCITY, KEY = 2, 3  # sources of a modulator
VELOCITY_BAND, KEY_BAND = 4, 6  # numbers of velocities and keys that share a value
SWITCH = 3  # the shape of a source that is 0 or 1
FULL = (0, 127)
Generators = dict[int, int]  # oper -> amount, signed except for ranges
Modulators = dict[tuple[int, int], int]  # (source, target) -> amount


def amounts_of(part: np.ndarray) -> Generators:
    """The generators of a zone by their numbers."""
    return dict(zip(part["oper"].tolist(), part["amount"].astype("<i2").tolist(), strict=True))


def generators(amounts: Generators) -> np.ndarray:
    """The records that `amounts_of` reads."""
    rows = [(oper, amount & 0xFFFF) for oper, amount in amounts.items()]
    return np.array(rows, [("oper", "<u2"), ("amount", "<u2")])


def modulators_of(raw: np.ndarray) -> Modulators:
    """The modulators among the records of a zone that move its filter by velocity or key alone."""
    found = {}
    for source, target, amount, other, transform in (struct.unpack("<HHhHH", record.tobytes()) for record in raw):
        plain = not source & 0x80 and source & 0x7F in (VELOCITY, KEY) and source >> 10 <= SWITCH
        if plain and target in (FILTER, ENVELOPE_TO_FILTER) and not other and not transform:
            found[source, target] = amount
    return found


def source_value(source: int, at: float) -> float:
    """What a source gives at a velocity or key `at` 0..127: 0..1, or -1..1 where it is bipolar."""
    falling, bipolar, shape = bool(source & 0x100), bool(source & 0x200), source >> 10
    part = at / 127
    if bipolar:
        part = abs(2 * part - 1)
        sign = np.sign(2 * at / 127 - 1)
    else:
        part, sign = (1 - part if falling else part), 1.0
    curve = (
        part,
        min(1.0, -40 / 96 * float(np.log10(max(1 - part, 1e-9)))),
        1 - min(1.0, -40 / 96 * float(np.log10(max(part, 1e-9)))),
        float(part >= 0.5),
    )[shape]
    return float(sign * curve * (-1 if bipolar and falling else 1))


def bands(own: Generators, inherited: Generators, modulators: Modulators) -> Iterator[Generators]:
    """Split a zone into zones that need no modulators; `inherited` are the generators of the global zone."""
    moving = {key: amount for key, amount in modulators.items() if amount}
    if not moving:
        yield own
        return
    sources = {source & 0x7F for source, _ in moving}
    key_band, loud_band = (KEY_BAND if KEY in sources else 128), (VELOCITY_BAND if VELOCITY in sources else 128)
    for keys in _split(own.get(KEYS, inherited.get(KEYS)), key_band):
        for loud in _split(own.get(VELOCITIES, inherited.get(VELOCITIES)), loud_band):
            middle = {KEY: sum(keys) / 2, VELOCITY: sum(loud) / 2}
            changed = {KEYS: keys[0] | keys[1] << 8, VELOCITIES: loud[0] | loud[1] << 8} | {
                oper: amount for oper, amount in own.items() if oper not in (KEYS, VELOCITIES)
            }
            for target in {target for _, target in moving}:
                added = sum(
                    amount * source_value(source, middle[source & 0x7F])
                    for (source, to), amount in moving.items()
                    if to == target
                )
                start = own.get(target, inherited.get(target, 0))
                changed[target] = int(np.clip(round(start + added), -32768, 32767))
            yield _in_order(changed)


def _split(span: int | None, width: int) -> Iterator[tuple[int, int]]:
    low, high = FULL if span is None else (span & 0x7F, span >> 8 & 0x7F)
    for start in range(low, high + 1, width):
        yield start, min(start + width - 1, high)


def _in_order(zone: Generators) -> Generators:
    """Ranges first and what the zone plays last, as the specification requires."""
    return dict(sorted(zone.items(), key=lambda item: ({KEYS: 0, VELOCITIES: 1}.get(item[0], 2), item[0])))
