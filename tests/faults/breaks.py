"""The rules of the contract, each with a break of it that a test must not survive."""

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

CONNECTION = [
    Break(
        "after a time-out the connection is dropped",
        "camera.py",
        """wants a key after it was asked")
        except BoardFailure:
            raise
        except BaseException:
            self.abort()
""",
        """wants a key after it was asked")
        except BoardFailure:
            raise
        except BaseException:
""",
        CAMERA + "test_a_late_image_does_not_answer_the_next_request",
    ),
    Break(
        "after a bad image the connection is dropped",
        "attempt.py",
        "            camera.abort()\n",
        "",
        WRONG + "[truncated-legacy]",
    ),
    Break(
        "an image that nobody asked for ends the connection",
        "camera.py",
        "elif opcode == BINARY and self._wire is not None:",
        "elif False:",
        CAMERA + "test_an_unasked_image_that_has_just_arrived_does_not_answer[legacy]",
    ),
    Break(
        "what has arrived before the question is looked at before it is asked",
        "camera.py",
        "            wire.drain()\n",
        "",
        CAMERA + "test_an_unasked_image_that_has_just_arrived_does_not_answer[legacy]",
    ),
    Break(
        "a frame that began before the question is not its answer",
        "wire.py",
        "self._connection.cont_frame.cont_data is not None or self._frames.amid",
        "self._connection.cont_frame.cont_data is not None",
        CAMERA + "test_an_image_that_began_before_the_question_does_not_answer_it",
    ),
    Break(
        "fragments that began before the question are not its answer",
        "wire.py",
        "self._connection.cont_frame.cont_data is not None or self._frames.amid",
        "self._frames.amid",
        CAMERA + "test_fragments_that_began_before_the_question_do_not_answer_it",
    ),
    Break(
        "what came with the hello is not an answer",
        "camera.py",
        "wire.amid or any(opcode == BINARY for opcode, _ in self._inbox)",
        "wire.amid",
        CAMERA + "test_an_image_right_behind_the_hello_does_not_answer[v1]",
    ),
    Break(
        "a picture of a cut connection is not used",
        "wire.py",
        """                if not count:
                    raise websocket.WebSocketConnectionClosedException("the board hung up")
                self._filled""",
        """                if not count:
                    break
                self._filled""",
        WRONG + "[cut within-legacy]",
    ),
    Break(
        "a board's masked frame is a surprise",
        "wire.py",
        "if self.header[5]:",
        "if False:",
        WRONG + "[masked-legacy]",
    ),
    Break(
        "a lost connection is tried again",
        "attempt.py",
        "except (Unreachable, CameraFailed, CaptureTimeout) as exc:",
        "except (Unreachable, CaptureTimeout) as exc:",
        WRONG + "[cut-legacy]",
    ),
    Break(
        "no more often than capture.retries says",
        "attempt.py",
        "if left == 1 or time.monotonic()",
        "if time.monotonic()",
        WRONG + "[truncated-v1]",
    ),
    Break(
        "within the deadline",
        "attempt.py",
        "if left == 1 or time.monotonic() + pause >= deadline:",
        "if left == 1:",
        CAMERA + "test_a_board_that_wants_more_time_than_there_is_fails_at_once",
    ),
    Break(
        "the deadline holds for a board whose bytes keep coming",
        "camera.py",
        "if now < min(deadline, silent_until):",
        "if now < silent_until:",
        DEADLINE + "[drip]",
    ),
    Break(
        "the deadline holds for a handshake",
        "attempt.py",
        "deadline=min(deadline, time.monotonic() + patience)",
        "deadline=time.monotonic() + 2",
        DEADLINE + "[handshake_silent]",
    ),
    Break(
        "a command's own timeout goes before the camera's",
        "attempt.py",
        "(timeout if options.timeout is None else options.timeout)",
        "timeout",
        CAMERA + "test_a_commands_own_timeout_goes_before_the_cameras",
    ),
    Break(
        "a refused connection is tried again",
        "attempt.py",
        "except (Unreachable, CameraFailed, CaptureTimeout) as exc:",
        "except (CameraFailed, CaptureTimeout) as exc:",
        CAMERA + "test_a_full_board_is_tried_again_after_a_second",
    ),
    Break(
        "and not before a second has passed",
        "attempt.py",
        "_REFUSED_PAUSE = 1.0",
        "_REFUSED_PAUSE = 0.0",
        CAMERA + "test_a_refused_connection_is_tried_again_after_a_second",
    ),
    Break(
        "wrong credentials are not tried again",
        "attempt.py",
        "except (Unreachable, CameraFailed, CaptureTimeout) as exc:",
        "except BridgeError as exc:",
        CAMERA + "test_wrong_credentials_are_not_tried_again",
    ),
    Break(
        "pauses between connections to a lost board have full jitter",
        "worker.py",
        "random.uniform(0, ceiling)",
        "random.uniform(ceiling / 2, ceiling)",
        WORKER + "test_pauses_between_connections_double_to_a_minute_with_full_jitter",
    ),
    Break(
        "and are a minute at most",
        "worker.py",
        "ceiling = min(most, least * 2 ** min(self._failed_connects, 10))",
        "ceiling = least * 2 ** min(self._failed_connects, 10)",
        WORKER + "test_pauses_between_connections_double_to_a_minute_with_full_jitter",
    ),
    Break(
        "and start anew after a connection",
        "worker.py",
        "        self._failed_connects = 0\n        if self._camera.hello",
        "        if self._camera.hello",
        WORKER + "test_pauses_start_anew_once_the_board_was_there",
    ),
]

