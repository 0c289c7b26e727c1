"""Breaks of what reaches the broker, and in which order."""

from tests.faults.breaks.rule import OUTBOX, PUBLISHER, Break

RESULT = [
    Break(
        "image before result",
        "outbox.py",
        "        self._waiting.append(publication)\n",
        "        self._waiting.appendleft(publication)\n",
        PUBLISHER + "test_image_then_path_then_result",
    ),
    Break(
        "a result is never retained",
        "publisher.py",
        'Publication(self._topics.result, to_json(content), "result")',
        'Publication(self._topics.result, to_json(content), "result", retain=True)',
        PUBLISHER + "test_what_each_of_them_carries",
    ),
    Break(
        "the outbox never drops a result",
        "outbox.py",
        """while self.bytes > self._max_bytes and self._images:
            self.drop(
                self._images[0],""",
        """while self.bytes > self._max_bytes and self._waiting:
            self.drop(
                self._waiting.popleft(),""",
        OUTBOX + "test_a_result_is_never_dropped_however_many_there_are",
    ),
    Break(
        "the oldest image goes first",
        "outbox.py",
        "                self._images[0],\n",
        "                self._images.pop(),\n",
        OUTBOX + "test_past_the_bound_the_oldest_image_goes_and_its_requester_is_told",
    ),
    Break(
        "what is unacknowledged counts",
        "outbox.py",
        "        self._sent_bytes += len(publication.payload)\n",
        "        self.bytes -= len(publication.payload)\n",
        OUTBOX + "test_what_waits_and_what_is_on_its_way_both_count",
    ),
    Break(
        "what is unacknowledged when the connection is lost comes again",
        "outbox.py",
        "unsent = list(self._sent.values())",
        "unsent: list[Publication] = []",
        OUTBOX + "test_after_a_lost_connection_everything_unacknowledged_comes_again_in_order",
    ),
    Break(
        "but for a state of which a newer one waits, and that alone",
        "outbox.py",
        "                    continue\n                self._states",
        "                    break\n                self._states",
        OUTBOX + "test_a_state_comes_again_only_if_no_newer_one_waits[True]",
    ),
    Break(
        "only an image is given up where a broker breaks off",
        "outbox.py",
        'if cut and unsent and unsent[0].kind == "image":',
        "if cut and unsent:",
        OUTBOX + "test_a_result_that_the_broker_breaks_off_at_is_kept",
    ),
    Break(
        "and its result says so",
        "publisher.py",
        "            publication.on_dropped = answer.image_dropped\n",
        "",
        PUBLISHER + "test_an_image_at_which_the_broker_breaks_off_makes_its_result_an_error",
    ),
]
