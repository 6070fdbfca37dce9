"""Settings as types: the type, range and help text of each are in one place, and values are checked when read.

    @dataclass(frozen=True)
    class Settings:
        steps: int = field(10, low=1, high=1000, help="calls of the network")

    settings = check(Settings, {"steps": 20}, "sampler")

Every value from outside (the command line, a configuration, the metadata of a file) passes through `check`, which
returns an instance or raises an InputError that names the setting, the value given and the values allowed. Checked
values need no further checks.
"""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from diffbgm.errors import InputError

T = TypeVar("T")
LONGEST_TEXT = 4096  # characters of a text without limits of its own
LONGEST_LIST = 4096
DEEPEST = 16  # levels of a free-form value


@dataclass(frozen=True)
class Limits:
    """Limits on a value besides its type. For a list, `low`, `high`, `above` and `choices` apply to each item."""

    low: float | None = None  # smallest allowed value
    high: float | None = None  # largest allowed value
    above: float | None = None  # exclusive lower bound
    choices: tuple[Any, ...] = ()  # the only values allowed; of a number or text: the only texts
    length: tuple[int, int] | None = None  # smallest and largest number of items or characters
    rising: bool = False  # whether the items of a list must not decrease
    help: str = ""


@dataclass(frozen=True)
class Described:
    """A description of one setting."""

    name: str  # full name, such as "trainer.lr"
    hint: Any  # its type
    limits: Limits
    default: Any  # dataclasses.MISSING if there is none

    @property
    def allowed(self) -> str:
        """The allowed values in words."""
        return _allowed(self.hint, self.limits)


def field(
    default: Any = dataclasses.MISSING,
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    choices: Sequence[Any] = (),
    length: tuple[int, int] | None = None,
    rising: bool = False,
    help: str = "",
) -> Any:
    """A dataclass field with limits (see `Limits`). A field without a default is required."""
    limits = Limits(low, high, above, tuple(choices), length, rising, help)
    return dataclasses.field(default=default, metadata={"limits": limits})


def check(kind: type[T], given: Mapping[str, Any], name: str = "") -> T:
    """An instance of the dataclass `kind` from a mapping called `name` in messages; lists become tuples.

    Raises InputError for a setting that is unknown, missing, of the wrong type or out of range. Errors raised by the
    `__post_init__` of `kind`, which checks several fields together, are passed on.
    """
    if not isinstance(given, Mapping):
        raise InputError(f"{name or kind.__name__}={_shown(given)} cannot be used; give settings by name")
    hints, known = typing.get_type_hints(kind), {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in given:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1, cutoff=0.5)
            meant = f"did you mean '{_full(name, close[0])}'?" if close else f"known are {', '.join(known)}"
            raise InputError(f"unknown setting '{_shown(_full(name, str(key)))}'; {meant}")
    values = {}
    for key, entry in known.items():
        if key in given:
            values[key] = _value(hints[key], given[key], _limits(entry), _full(name, key))
        elif entry.default is dataclasses.MISSING and entry.default_factory is dataclasses.MISSING:
            raise InputError(f"no value for {_full(name, key)}; give {_allowed(hints[key], _limits(entry))}")
    return kind(**values)


def check_among(kind: type[T], config: Mapping[str, Any], name: str = "") -> T:
    """`check` of those keys of a larger config that the dataclass `kind` has; its other keys are ignored."""
    names = [entry.name for entry in dataclasses.fields(kind)]  # type: ignore[arg-type]
    return check(kind, {key: config[key] for key in names if key in config}, name)


def described(kind: type, name: str = "") -> Iterator[Described]:
    """All settings of a dataclass and of the dataclasses nested in it."""
    hints = typing.get_type_hints(kind)
    for entry in dataclasses.fields(kind):
        hint, full = hints[entry.name], _full(name, entry.name)
        inside = [option for option in _options(hint) if dataclasses.is_dataclass(option)]
        for option in inside:
            yield from described(typing.cast(type, option), full)
        if not inside:
            yield Described(full, hint, _limits(entry), entry.default)


def plain(value: Any, name: str, depth: int = DEEPEST) -> Any:
    """A free-form value of dicts, lists, text, finite numbers, booleans and None. Raises InputError for others."""
    if depth and isinstance(value, Mapping) and len(value) <= LONGEST_LIST:
        return {str(key): plain(child, _full(name, str(key)), depth - 1) for key, child in value.items()}
    if depth and _listed(value) and len(value) <= LONGEST_LIST:
        return [plain(child, name, depth - 1) for child in value]
    if value is None or isinstance(value, bool | str) or (isinstance(value, int | float) and math.isfinite(value)):
        return value
    raise InputError(f"{name}={_shown(value)} cannot be used; give plain values, at most {DEEPEST} levels deep")


def _full(name: str, key: str) -> str:
    return f"{name}.{key}" if name else key


def _limits(entry: dataclasses.Field[Any]) -> Limits:
    return entry.metadata.get("limits", Limits())