LEGACY = [
    Break(
        "the question is the seven bytes of the original sketch",
        "protocol.py",
        'LEGACY_CAPTURE = "capture"',
        'LEGACY_CAPTURE = "capture\\n"',
        PROTOCOL + "test_the_legacy_command_is_seven_bytes",
    ),
    Break(
        "never an empty message",
        "wire.py",
        "            self._connection.send(text)\n",
        '            self._connection.send("")\n            self._connection.send(text)\n',
        CAMERA + "test_a_legacy_board_gets_one_frame_of_seven_bytes_for_each_picture",
    ),
    Break(
        "no subprotocol is offered",
        "wire.py",
        "suppress_origin=True,",
        'suppress_origin=True, subprotocols=["arduino"],',
        CAMERA + "test_the_handshake_offers_no_subprotocol_and_no_origin",
    ),
    Break(
        "pings are answered",
        "wire.py",
        "        return super().recv_frame()\n",
        """        frame = super().recv_frame()
        if frame.opcode == ABNF.OPCODE_PING:
            frame.opcode = ABNF.OPCODE_PONG
        return frame
""",
        CAMERA + "test_a_ping_is_answered_while_nothing_is_asked",
    ),
    Break(
        "text is ignored on legacy boards",
        "camera.py",
        "continue  # text from the original sketch is for nobody",
        'raise CameraFailed("text")',
        CAMERA + "test_text_before_the_picture_is_for_nobody",
    ),
    Break(
        "no redirect is followed",
        "wire.py",
        "redirect_limit=0,",
        "redirect_limit=3,",
        CAMERA + "test_a_redirect_is_not_followed[302 Found]",
    ),
    Break(
        "no proxy of the environment is asked",
        "wire.py",
        "        guarded = _Guarded(sock, self._deadline)\n",
        """        from websocket import _http
        options = _http.sock_opt([], None), _http.proxy_info()
        sock, _ = _http.connect(self._target.url, *options, None)
        guarded = _Guarded(sock, self._deadline)
""",
        CAMERA + "test_the_environments_proxies_are_not_asked[http_proxy]",
    ),
    Break(
        "a frame over max_image is refused before memory is taken",
        "wire.py",
        "if self.length > limit:",
        "if self.length > 1 << 62:",
        CAMERA + "test_what_is_too_large_takes_no_memory[behaviour1]",
    ),
    Break(
        "and so are fragments",
        "wire.py",
        "if self._size > self._max_bytes or len(",
        "if len(",
        CAMERA + "test_what_is_too_large_takes_no_memory[behaviour2]",
    ),
    Break(
        "a text has a limit of its own",
        "wire.py",
        "limit = self._max_text if self.header[4] == TEXT else self._max_image",
        "limit = self._max_image",
        CAMERA + "test_a_text_without_measure_is_not_taken_in",
    ),
    Break(
        "a handshake has a limit",
        "wire.py",
        "if len(self._head) >= _HANDSHAKE_BYTES:",
        "if False:",
        NO_HANDSHAKE + "[handshake_endless]",
    ),
    Break(
        "`discard` takes and drops so many pictures first",
        "camera.py",
        "for _ in range(self._config.discard):",
        "for _ in range(0):",
        CAMERA + "test_so_many_pictures_are_dropped_first_as_are_to_be",
    ),
]

