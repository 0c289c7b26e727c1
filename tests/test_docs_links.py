"""Every link in every document leads somewhere: to a file, and to a heading that is in it."""

import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.markdown import ROOT, anchors, documents, links

# What may be reached without TLS: this computer, and addresses that stand for nobody's.
_NEAR = re.compile(r"localhost|127\.\d+\.\d+\.\d+|192\.(?:0\.2|168\.\d+)\.\d+|[\w-]+\.local")
_HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}")

DOCUMENTS = [str(document) for document in documents()]


def fault(document: str, link: str) -> str | None:
    """What is wrong with a link, or ``None``."""
    parts = urlsplit(link)
    if parts.scheme in ("http", "https"):
        host = parts.hostname or ""
        if _NEAR.fullmatch(host):
            return None
        if parts.scheme == "http":
            return "https is expected"
        return None if _HOST.fullmatch(host) else "this is no host"
    if parts.scheme or parts.netloc:
        return "a link to a page or to a file of the project is expected"
    target = document
    if parts.path:
        path = (ROOT / document).parent / unquote(parts.path)
        if not path.exists():
            return "there is no such file"
        if not path.resolve().is_relative_to(ROOT):
            return "this is outside of the project"
        target = str(path.resolve().relative_to(ROOT))
    if parts.fragment and (Path(target).suffix != ".md" or parts.fragment not in anchors(target)):
        return f"{target} has no such heading"
    return None


def test_the_documents_are_found() -> None:
    assert {"README.md", "SECURITY.md", "docs/mqtt.md", "firmware/README.md"} <= set(DOCUMENTS)
    assert sum(len(links(document)) for document in DOCUMENTS) > 20


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_somewhere(document: str) -> None:
    wrong = [f"{link}: {why}" for link in links(document) if (why := fault(document, link))]
    assert wrong == []


@pytest.mark.parametrize(
    "link",
    [
        "nowhere.md",
        "docs/nowhere.md#topics",
        "docs/mqtt.md#nowhere",
        "#nowhere",
        "LICENSE#topics",
        "../outside.md",
        "http://example.org/",
        "https://example",
        "ftp://example.org/",
        "//example.org/",
        "mailto:me@example.org",
    ],
)
def test_a_link_that_leads_nowhere_is_found(link: str) -> None:
    assert fault("README.md", link) is not None


@pytest.mark.parametrize(
    "link", ["docs", "docs/mqtt.md#the-result", "https://example.org/#x", "http://192.0.2.1/"]
)
def test_a_link_that_leads_somewhere_is_none(link: str) -> None:
    assert fault("README.md", link) is None
