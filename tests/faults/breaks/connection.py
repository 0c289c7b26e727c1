"""Breaks of what ties an answer to its question, and of trying again."""

from tests.faults.breaks.rule import CAMERA, DEADLINE, WORKER, WRONG, Break

CONNECTION = [
    Break(
        "after a time-out the connection is dropped",
        "camera.py",
        """except BaseException:
            self.abort()
            raise
        finally:
            self._asked""",
        """except BaseException:
            raise
        finally:
            self._asked""",
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
        "elif opcode == BINARY and self._wire is not None and self._wire.open:",
        "elif False:",
        CAMERA + "test_an_unasked_image_that_has_just_arrived_does_not_answer[legacy]",
    ),
    Break(
        "what came right behind an answer was not asked for either",
        "camera.py",
        "self._message(*self._inbox.popleft())",
        "self._inbox.popleft()",
        CAMERA + "test_nor_where_both_are_here_before_the_first_is_looked_at[legacy]",
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
        "deadline=time.monotonic() + 5",
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
        "spread=(0, 1)",
        "spread=(0.5, 1)",
        WORKER + "test_pauses_between_connections_double_to_a_minute_with_full_jitter",
    ),
    Break(
        "and are a minute at most",
        "backoff.py",
        "pause = min(self._most, self._least * 2 ** min(self.failures, 10))",
        "pause = self._least * 2 ** min(self.failures, 10)",
        WORKER + "test_pauses_between_connections_double_to_a_minute_with_full_jitter",
    ),
    Break(
        "and start anew after a connection",
        "worker.py",
        "        self._pauses.failures = 0\n        if self._camera.hello",
        "        if self._camera.hello",
        WORKER + "test_pauses_start_anew_once_the_board_was_there",
    ),
]
