"""What a break is, and the tests that most of them are for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Break:
    """One rule, undone on purpose.

    Args:
        rule: in words.
        file: of ``bridge/``, where it is kept.
        old: text that occurs there exactly once.
        new: what undoes the rule, in its place.
        caught_by: the test that fails then.
    """

    rule: str
    file: str
    old: str
    new: str
    caught_by: str


CAMERA = "test_camera.py::"
WRONG = CAMERA + "test_what_a_board_does_wrong_has_a_name_and_is_tried_again"
NOT_AS_ANNOUNCED = CAMERA + "test_an_image_that_is_not_as_announced_is_refused"
NO_HANDSHAKE = CAMERA + "test_a_handshake_that_fails_has_a_name"
DEADLINE = CAMERA + "test_a_deadline_covers_all_of_it"
INBOX = "test_inbox.py::"
JPEG = "test_jpeg.py::"
OUTBOX = "test_outbox.py::"
PROTOCOL = "test_protocol.py::"
PUBLISHER = "test_publisher.py::"
QUEUE = "test_queue.py::"
WORKER = "test_worker.py::"
