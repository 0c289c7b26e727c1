"""Node-RED's editor in a browser, used with the mouse and the keyboard."""

from pathlib import Path
from typing import Any, NamedTuple

from tests.integration.browser import Browser, labelled

_MENU = "document.querySelector('#red-ui-header-button-sidemenu')"
_ASKED = "Some of the nodes you are importing already exist in your workspace."
_SAID = """[...document.querySelectorAll('.red-ui-notification')]
  .map(it => it.innerText).join('\\n')"""

# Of the flow that is shown, each node's id, and where it is: its button and its status too.
_PLACES = """[...document.querySelectorAll('.red-ui-flow-node-group')].map(node => {
  const { left, top, right, bottom } = node.getBoundingClientRect();
  return [node.id, [left, top, right, bottom]];
})"""


class Place(NamedTuple):
    """Where a node is on the screen."""

    left: float
    top: float
    right: float
    bottom: float


class Editor:
    """The page, used by the words that a person sees; ``words`` are those that were clicked."""

    def __init__(self, browser: Browser, port: int) -> None:
        self.browser = browser
        self.clicks = 0
        self.words: list[str] = []
        browser.open(f"http://127.0.0.1:{port}/")
        browser.wait_for(f"{_MENU} && RED.nodes.getWorkspaceOrder().length")

    def import_file(self, file: Path) -> None:
        """Import this file: menu, Import, select a file to import, Import."""
        self._click(_MENU)
        self._find("Import")
        self._find("select a file to import")
        self.browser.choose_file(file)
        self.clicks += 1
        self.click("Import")

    def import_another(self, file: Path) -> None:
        """The same with something in it that is there already; *Import copy* is the answer."""
        self.import_file(file)
        self.wait_for(_ASKED)
        self.click("Import copy")
        self.browser.wait_for(f"!({_SAID}).includes({_ASKED!r})")

    def open_tab(self, label: str) -> None:
        """Click a flow's tab. Of two, the second would be a double click to Node-RED."""
        self._find(label, ".red-ui-tab-label *")
        self.browser.wait_for(f"RED.nodes.workspace(RED.workspaces.active()).label === {label!r}")

    def open_broker(self, node: str) -> None:
        """Double-click a node, and click the pencil beside *Server*."""
        self._click(f"{_node(node)}?.querySelector(':scope > rect')", times=2)
        self._click("document.querySelector('#node-input-broker ~ a:has(.fa-pencil)')")

    def fill(self, field: str, value: str) -> None:
        """Click a field of the broker's, and put this in."""
        self._click(f"document.querySelector('#node-config-input-{field}')")
        self.browser.type(value)

    def click(self, button: str) -> None:
        """Click the button that says this."""
        self._find(button, "button")

    def deploy(self) -> None:
        """Click Deploy, and wait until it is done."""
        self._find("Deploy")
        self.wait_for("Successfully deployed")

    def press(self, node: str) -> None:
        """Click a node's button."""
        self.words.append(node)
        self._click(f"{_node(node)}?.querySelector('.red-ui-flow-node-button-button')")

    def wait_for(self, words: str) -> None:
        """Wait until a box at the top says this."""
        self.browser.wait_for(f"({_SAID}).includes({words!r})")

    def wait_for_status(self, node: str, status: str) -> None:
        """Wait until this stands below a node."""
        label = "querySelector('.red-ui-flow-node-status-label').textContent"
        self.browser.wait_for(f"{_node(node)}?.{label} === {status!r}")

    def nodes(self) -> list[dict[str, Any]]:
        """All nodes, deployed or not."""
        nodes: list[dict[str, Any]] = self.browser.run("RED.nodes.createCompleteNodeSet()")
        return nodes

    def places(self, tab: str) -> dict[str, Place]:
        """Where the nodes of the flow with this id are, by theirs; it is shown without a click."""
        self.browser.run(f"RED.workspaces.show({tab!r})")
        theirs = f"RED.nodes.filterNodes({{z: {tab!r}}}).map(node => node.id).sort()"
        self.browser.wait_for(f"String({theirs}) === String({_PLACES}.map(it => it[0]).sort())")
        return {id_: Place(*sides) for id_, sides in self.browser.run(_PLACES)}

    def width(self) -> float:
        """Where the part of a flow ends that is seen without scrolling."""
        right: float = self.browser.run(
            "document.querySelector('#red-ui-workspace-chart').getBoundingClientRect().right"
        )
        return right

    def _find(self, words: str, within: str = "*") -> None:
        self.words.append(words)
        self._click(labelled(words, within))

    def _click(self, element: str, *, times: int = 1) -> None:
        self.browser.click(element, times=times)
        self.clicks += times


def _node(label: str) -> str:
    there = f"it.querySelector('.red-ui-flow-node-label').textContent === {label!r}"
    return f"[...document.querySelectorAll('.red-ui-flow-node-group')].find(it => {there})"
