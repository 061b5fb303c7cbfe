"""Check of a page for content that a browser would execute or send elsewhere."""

from __future__ import annotations

import re
from html.parser import HTMLParser

TAG = "x-canary"
MARKUP = f"\"'></textarea></title></script><{TAG} onfocus=alert(1)><script>alert(1)</script>"
TURNED = "\u202egpj.exe"
"""Text that a browser shows as exe.jpg, because it starts with RIGHT-TO-LEFT OVERRIDE."""
TURNING = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069]")
ADDRESSES = ("href", "src", "action", "formaction", "hx-get", "hx-post")
OURS = re.compile(r"(/(?![/\\])|\?|#|$|https?://(testserver|localhost)[/:]|https://|[\w-]+\.\w+$)")
LONE = ("input", "meta", "link", "br", "img")


class Harm(HTMLParser):
    """Parser that collects harmful content in `found`."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, given: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in given}
        if tag not in LONE:
            self._inside.append(tag)
        if tag == TAG or (tag == "script" and not attributes.get("src", "").startswith("/static/")):
            self.found.append(f"<{tag}>")
        self.found += [f"{tag} {name}" for name in attributes if name.startswith("on") or name == "style"]
        self.found += [
            f"{tag} {name}={value}"
            for name, value in attributes.items()
            if name in ADDRESSES and not OURS.match(value) and not value.startswith("data:image/")
        ]

    def handle_endtag(self, tag: str) -> None:
        while tag in self._inside and self._inside.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        """Report invisible characters, except in a text area, which has the text of the user."""
        if TURNING.search(data) and "textarea" not in self._inside:
            self.found.append(f"{data!r} turns what follows it")
