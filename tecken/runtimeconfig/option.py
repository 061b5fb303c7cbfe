"""Options: the one conversion from an operator's text to a value, and back.

All inputs are text: `config set symbolicate_max_jobs 20`, a JSON body, a form, Redis.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Literal, NamedTuple, NoReturn, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from tecken.errors import BadOption
from tecken.limits.exceptions import SAMPLE, check_exceptions
from tecken.limits.port import Unit, check_texts

UNITS = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600), "d": Decimal(86_400)}
# Possessive quantifiers never backtrack, so that the time to match grows linearly with the text.
PART = re.compile(r"(?<![\d.])(\d++(?:\.\d++)?)\s*+(ms|s|m|h|d)\s*+", re.ASCII)
SIZES = {"B": 1} | {f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)}
SIZE_UNITS = {unit.lower(): size for unit, size in SIZES.items()} | {
    f"{letter}b": 1000**power for power, letter in enumerate("kmgt", 1)
}
SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?b)", re.ASCII | re.IGNORECASE)
BOUNDS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
LENGTHS = {"min_length": "at least", "max_length": "at most"}
LONGEST_TEXT = 10_000
LONGEST_QUOTE = 80


def parse_seconds(text: object) -> object:
    """Return the seconds of `90s`, `1.5s`, `10m` or `1h 30m`; pydantic checks any other text."""
    if not isinstance(text, str) or not re.fullmatch(rf"(?:{PART.pattern})+", text, re.ASCII):
        return text
    return float(sum(Decimal(number) * UNITS[unit] for number, unit in PART.findall(text)))


def parse_size(text: object) -> object:
    """Return the bytes of `64MiB` (1024 * 1024) or `1.5 GB` (1000 * 1000 * 1000), rounded down."""
    match = SIZE.fullmatch(text) if isinstance(text, str) else None
    return int(Decimal(match[1]) * SIZE_UNITS[match[2].lower()]) if match else text


def parse_names(text: object) -> object:
    """Return the names in `a, b` or `["a", "b"]`, without empty ones."""
    names = text
    if isinstance(text, str):
        names = from_json(text) if text.startswith(("[", "{")) else text.split(",")
    if not isinstance(names, list):
        return names
    stripped = [name.strip() if isinstance(name, str) else name for name in names]
    return [name for name in stripped if name != ""]


def parse_limits(text: object, units: Collection[Unit]) -> object:
    """Return the limits in `600 requests/minute per address, 20 GiB/month per user`. Raises ValueError."""
    limits = parse_names(text)
    if isinstance(limits, list) and all(isinstance(limit, str) for limit in limits):
        check_texts(limits, units)
    return limits


def parse_exceptions(text: object) -> object:
    """Return the exceptions in `upload 100 GiB/day per user 7, api ...`. Raises ValueError."""
    exceptions = parse_names(text)
    if isinstance(exceptions, list) and all(isinstance(item, str) for item in exceptions):
        check_exceptions(exceptions)
    return exceptions


def to_text(value: object) -> str:
    """Return a value of a JSON body as an operator would write it: `true`, `20`, `["a", "b"]`."""
    return value if isinstance(value, str) else json.dumps(value)


def format_seconds(value: float) -> str:
    """Return whole seconds in the largest units that hold them, and less than one second in milliseconds."""
    milliseconds = Decimal(repr(value)) * 1000
    if 0 < value < 1 and float(milliseconds).is_integer():
        return f"{_format_number(float(milliseconds))}ms"
    if value <= 0 or value >= 2**53 or not float(value).is_integer():
        return f"{_format_number(abs(value))}s"
    parts, rest = [], int(value)
    for unit in ("d", "h", "m", "s"):
        number, rest = divmod(rest, int(UNITS[unit]))
        parts += [f"{number}{unit}"] * bool(number)
    return " ".join(parts)


def format_size(value: int) -> str:
    """Return a size in the largest unit of 1024 that divides it."""
    unit = max((unit for unit in SIZES if value % SIZES[unit] == 0), key=SIZES.__getitem__) if value else "B"
    return f"{value // SIZES[unit]}{unit}"


def format_names(value: tuple[str, ...]) -> str:
    """Return names with commas between them, or JSON if that text would be parsed differently."""
    is_ambiguous = any("," in name or not name.isprintable() for name in value)
    if is_ambiguous or "".join(value[:1]).startswith(("[", "{")):
        return json.dumps(value, ensure_ascii=False)
    return ", ".join(value)


def _format_number(value: float) -> str:
    """Return the exact number without an exponent."""
    return format(Decimal(repr(value)), "f").removesuffix(".0")


class Kind(NamedTuple):
    """Type of options: its description for operators, and the format of its values."""

    name: str
    noun: str
    sample: str = ""
    format: Callable[[Any], str] = str


DURATION = Kind("duration", "a duration", ", such as 90s or 1h 30m", format_seconds)
SIZE_KIND = Kind("size", "a size", ", such as 512KiB or 1.5GB", format_size)
NAMES = Kind("names", "names with commas between them", "", format_names)
LIMITS = Kind(
    "limits", "limits with commas between them", ", such as 600 requests/minute per address", format_names
)
EXCEPTIONS = Kind("limits", "exceptions with commas between them", f", such as {SAMPLE}", format_names)
PLAIN = {
    bool: Kind(
        "bool",
        "on or off, or for some only, such as 25% of users",
        "",
        lambda value: "on" if value else "off",
    ),
    int: Kind("int", "a whole number"),
    float: Kind("float", "a number", "", _format_number),
    str: Kind("str", "text"),
}

Seconds = Annotated[float, BeforeValidator(parse_seconds), Field(ge=0), DURATION]
Bytes = Annotated[int, BeforeValidator(parse_size), SIZE_KIND]
Names = Annotated[tuple[str, ...], BeforeValidator(parse_names), NAMES]
Requests = Annotated[tuple[str, ...], BeforeValidator(partial(parse_limits, units=("requests",))), LIMITS]
Frames = Annotated[
    tuple[str, ...], BeforeValidator(partial(parse_limits, units=("requests", "frames"))), LIMITS
]
Uploads = Annotated[
    tuple[str, ...], BeforeValidator(partial(parse_limits, units=("requests", "bytes"))), LIMITS
]
Exceptions = Annotated[tuple[str, ...], BeforeValidator(parse_exceptions), EXCEPTIONS]


def group(title: str) -> Callable[..., Any]:
    """Return the function that declares the options of a group: `option = group("Uploads")`."""

    def option(default: object, text: str, *, past: float | None = None, **bounds: Any) -> Any:
        """Declare an option.

        Args:
            past: seconds without contact to the configuration after which the default is in force again.
            bounds: those of pydantic's Field (ge, le, ...).
        """
        details: dict[str, Any] = {"group": title, "past": past, "bounds": bounds}
        return Field(default, description=text, json_schema_extra=details, **bounds)

    return option


class Option(NamedTuple):
    """Entry of the registry."""

    name: str
    group: str
    type: Kind
    choices: tuple[str, ...]
    default: Any
    bounds: Mapping[str, Any]
    text: str
    past: float | None
    adapter: TypeAdapter[Any]

    @property
    def kind(self) -> str:
        """Return the name of the type."""
        return self.type.name

    @property
    def allowed(self) -> str:
        """Return the allowed values in words: "a duration from 1s to 1d, such as 90s or 1h 30m"."""
        return " ".join([self.type.noun, *self._limits()]) + self.type.sample

    @property
    def default_text(self) -> str:
        """Return the default as an operator writes it."""
        return self.format(self.default)

    def parse(self, text: str) -> Any:
        """Return the value of a text. Raises BadOption."""
        if len(text) > LONGEST_TEXT:
            self.refuse(text, f"longer than {LONGEST_TEXT} characters")
        if text != replace_unstorable(text):
            self.refuse(text, "it has characters that a database cannot store")
        value = text if self.kind == "str" else text.strip()
        value = next((choice for choice in self.choices if choice.lower() == value.lower()), value)
        try:
            return self.adapter.validate_python(value)
        except ValidationError as error:
            reason = error.errors(include_url=False, include_context=False)[0]["msg"]
            self.refuse(text, reason.removeprefix("Value error, ") if self.kind == "limits" else "")

    def format(self, value: Any) -> str:
        """Return a value as people write it: `64MiB`, `1h 30m`, `a, b`, `on`."""
        return self.type.format(value)

    def refuse(self, text: str, reason: str = "") -> NoReturn:
        """Raise the BadOption for a text that this option cannot have."""
        because = f" ({reason})" if reason else ""
        raise BadOption(f"{self.name} should be {self.allowed}, not {shorten(text)!r}{because}")

    def _limits(self) -> list[str]:
        bounds = {name: self.format(bound) for name, bound in self.bounds.items() if name in BOUNDS}
        if bounds.keys() == {"ge", "le"}:
            return [f"from {bounds['ge']} to {bounds['le']}"]
        limits = [f"{BOUNDS[name]} {bound}" for name, bound in bounds.items()]
        limits += [
            f"{LENGTHS[name]} {self.bounds[name]} characters" for name in LENGTHS if name in self.bounds
        ]
        return ["of " + " and ".join(limits)] if limits else []


def shorten(text: str) -> str:
    """Return a text that is short enough to be quoted in an error."""
    return text if len(text) <= LONGEST_QUOTE else text[: LONGEST_QUOTE - 3] + "..."


def replace_unstorable(text: str) -> str:
    """Return a text without NUL characters and lone surrogates, which no database can store."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def build_catalogue(model: type[BaseModel]) -> dict[str, Option]:
    """Return the options of a model in the order of declaration."""
    hints = get_type_hints(model, include_extras=True)
    catalogue = {}
    for name, field in model.model_fields.items():
        details = cast("dict[str, Any]", field.json_schema_extra)
        hint = hints[name]
        choices = get_args(hint) if get_origin(hint) is Literal else ()
        kinds = [mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Kind)]
        if choices:
            kinds = [Kind("choice", f"one of {', '.join(choices)}")]
        catalogue[name] = Option(
            name=name,
            type=kinds[0] if kinds else PLAIN[hint],
            choices=choices,
            default=field.default,
            text=field.description or "",
            adapter=TypeAdapter(field.rebuild_annotation(), config=ConfigDict(allow_inf_nan=False)),
            **details,
        )
    return catalogue
