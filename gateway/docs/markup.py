"""HTML from values: everything that is text is escaped, unless it was made here. Pure."""

import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

_CODE: Final = re.compile(r"`([^`]+)`")


class Html(str):
    """Text that is markup already."""

    __slots__ = ()


def element(tag: str, *children: str, **attributes: str) -> Html:
    """`class_` is the attribute `class`."""
    told = "".join(
        f' {name.rstrip("_")}="{escape(value)}"' for name, value in attributes.items() if value
    )
    return Html(f"<{tag}{told}>{joined(children)}</{tag}>")


def joined(parts: Iterable[str]) -> Html:
    return Html("".join(one if isinstance(one, Html) else escape(one) for one in parts))


def prose(text: str) -> Html:
    """A line in which backticks mark code."""
    return Html(_CODE.sub(r"<code>\1</code>", escape(text, quote=False)))


def paragraphs(text: str) -> Html:
    """Parts with blank lines between them."""
    return joined(element("p", prose(" ".join(one.split()))) for one in text.split("\n\n"))


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Html:
    """In a frame that scrolls where the page is narrow."""
    head = element("tr", *(element("th", title) for title in titles))
    body = [element("tr", *(element("td", cell) for cell in row)) for row in rows]
    inner = element("table", element("thead", head), element("tbody", *body))
    return element("div", inner, class_="wide")
