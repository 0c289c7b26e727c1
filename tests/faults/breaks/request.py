"""Breaks of one result for each request."""

from tests.faults.breaks.rule import INBOX, PUBLISHER, QUEUE, WORKER, Break

REQUEST = [
    Break(
        "each request has one result",
        "worker.py",
        "            answer.results(job)\n",
        "            answer.results(job)\n            answer.results(job)\n",
        "test_bridge.py::test_the_image_comes_first_then_the_path_then_the_result[fake]",
    ),
    Break(
        "the result waits for the file",
        "worker.py",
        "                await self._store(job, outcome)\n        finally:\n",
        "                asyncio.create_task(self._store(job, outcome))\n        finally:\n",
        "test_bridge.py::test_the_image_comes_first_then_the_path_then_the_result[fake]",
    ),
    Break(
        "a request joins only what waits",
        "queue.py",
        "if job.index == 1 and job.options",
        "if job.options",
        QUEUE + "test_a_request_does_not_join_a_burst_that_has_begun",
    ),
    Break(
        "a capture that is taken up waits no more",
        "queue.py",
        "        self._jobs.remove(job)\n",
        "",
        QUEUE + "test_a_request_never_joins_a_capture_that_was_taken_up_before_it",
    ),
    Break(
        "only equal requests join",
        "queue.py",
        "and job.options == request.options:",
        ":",
        QUEUE + "test_requests_that_differ_in_anything_else_do_not_share_one",
    ),
    Break(
        "a hundred may join",
        "queue.py",
        "if len(job.requests) > MAX_JOINED:",
        "if False:",
        QUEUE + "test_a_hundred_may_join_and_no_more",
    ),
    Break(
        "capture.queue bounds what waits",
        "queue.py",
        "if len(self._jobs) >= self.size + idle:",
        "if False:",
        QUEUE + "test_a_queue_takes_as_many_captures_as_it_may_and_is_then_busy",
    ),
    Break(
        "what waits too long expires",
        "queue.py",
        "if now - job.waits_since(request) >= self.max_age",
        "if False",
        QUEUE + "test_each_request_expires_on_its_own",
    ),
    Break(
        "and is told so at once",
        "worker.py",
        "        if self._expiry is None and (not idle or len(self.queue) > 1):\n",
        "        if False:\n",
        WORKER + "test_what_waits_too_long_is_told_while_the_camera_is_busy",
    ),
    Break(
        "a command for a camera that is away makes the bridge try at once",
        "worker.py",
        "elif (job := self.queue.take(now)) is not None:",
        "elif now >= self._connect_at and (job := self.queue.take(now)) is not None:",
        WORKER + "test_a_request_does_not_wait_for_the_end_of_a_pause",
    ),
    Break(
        "a stop answers who waits",
        "worker.py",
        """        for job, request in self.queue.clear():
            self.refuse(request, ShuttingDown(_LEAVING), job)
""",
        "        self.queue.clear()\n",
        WORKER + "test_a_stop_refuses_what_waits_and_finishes_what_is_being_taken",
    ),
    Break(
        "and who comes too late",
        "worker.py",
        """            if self._stopping:
                raise ShuttingDown(_LEAVING)
            if request.reply""",
        """            if request.reply""",
        WORKER + "test_a_stop_refuses_what_waits_and_finishes_what_is_being_taken",
    ),
    Break(
        "and whose capture is broken off",
        "worker.py",
        """            for request in job.requests:
                self.refuse(request, ShuttingDown(_LEAVING), job)
            raise
""",
        "            raise\n",
        WORKER + "test_who_waits_for_a_capture_that_is_broken_off_is_told",
    ),
    Break(
        "a retained command is ignored",
        "router.py",
        "        if message.retain:\n",
        "        if False:\n",
        "test_bridge_mqtt.py::test_a_retained_command_is_ignored[3.1.1-fake]",
    ),
    Break(
        "a command is acknowledged after its result",
        "publisher.py",
        "last.on_sent = request.done\n",
        "request.done and request.done()\n",
        PUBLISHER + "test_a_command_is_done_with_once_and_after_its_last_answer[image-None]",
    ),
    Break(
        "on MQTT 5, where a kill would lose it otherwise",
        "mqtt.py",
        "accepted = done if not connection.v5 else None",
        "accepted = done",
        "test_bridge_faults.py::"
        "test_a_command_in_the_works_when_the_bridge_is_killed_comes_again_and_is_answered",
    ),
    Break(
        "of which the broker sends more before it wants acknowledgements",
        "connection.py",
        "_RECEIVE_MAXIMUM = 1000",
        "_RECEIVE_MAXIMUM = 20",
        "test_bridge_faults.py::"
        "test_commands_for_a_dead_camera_do_not_keep_those_for_others_with_the_broker[5]",
    ),
    Break(
        "on 3.1.1 a command is acknowledged on acceptance",
        "mqtt.py",
        """        message.done = done if connection.v5 else None
        # 3.1.1 allows 20 unacknowledged: one dead camera must not block the rest
        accepted = done if not connection.v5 else None
""",
        """        message.done = done
        accepted = None
""",
        "test_bridge_faults.py::"
        "test_commands_for_a_dead_camera_do_not_keep_those_for_others_with_the_broker[3.1.1]",
    ),
    Break(
        "a flood on one topic holds up nobody on another",
        "inbox.py",
        "self._lines[topic] = line",
        "self._lines = {topic: line, **self._lines}",
        "test_crowd.py::test_topics_have_their_turn_and_each_keeps_its_order",
    ),
    Break(
        "a redelivery is not captured again",
        "inbox.py",
        "if dup and known is not None and known.what == what:",
        "if False:",
        INBOX + "test_one_that_was_answered_is_acknowledged_again_and_not_done_again",
    ),
    Break(
        "a new message is a new request",
        "inbox.py",
        "if dup and known is not None",
        "if known is not None",
        INBOX + "test_the_same_command_sent_anew_is_a_command",
    ),
    Break(
        "so is another one with the same packet identifier",
        "inbox.py",
        " and known.what == what:",
        ":",
        INBOX + "test_another_command_under_the_same_identifier_is_a_command",
    ),
    Break(
        "an acknowledgement goes to who brought the command last",
        "inbox.py",
        "            known.connection = connection\n",
        "",
        INBOX + "test_one_that_is_in_the_works_is_acknowledged_to_who_brought_it_last",
    ),
    Break(
        "without its session a broker redelivers nothing",
        "inbox.py",
        "if not session_present:",
        "if False:",
        INBOX + "test_without_its_session_a_broker_redelivers_nothing_so_all_is_new",
    ),
    Break(
        "an answer to one of our own topics is refused",
        "topics.py",
        "if topic in ours:",
        "if False:",
        "test_topics.py::test_an_answer_never_goes_to",
    ),
]