def _listed(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _value(hint: Any, value: Any, limits: Limits, name: str) -> Any:
    """`value` converted to the type `hint`. Raises InputError if it does not fit the type or the limits."""
    for option in _options(hint):
        if dataclasses.is_dataclass(option) and (option is hint or value is not None):
            if isinstance(value, typing.cast(type, option)):
                return value
            return check(typing.cast(type, option), value, name)
        if option is Any or (typing.get_origin(option) is Mapping and isinstance(value, Mapping)):
            return plain(value, name)
        accepted, converted = _converted(option, value, limits)
        if accepted:
            return converted
    raise InputError(f"{name}={_shown(value)} cannot be used; give {_allowed(hint, limits)}")


def _options(hint: Any) -> tuple[Any, ...]:
    """The alternatives of a type, numbers before text."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return tuple(sorted(typing.get_args(hint), key=lambda option: option is str)) if union else (hint,)


def _converted(kind: Any, value: Any, limits: Limits) -> tuple[bool, Any]:
    """(whether `value` is a `kind` within the limits, the converted value)."""
    if kind in (None, type(None)):
        return value is None, None
    if kind is bool:
        return isinstance(value, bool), value
    if kind in (int, float):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not _finite(value) or (kind is int and not isinstance(value, int)):
            return False, None
        return _inside(value, limits), kind(value)
    if kind is str:
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value  # a folder called 2024
        if not isinstance(text, str) or "\0" in text:
            return False, None
        low, high = limits.length or (0, LONGEST_TEXT)
        texts = [choice for choice in limits.choices if isinstance(choice, str)]
        return low <= len(text) <= high and (not texts or text in texts), text
    return _items(kind, value, limits) if typing.get_origin(kind) is tuple else (False, None)


def _items(kind: Any, value: Any, limits: Limits) -> tuple[bool, Any]:
    """(whether `value` is a list within the limits, the tuple). All items share one type, or each has its own."""
    arguments = typing.get_args(kind)
    low, high = limits.length or (0, LONGEST_LIST)
    if not _listed(value) or not low <= len(value) <= high:
        return False, None
    each = arguments[:1] * len(value) if arguments[-1] is Ellipsis else arguments
    if len(each) != len(value):
        return False, None
    one = dataclasses.replace(limits, length=None)
    pairs = [_converted(item_kind, item, one) for item_kind, item in zip(each, value, strict=True)]
    items = tuple(item for _, item in pairs)
    fits = all(accepted for accepted, _ in pairs)
    return fits and not (limits.rising and list(items) != sorted(items)), items


def _finite(value: float) -> bool:
    return isinstance(value, int) or math.isfinite(value)


def _inside(value: float, limits: Limits) -> bool:
    """Whether a number is in its range and, if the choices include numbers, one of them."""
    numbers = [choice for choice in limits.choices if not isinstance(choice, str)]
    return (
        (limits.low is None or value >= limits.low)
        and (limits.high is None or value <= limits.high)
        and (limits.above is None or value > limits.above)
        and (not numbers or value in numbers)
    )


def _allowed(hint: Any, limits: Limits) -> str:
    """The allowed values in words: "a whole number from 1 to 1000, or null"."""
    words = [_words(option, limits) for option in _options(hint) if option not in (None, type(None))]
    if type(None) in _options(hint):
        words.append("null")
    return ", or ".join(dict.fromkeys(words))


def _words(kind: Any, limits: Limits) -> str:
    numbers = [str(choice) for choice in limits.choices if not isinstance(choice, str)]
    if kind is bool:
        return "true or false"
    if kind in (int, float):
        if numbers:
            return f"one of {', '.join(numbers)}"
        return f"a {'whole number' if kind is int else 'number'}{_range(limits)}"
    if kind is str:
        texts = [choice for choice in limits.choices if isinstance(choice, str)]
        if texts:
            return f"one of {', '.join(texts)}" if len(texts) > 1 else texts[0]
        low, high = limits.length or (0, LONGEST_TEXT)
        return f"text of {low} to {high} characters"
    if typing.get_origin(kind) is not tuple:
        return "settings by name"
    arguments = typing.get_args(kind)
    low, high = limits.length or (0, LONGEST_LIST)
    count = f"{low} to {high}" if arguments[-1] is Ellipsis else str(len(arguments))
    item = _words(arguments[0], dataclasses.replace(limits, length=None))
    return f"a list of {count}{' rising' if limits.rising else ''} items, each {item}"


def _range(limits: Limits) -> str:
    high = "" if limits.high is None else f" {'to' if limits.low is not None else 'up to'} {limits.high:g}"
    if limits.above is not None:
        return f" above {limits.above:g}{high}"
    if limits.low is not None:
        return f" from {limits.low:g}{high}" if high else f" of at least {limits.low:g}"
    return high


def _shown(value: Any) -> str:
    """A value as shown in a message: one line of at most 80 characters."""
    try:
        text = value if isinstance(value, str) and value.isprintable() else repr(value)
    except Exception:  # an integer with too many digits for Python to print, or a recursive structure
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."
