"""What an option is, and the only way from the text that somebody gives to its value.

Text is what everybody gives: `config set symbolicate_max_jobs 20`, a JSON body, a field of a form, Redis.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, NamedTuple, cast, get_args, get_origin, get_type_hints

from pydantic import BaseModel, BeforeValidator, ByteSize, Field, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from tecken.errors import BadOption

UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*")
LONGEST_TEXT = 10_000


def seconds(given: object) -> object:
    """`90`, `1.5s`, `10m`, `1h 30m` in seconds; what else it may be pydantic says."""
    if not isinstance(given, str) or not re.fullmatch(rf"(?:{PART.pattern})+", given.strip()):
        return given
    return sum(float(number) * UNITS[unit] for number, unit in PART.findall(given))


def names(given: object) -> object:
    """`a, b`: names; empty text is none of them."""
    return [name.strip() for name in given.split(",") if name.strip()] if isinstance(given, str) else given


def parsed(given: object) -> object:
    """JSON."""
    if not isinstance(given, str):
        return given
    try:
        return json.loads(given)
    except ValueError as error:
        raise ValueError(f"should be JSON: {error}") from None


Seconds = Annotated[float, BeforeValidator(seconds), Field(allow_inf_nan=False)]
Bytes = ByteSize
Names = Annotated[tuple[str, ...], BeforeValidator(names)]
Json = Annotated[Any, BeforeValidator(parsed)]
KINDS = {Seconds: "duration", Bytes: "size", Names: "names", Json: "json"}


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
            raise BadOption(f"{self.name}: longer than {LONGEST_TEXT} characters")
        try:
            return self.adapter.validate_python(given.strip() if self.kind != "str" else given)
        except ValidationError as error:
            raise BadOption(f"{self.name}: {_sentence(error)}, not {given!r}") from None


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    return first["msg"].removeprefix("Value error, ").removeprefix("Input ")


def catalogue(model: type[BaseModel]) -> dict[str, Option]:
    """The registry, in the order of declaration."""
    hints = get_type_hints(model, include_extras=True)
    return {name: _option(name, hints[name], field) for name, field in model.model_fields.items()}


def _option(name: str, hint: Any, field: FieldInfo) -> Option:
    more = cast("dict[str, Any]", field.json_schema_extra)
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    return Option(
        name=name,
        group=more["group"],
        kind="choice" if choices else KINDS.get(hint) or hint.__name__,
        choices=choices,
        default=field.default,
        bounds=more["bounds"],
        text=field.description or "",
        past=more["past"],
        adapter=TypeAdapter(field.rebuild_annotation()),
    )
