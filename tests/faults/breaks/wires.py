"""Breaks of how a board is talked to: the original sketch, and v1."""

from tests.faults.breaks.rule import CAMERA, NO_HANDSHAKE, NOT_AS_ANNOUNCED, PROTOCOL, Break

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
        "opening.py",
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
        "opening.py",
        "redirect_limit=0,",
        "redirect_limit=3,",
        CAMERA + "test_a_redirect_is_not_followed[302 Found]",
    ),
    Break(
        "no proxy of the environment is asked",
        "opening.py",
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
        "opening.py",
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
        "        except BoardFailure:\n            raise\n",
        "",
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
