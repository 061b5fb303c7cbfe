"""Texts that anybody may have written, and times."""

from __future__ import annotations

from datetime import datetime

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

register = template.Library()


@register.filter
def visible(text: object) -> str:
    """Marks that cannot be seen, as those that turn the direction of writing, in their escaped spelling."""
    return "".join(c if c.isprintable() or c == "\n" else _escaped(c) for c in str(text))


@register.filter
def quoted(text: str | None) -> SafeString:
    """A text in one line, or that there is none; nothing around it is touched by its direction."""
    if text is None:
        return mark_safe('<i class="none">default</i>')
    if not text:
        return mark_safe('<i class="none">empty</i>')
    return format_html("<bdi><code>{}</code></bdi>", visible(text).replace("\n", _escaped("\n")))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


@register.filter
def moment(at: datetime | None) -> SafeString:
    """A time in UTC."""
    if at is None:
        return mark_safe("")
    return format_html('<time datetime="{}">{}</time>', at.isoformat(), at.strftime("%Y-%m-%d %H:%M:%S"))