V1 = [
    Break(
        "v1 is asked for at /v1, where the URL has no path of its own",
        "camera.py",
        'if wire == "legacy" or rest.partition("/")[2] or "?" in rest:',
        "if True:",
        CAMERA + "test_v1_is_asked_for_only_where_the_url_has_no_path_of_its_own[auto--/v1]",
    ),
    Break(
        "a hello is waited for",
        "camera.py",
        "_HELLO_WAIT = 0.5",
        "_HELLO_WAIT = 0.0",
        CAMERA + "test_a_hello_is_waited_for_only_on_the_first_connection",
    ),
    Break(
        "only on the first connection",
        "camera.py",
        "            self._hello_expected = False\n            return\n",
        "            return\n",
        CAMERA + "test_a_hello_is_waited_for_only_on_the_first_connection",
    ),
    Break(
        "and taken whenever it comes",
        "camera.py",
        'self._config.protocol != "legacy" and self.hello is None:',
        "self._hello_expected and self.hello is None:",
        CAMERA + "test_a_late_hello_between_question_and_answer_is_no_surprise",
    ),
    Break(
        "nothing but `capture` until a valid hello",
        "protocol.py",
        "protocol: Literal[1]",
        "protocol: int",
        CAMERA + "test_a_board_that_says_no_valid_hello_gets_nothing_but_capture[another protocol]",
    ),
    Break(
        "and nothing special is wanted of such a board",
        "camera.py",
        "if self.hello is None and (fault",
        "if False and (fault",
        CAMERA + "test_a_legacy_board_can_do_nothing_special[options0]",
    ),
    Break(
        "an announcement has the question's id",
        "camera.py",
        "isinstance(message, protocol.ImageHead) and message.id == id_:",
        "isinstance(message, protocol.ImageHead):",
        NOT_AS_ANNOUNCED + "[behaviour3-camera_failed]",
    ),
    Break(
        "an image is announced",
        "camera.py",
        "if self.hello is not None and head is None:",
        "if False:",
        NOT_AS_ANNOUNCED + "[behaviour4-camera_failed]",
    ),
    Break(
        "an announcement is followed by its image",
        "camera.py",
        'if head is not None:\n                    raise CameraFailed("the board announced',
        'if False:\n                    raise CameraFailed("the board announced',
        CAMERA + "test_a_surprise_between_question_and_answer_ends_the_connection[announced_twice]",
    ),
    Break(
        "an image is as long as announced",
        "protocol.py",
        "if len(data) != head.bytes:",
        "if False:",
        NOT_AS_ANNOUNCED + "[behaviour0-bad_image]",
    ),
    Break(
        "and has the announced CRC",
        "protocol.py",
        "if head.crc32 is not None and zlib",
        "if False and zlib",
        NOT_AS_ANNOUNCED + "[behaviour1-bad_image]",
    ),
    Break(
        "a failure of another question is a surprise",
        "camera.py",
        """head = message
                elif isinstance(message, protocol.BoardError) and message.id in (id_, None):""",
        """head = message
                elif isinstance(message, protocol.BoardError):""",
        CAMERA
        + "test_a_surprise_between_question_and_answer_ends_the_connection[failure_of_another]",
    ),
    Break(
        "a board's own error keeps the connection",
        "camera.py",
        """wants a key after it was asked")
        except BoardFailure:
            raise
""",
        """wants a key after it was asked")
""",
        CAMERA + "test_a_passing_trouble_is_tried_again_on_the_same_connection[busy]",
    ),
    *(
        Break(
            f"`{error}` is tried again",
            "protocol.py",
            f'"{error}"',
            '"of no importance"',
            PROTOCOL + "test_a_boards_error_is_one_of_ours_and_some_are_worth_asking_again"
            f"[{error}-CameraFailed-True]",
        )
        for error in ("busy", "camera_failed", "no_fresh_frame", "low_memory")
    ),
    Break(
        "and not before the board says so",
        "attempt.py",
        "pause = exc.retry_after\n",
        "pause = 0.0\n",
        CAMERA + "test_a_passing_trouble_is_tried_again_on_the_same_connection[low_memory]",
    ),
    Break(
        "`bad_framesize`, `unknown_command` and `unauthorized` are not tried again",
        "attempt.py",
        "            if exc.retry_after is None:\n                raise failure from exc\n",
        "            exc.retry_after = exc.retry_after or 0.0\n",
        CAMERA + "test_a_lasting_trouble_is_not_tried_again_and_keeps_the_connection"
        "[bad_framesize-unsupported]",
    ),
    Break(
        "the HMAC is over the nonce's characters as sent",
        "protocol.py",
        '(hello.nonce or "").encode()',
        'bytes.fromhex(hello.nonce or "")',
        PROTOCOL + "test_the_key_is_proven_over_the_nonces_characters_and_never_sent",
    ),
    Break(
        "a board that wants a key after the question has to be met anew",
        "camera.py",
        'raise CameraFailed("the board wants a key after it was asked")',
        "pass",
        CAMERA
        + "test_a_surprise_between_question_and_answer_ends_the_connection[hello_with_a_nonce]",
    ),
]

