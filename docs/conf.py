"""Documentation site (`make docs`): Sphinx with MyST, which reads these documents as the forge does.

`index.md` is the only list of documents: its headings are the parts of the menu, and the links below a
heading are the documents of that part. A document without a place in it, a link to a document or heading
that is missing, and every other warning of Sphinx end the build.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from tecken import __version__  # noqa: E402

project = "Tecken"
copyright = "the contributors of Tecken, Mozilla Public License 2.0"
release = __version__

root_doc = "index"
extensions = ["myst_parser"]
exclude_patterns = ["images", "pictures"]
# Anchors of headings are those of the forge.
myst_heading_anchors = 6
# A code block without a language is not Python.
highlight_language = "none"
# A language that is only a name in a document, such as `console` with placeholders, is not an error of it.
suppress_warnings = ["misc.highlighting_failure"]

html_theme = "furo"
html_title = f"Tecken {release}"
html_static_path: list[str] = []
html_copy_source = False
html_use_index = False
html_show_sphinx = False
html_theme_options = {
    "footer_icons": [],
    # The fonts of the reader's system: nothing is fetched from other sites.
    "light_css_variables": {
        "font-stack": "system-ui, sans-serif",
        "font-stack--monospace": "ui-monospace, monospace",
    },
}

# Documents whose text is that of a file of the checkout. On the forge they are a link to it.
EMBEDDED = {"changelog": "CHANGELOG.md", "contribute": "CONTRIBUTING.md"}
RECORDS = "adr/README"
PART = re.compile(r"^## (.+)$", re.MULTILINE)
DOCUMENT = re.compile(r"^\* \[([^]]+)\]\(([^)#:]+)\.md\)", re.MULTILINE)
WIDE = 'class="table-wrapper'
HEADING = re.compile(r"^#+ .+$", re.MULTILINE)


def read_source(_app: Sphinx, name: str, source: list[str]) -> None:
    """Change the text of a document for the site."""
    text = read_embedded(EMBEDDED[name]) if name in EMBEDDED else source[0]
    up = "../" * (name.count("/") + 1)
    for document, file in EMBEDDED.items():
        text = text.replace(f"]({up}{file}", f"]({up[3:]}{document}.md")
    # Pages of a running site, and files outside of docs/, are not part of this site.
    text = re.sub(rf"\[([^]]+)\]\((?:/|{re.escape(up)})[^)]*\)", r"\1", text)
    # A part of an address, such as <path:file>, would be a link.
    text = HEADING.sub(lambda heading: heading[0].replace("<", r"\<"), text)
    if name == root_doc:
        text += make_menu(text)
    elif name == RECORDS:
        text += make_list("[0-9]*", ":glob:")
    source[0] = text


def read_embedded(file: str) -> str:
    """Return a file of the checkout, with its links as from docs/."""
    text = (DOCS.parent / file).read_text()
    return re.sub(r"\]\((?!https?:|#)", "](../", text).replace("](../docs/", "](")


def make_menu(index: str) -> str:
    """Return the lists of documents below each heading of the index."""
    _, *parts = PART.split(index)
    return "".join(
        make_list(
            "\n".join(f"{label} <{path}>" for label, path in DOCUMENT.findall(text)), f":caption: {title}"
        )
        for title, text in zip(parts[::2], parts[1::2], strict=True)
    )


def make_list(documents: str, option: str) -> str:
    """Return a list of documents for the menu, which the page does not show."""
    return f"\n\n```{{toctree}}\n:hidden:\n{option}\n\n{documents}\n```\n"


def label_page(_app: Sphinx, _name: str, _template: str, context: dict[str, Any], _tree: object) -> None:
    """Add what keyboards and screen readers need: levels of headings in the menu, focus on wide parts."""
    menu, body = context.get("furo_navigation_tree", ""), context.get("body", "")
    context["furo_navigation_tree"] = menu.replace('role="heading"', 'role="heading" aria-level="2"')
    context["body"] = body.replace("<pre>", '<pre tabindex="0">').replace(WIDE, f'tabindex="0" {WIDE}')


def setup(app: Sphinx) -> None:
    """Connect the changes to Sphinx."""
    app.connect("source-read", read_source)
    # After the theme, which makes the menu.
    app.connect("html-page-context", label_page, priority=900)
