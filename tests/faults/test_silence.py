"""A broker that has gone without a word: noticed while it still keeps our session."""

from tests.conftest import Boards, Clients, StartBridge, old
from tests.fakes.broker import Broker
from tests.fakes.link import Link
from tests.fakes.talk import Talk


def test_what_was_asked_over_a_connection_that_is_half_gone_is_answered_over_the_next(
    bridge: StartBridge, board: Boards, broker: Broker, client: Clients, base_topic: str
) -> None:
    talk = Talk(client(), base_topic)
    with Link(broker.port) as cable:
        process = bridge({"door": old(board())}, mqtt={"port": cable.port, "keepalive": 5})
        cable.forget()  # the broker takes us for gone; we have heard nothing of that
        talk.ask({"id": "a"})
        process.wait_for_log("the broker has been silent for", timeout=20)
        assert talk.result("a")["status"] == "ok"
        assert len(talk.all_results()) == 1
