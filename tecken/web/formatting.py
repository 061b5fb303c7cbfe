"""Numbers, times and foreign texts in the form in which pages show them.

`tecken.web.templatetags.site` offers these functions to templates as filters.
"""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

LONGEST_NAME = 240
UNITS = ("B", "KB", "MB", "GB", "TB")


def size(number: float | None) -> str:
    """Return bytes in powers of a thousand: 950 B, 1.2 KB, 34 MB."""
    if number is None:
        return ""
    value = float(number)
    for unit in UNITS:
        if abs(value) < 999.5 or unit == UNITS[-1]:
            break
        value /= 1000
    return f"{value:.0f} {unit}" if value >= 10 or unit == "B" else f"{value:.1f} {unit}"


def count(number: int | None) -> str:
    """Return a number with separators: 1,234,567."""
    return "" if number is None else f"{number:,}"


def percent(share: float | None) -> str:
    """Return a share as a percentage: 99.5 % for 0.9951."""
    return "" if share is None else f"{share * 100:.1f} %"


def seconds(number: float | None) -> str:
    """Return a duration: 12 ms for 0.0123, 1 min 15 s for 75."""
    if number is None:
        return ""
    if number < 1:
        return f"{number * 1000:.0f} ms"
    if number < 60:
        return f"{number:.1f} s" if number < 10 else f"{number:.0f} s"
    minutes, rest = divmod(round(number), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} days"
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def ago(at: datetime | None) -> SafeString:
    """Return the time since `at` as HTML that has the time itself as its title."""
    if at is None:
        return mark_safe("")
    since = seconds(max(0.0, (timezone.now() - at).total_seconds()))
    return format_html(
        '<time datetime="{}" title="{}">{} ago</time>', at.isoformat(), f"{at:%Y-%m-%d %H:%M:%S} UTC", since
    )


def moment(at: datetime | None) -> SafeString:
    """Return a time in UTC as HTML."""
    if at is None:
        return mark_safe("")
    return format_html('<time datetime="{}">{}</time>', at.isoformat(), at.strftime("%Y-%m-%d %H:%M:%S"))


def escape_invisible(text: object) -> str:
    """Return a text with its invisible characters escaped, line ends excepted.

    Characters such as RIGHT-TO-LEFT OVERRIDE make a browser show a file name that differs from the real one,
    so each text that comes from a client passes this filter.
    """
    return "".join(c if c.isprintable() or c == "\n" else _escape(c) for c in str(text))


def foreign_name(text: object) -> SafeString:
    """Return a name from a report or symbol file as HTML; of a very long one the start, which unfolds."""
    name = escape_invisible(text)
    if len(name) <= LONGEST_NAME:
        return format_html("<bdi>{}</bdi>", name)
    html = '<details class="long"><summary><bdi>{}</bdi>…</summary><bdi>{}</bdi></details>'
    return format_html(html, name[: LONGEST_NAME - 40], name)


def quote_option(text: str | None) -> SafeString:
    """Return an option's text in one line as HTML, or a remark that there is none."""
    if text is None:
        return mark_safe('<i class="none">default</i>')
    if not text:
        return mark_safe('<i class="none">empty</i>')
    # <bdi> keeps a text that is written from right to left from reordering the words around it.
    return format_html("<bdi><code>{}</code></bdi>", escape_invisible(text).replace("\n", _escape("\n")))


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