PICTURE = [
    Break(
        "what a board sends is looked at",
        "attempt.py",
        "return jpeg.parse(data)",
        "return jpeg.Jpeg(data, 1, 1)",
        WRONG + "[not_a_jpeg-legacy]",
    ),
    Break(
        "a JPEG begins with SOI",
        "jpeg.py",
        "if not data.startswith(_SOI):",
        "if False:",
        JPEG + "test_what_is_wrong_is_said_with_its_offset",
    ),
    Break(
        "a JPEG ends with EOI",
        "jpeg.py",
        'raise BadImage(f"cut off: no EOI, its',
        'return width, height, len(data)\n                raise BadImage(f"its',
        JPEG + "test_a_photo_cut_anywhere_is_refused",
    ),
    Break(
        "half a picture of the right length is refused",
        "jpeg.py",
        "if again > 0 and data.find(_EOI, again, behind) < 0:",
        "if False:",
        JPEG + "test_a_cut_anywhere_in_the_header_followed_by_a_whole_photo_is_refused",
    ),
    Break(
        "and so it is where a whole thumbnail is in that half",
        "jpeg.py",
        "again = data.rfind(start, at, behind + 2)",
        "again = data.find(start, at, behind + 2)",
        JPEG + "test_a_photo_cut_behind_its_thumbnail_and_followed_by_a_whole_one_is_refused",
    ),
    Break(
        "nothing is behind EOI",
        "jpeg.py",
        "if data.count(0, end) < behind:",
        "if False:",
        JPEG + "test_bytes_behind_the_picture_that_are_not_zero_are_refused",
    ),
    Break(
        "but zero bytes",
        "jpeg.py",
        "if data.count(0, end) < behind:",
        "if True:",
        JPEG + "test_zero_bytes_behind_a_photo_are_cut_off",
    ),
    Break(
        "which are cut off",
        "jpeg.py",
        "        data = data[:end]\n",
        "",
        JPEG + "test_zero_bytes_behind_a_photo_are_cut_off",
    ),
    Break(
        "SOF has a size",
        "jpeg.py",
        "if not width or not height:",
        "if False:",
        JPEG + "test_what_is_wrong_is_said_with_its_offset",
    ),
]

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
        "app.py",
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
        "if done is not None and not connection.v5:",
        "if done is not None:",
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
        """            done=done if connection.v5 else None,
        )
        self._message(command)
        if done is not None and not connection.v5:
""",
        """            done=done,
        )
        self._message(command)
        if False:
""",
        "test_bridge_faults.py::"
        "test_commands_for_a_dead_camera_do_not_keep_those_for_others_with_the_broker[3.1.1]",
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
        "an answer to one of our own command topics is refused",
        "topics.py",
        "if topic in commands:",
        "if False:",
        "test_topics.py::test_an_answer_never_goes_to",
    ),
]

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

BREAKS = [*CONNECTION, *LEGACY, *V1, *PICTURE, *REQUEST, *RESULT]
