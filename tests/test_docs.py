"""The page at `/docs`: whole, without a dead link, and without a word to any other host."""

from html.parser import HTMLParser

from gateway.docs import DOCS_ROUTES
from gateway.docs.markup import Html, element, prose, table
from tests.gateway_server import GatewayServer
from tests.served import asked


class Links(HTMLParser):
    """What a page names, links to and loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: set[str] = set()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.add(name)
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src"):
                self.links.add(value or "")


async def test_the_page_has_no_dead_link_and_loads_from_here_only(gateway: GatewayServer) -> None:
    answer = await asked(gateway.port, "GET", "/docs", {})
    page = Links(answer.body)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert len(page.ids) == len(set(page.ids))
    inside = {link[1:] for link in page.links if link.startswith("#")}
    assert inside <= set(page.ids)
    outside = {link for link in page.links if not link.startswith("#")}
    assert outside == {
        "/",
        "/assets/icon.svg",
        *(route.path for route in DOCS_ROUTES if route.path != "/docs"),
    }
    for path in outside:
        assert (await asked(gateway.port, "GET", path, {})).status == 200
    # What the policy would not let happen anyway.
    assert page.tags.isdisjoint({"script", "style", "iframe", "img"})
    assert not {name for name in page.attributes if name == "style" or name.startswith("on")}


async def test_the_browser_is_told_to_load_nothing_from_elsewhere(gateway: GatewayServer) -> None:
    for route in DOCS_ROUTES:
        answer = await asked(gateway.port, "GET", route.path, {})
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'self'; script-src 'none'")
        assert answer.headers["x-content-type-options"] == "nosniff"
        known = {"If-None-Match": answer.headers["etag"]}
        assert (await asked(gateway.port, "GET", route.path, known)).status == 304


def test_text_is_never_markup() -> None:
    assert element("p", "<script>", id='"') == '<p id="&quot;">&lt;script&gt;</p>'
    assert prose("`a<b` & <i>") == "<code>a&lt;b</code> &amp; &lt;i&gt;"
    assert element("b", Html("<i>x</i>"), class_="y") == '<b class="y"><i>x</i></b>'
    assert "<td>&lt;</td>" in table(("a",), [("<",)])
