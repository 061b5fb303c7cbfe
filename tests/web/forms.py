"""Forms of a page, and the values that a browser without JavaScript sends."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import NamedTuple


class Form(NamedTuple):
    """Form with the values that a browser sends for it."""

    action: str
    fields: dict[str, str]
    buttons: list[str]


class Forms(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self.disabled = False
        self._area: str | None = None
        self._select: str | None = None
        self._option: list[str] | None = None
        self._chosen = False
        self.feed(page)

    def handle_starttag(self, tag: str, given: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in given}
        name = attributes.get("name", "")
        if tag == "form":
            self.forms.append(Form(attributes.get("action", ""), {}, []))
        elif not self.forms:
            return
        elif tag == "fieldset":
            self.disabled = self.disabled or "disabled" in attributes
        elif tag == "button":
            self.forms[-1].buttons.append(name)
        elif tag == "textarea":
            self._area = name
            self.forms[-1].fields[name] = ""
        elif tag == "select":
            self._select, self._chosen = name, False
        elif tag == "option":
            self._end_option()
            self._option = []
            self._take = self._select is not None and (
                "selected" in attributes or (not self._chosen and self._select not in self.forms[-1].fields)
            )
            self._value = attributes.get("value")
            self._chosen = self._chosen or "selected" in attributes
        elif tag == "input" and name and self._sent(attributes):
            self.forms[-1].fields[name] = attributes.get("value", "")

    def _sent(self, attributes: dict[str, str]) -> bool:
        return attributes.get("type") not in ("checkbox", "radio") or "checked" in attributes

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._area is not None:
            text = self.forms[-1].fields[self._area].removeprefix("\n")
            self.forms[-1].fields[self._area] = text.replace("\n", "\r\n")
            self._area = None
        elif tag in ("option", "select", "datalist"):
            self._end_option()
            if tag == "select":
                self._select = None

    def _end_option(self) -> None:
        if self._option is not None and self._take and self._select:
            text = "".join(self._option) if self._value is None else self._value
            self.forms[-1].fields[self._select] = text
        self._option = None

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self.forms[-1].fields[self._area] += data
        elif self._option is not None:
            self._option.append(data)


def form_of(page: str, field: str) -> Form:
    """The form that has this field."""
    return next(form for form in Forms(page).forms if field in form.fields)
