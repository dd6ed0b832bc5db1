"""A page of HTML, read as a browser reads it: its elements, and the words that a person sees."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """The elements of a page, and its text without markup."""

    def __init__(self, html):
        super().__init__()
        self.elements, self.words, self._open = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "wbr"):
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        if "style" not in self._open:
            self.words.append(data)

    @property
    def text(self):
        """Its words, with one blank between them."""
        return " ".join(" ".join(self.words).split())

    def values(self, attribute):
        """Return what an attribute says, wherever it is there."""
        return [attrs[attribute] for _, attrs in self.elements if attribute in attrs]
