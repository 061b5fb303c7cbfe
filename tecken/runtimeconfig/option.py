"""What an option is, and the only way from the text that somebody gives to its value, and back.

Text is what everybody gives: `config set symbolicate_max_jobs 20`, a JSON body, a field of a form, Redis.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple, NoReturn, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from tecken.errors import BadOption
from tecken.limits import text as limit_text
from tecken.limits.port import Unit

UNITS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86_400)}
PART = re.compile(r"(?<![\d.])(\d++(?:\.\d++)?)\s*+(ms|s|m|h|d)\s*+", re.ASCII)
SIZES = {"B": 1} | {f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)}
SIZE_UNITS = {unit.lower(): size for unit, size in SIZES.items()} | {
    f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)
}
SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?b)", re.ASCII | re.IGNORECASE)
LONGEST_TEXT = 10_000
LONGEST_SHOWN = 80


def seconds(given: object) -> object:
    """`90`, `1.5s`, `10m`, `1h 30m` in seconds; what else it may be pydantic says."""
    if not isinstance(given, str) or not re.fullmatch(rf"(?:{PART.pattern})+", given, re.ASCII):
        return given
    return float(sum(Decimal(number) * UNITS[unit] for number, unit in PART.findall(given)))


def size(given: object) -> object:
    """`1024`, `64MiB` (1024 * 1024), `1.5 GB` (1000 * 1000 * 1000) in bytes; part of a byte is dropped."""
    match = SIZE.fullmatch(given) if isinstance(given, str) else None
    return int(Decimal(match[1]) * SIZE_UNITS[match[2].lower()]) if match else given


def names(given: object) -> object:
    """`a, b` or `["a", "b"]`; empty ones do not count."""
    if isinstance(given, str):
        given = parsed(given) if given.startswith(("[", "{")) else given.split(",")
    if not isinstance(given, list):
        return given
    return [name for name in (_stripped(name) for name in given) if name != ""]


def limits(given: object, units: Collection[Unit]) -> object:
    """`600 requests/minute per address, 20 GiB/month per user`; empty: no limit. Raises ValueError."""
    found = names(given)
    if isinstance(found, list) and all(isinstance(one, str) for one in found):
        limit_text.check(found, units)
    return found


def parsed(given: object) -> object:
    """JSON."""
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deep") from None


def at_text(value: object) -> str:
    """What a JSON body gives for a value, as text: `true`, `20`, `["a", "b"]`; text is itself."""
    return value if isinstance(value, str) else json.dumps(value)


Seconds = Annotated[float, BeforeValidator(seconds), Field(ge=0)]
Bytes = Annotated[int, BeforeValidator(size)]
Names = Annotated[tuple[str, ...], BeforeValidator(names)]
Requests = Annotated[tuple[str, ...], BeforeValidator(partial(limits, units=("requests",)))]
Frames = Annotated[tuple[str, ...], BeforeValidator(partial(limits, units=("requests", "frames")))]
Uploads = Annotated[tuple[str, ...], BeforeValidator(partial(limits, units=("requests", "bytes")))]
Json = Annotated[Any, BeforeValidator(parsed)]
KINDS: dict[object, str] = {
    **{seconds: "duration", size: "size", names: "names", parsed: "json"},
    limits: "limits",
}
EXPLAINED = ("json", "limits")

NOUNS = {
    "bool": "on or off, or for some only, such as 25% of users",
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "duration": "a duration",
    "size": "a size",
    "names": "names with commas between them",
    "limits": "limits with commas between them",
    "json": "JSON",
}
SAMPLES = {
    "duration": ", such as 90s or 1h 30m",
    "size": ", such as 512KiB or 1.5GB",
    "limits": ", such as 600 requests/minute per address",
}
LIMITS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
LENGTHS = {"min_length": "at least", "max_length": "at most"}


def group(title: str) -> Callable[..., Any]:
    """Declares the options of one group: `option = group("Uploads")`."""

    def option(default: object, text: str, *, past: float | None = None, **bounds: Any) -> Any:
        """`bounds` as pydantic's Field has them (ge, le, ...). `past`: when the configuration has not been
        heard of for this many seconds the default is back in force; None: the last value holds."""
        more: dict[str, Any] = {"group": title, "past": past, "bounds": bounds}
        return Field(default, description=text, json_schema_extra=more, **bounds)

    return option


class Option(NamedTuple):
    """One line of the registry. `kind` is bool, int, float, str, choice, duration, size, names or json."""

    name: str
    group: str
    kind: str
    choices: tuple[str, ...]
    default: Any
    bounds: Mapping[str, Any]
    text: str
    past: float | None
    adapter: TypeAdapter[Any]

    def value(self, given: str) -> Any:
        """Raises BadOption."""
        if len(given) > LONGEST_TEXT:
            self.refuse(given, f"longer than {LONGEST_TEXT} characters")
        if "\0" in given:
            self.refuse(given, "no database keeps a NUL")
        try:
            return self.adapter.validate_python(self._trimmed(given))
        except ValidationError as error:
            self.refuse(given, _sentence(error) if self.kind in EXPLAINED else "")

    def refuse(self, given: str, why: str = "") -> NoReturn:
        """The one sentence about a value that this option cannot have."""
        because = f" ({why})" if why else ""
        raise BadOption(f"{self.name} should be {self.allowed}, not {cut(given)!r}{because}")

    @property
    def allowed(self) -> str:
        """What it may be: "a duration from 1s to 1d, such as 90s or 1h 30m"."""
        noun = f"one of {', '.join(self.choices)}" if self.choices else NOUNS[self.kind]
        return " ".join([noun, *self._limits()]) + SAMPLES.get(self.kind, "")

    def shown(self, value: Any) -> str:
        """A value as people write it: `64MiB`, `1h 30m`, `a, b`, `on`. `value` understands it."""
        show: Callable[[Any], str] = SHOWN.get(self.kind, str)
        return show(value)

    def _trimmed(self, given: str) -> str:
        if self.kind == "str":
            return given
        given = given.strip()
        return next((choice for choice in self.choices if choice.lower() == given.lower()), given)

    def _limits(self) -> list[str]:
        bounds = {name: self.shown(bound) for name, bound in self.bounds.items() if name in LIMITS}
        if bounds.keys() == {"ge", "le"}:
            return [f"from {bounds['ge']} to {bounds['le']}"]
        said = [f"{LIMITS[name]} {bound}" for name, bound in bounds.items()]
        said += [f"{LENGTHS[name]} {self.bounds[name]} characters" for name in LENGTHS if name in self.bounds]
        return ["of " + " and ".join(said)] if said else []


def cut(given: str) -> str:
    """Short enough to stand in an error."""
    return given if len(given) <= LONGEST_SHOWN else given[: LONGEST_SHOWN - 3] + "..."


def catalogue(model: type[BaseModel]) -> dict[str, Option]:
    """The registry, in the order of declaration."""
    hints = get_type_hints(model, include_extras=True)
    return {name: _option(name, hints[name], field) for name, field in model.model_fields.items()}


def _option(name: str, hint: Any, field: FieldInfo) -> Option:
    more = cast("dict[str, Any]", field.json_schema_extra)
    return Option(
        name=name,
        group=more["group"],
        kind=_kind(hint),
        choices=get_args(hint) if get_origin(hint) is Literal else (),
        default=field.default,
        bounds=more["bounds"],
        text=field.description or "",
        past=more["past"],
        adapter=TypeAdapter(field.rebuild_annotation(), config=ConfigDict(allow_inf_nan=False)),
    )


def _kind(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "choice"
    readers = [mark.func for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, BeforeValidator)]
    return KINDS[getattr(readers[0], "func", readers[0])] if readers else cast("str", hint.__name__)


def _sentence(error: ValidationError) -> str:
    return error.errors(include_url=False, include_context=False)[0]["msg"].removeprefix("Value error, ")


def _stripped(name: object) -> object:
    return name.strip() if isinstance(name, str) else name


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _on_or_off(value: bool) -> str:
    return "on" if value else "off"


def _number(value: float) -> str:
    """Exact, without an exponent: `0.5`, `20`."""
    text = format(Decimal(repr(value)), "f")
    return text.removesuffix(".0")


def _duration(value: float) -> str:
    """Whole seconds in the largest units that hold them, less than a second in milliseconds."""
    if 0 < value < 1 and float(Decimal(repr(value)) * 1000).is_integer():
        return f"{_number(float(Decimal(repr(value)) * 1000))}ms"
    if value <= 0 or value >= 2**53 or not float(value).is_integer():
        return f"{_number(abs(value))}s"
    parts, left = [], int(value)
    for unit in ("d", "h", "m", "s"):
        number, left = divmod(left, int(UNITS[unit]))
        parts += [f"{number}{unit}"] * bool(number)
    return " ".join(parts)


def _size(value: int) -> str:
    """The largest unit of 1024 that it is a whole number of."""
    unit = max((unit for unit in SIZES if value % SIZES[unit] == 0), key=SIZES.__getitem__) if value else "B"
    return f"{value // SIZES[unit]}{unit}"


def _names(value: tuple[str, ...]) -> str:
    """JSON where commas between them would be read as something else."""
    odd = any("," in name or not name.isprintable() for name in value)
    plain = not odd and not "".join(value[:1]).startswith(("[", "{"))
    return ", ".join(value) if plain else json.dumps(value, ensure_ascii=False)


SHOWN: dict[str, Callable[[Any], str]] = {
    "bool": _on_or_off,
    "float": _number,
    "duration": _duration,
    "size": _size,
    "names": _names,
    "limits": _names,
    "json": json.dumps,
}
