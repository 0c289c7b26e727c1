"""Topics: spelled as the contract spells them, and where an answer must not go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.topics import (
    OFFLINE,
    ONLINE,
    BridgeTopics,
    CameraTopics,
    group_capture,
    response_topic_fault,
)

DOOR = CameraTopics.of("esp32cam", "front_door")
OURS = frozenset({*DOOR, group_capture("esp32cam", "all")})


@pytest.mark.parametrize(
    "name",
    [
        *("capture", "set", "restart", "image", "path", "result", "state", "settings"),
        "availability",
    ],
)
def test_a_cameras_topics_are_below_its_name(name: str) -> None:
    assert getattr(DOOR, name) == f"esp32cam/front_door/{name}"


def test_a_base_topic_may_have_levels() -> None:
    assert CameraTopics.of("home/cams", "door").result == "home/cams/door/result"


def test_the_bridge_and_groups_have_topics_too() -> None:
    bridge = BridgeTopics.of("esp32cam")
    assert (bridge.state, bridge.info, bridge.health) == (
        "esp32cam/bridge/state",
        "esp32cam/bridge/info",
        "esp32cam/bridge/health",
    )
    assert group_capture("esp32cam", "outside") == "esp32cam/outside/capture"
    assert (ONLINE, OFFLINE) == (b"online", b"offline")


def test_commands_come_in_and_what_is_retained_goes_out() -> None:
    assert set(DOOR.commands) == {DOOR.capture, DOOR.set, DOOR.restart}
    assert set(DOOR.retained) == {DOOR.image, DOOR.state, DOOR.settings, DOOR.availability}


@pytest.mark.parametrize(
    ("topic", "why"),
    [
        ("", "empty"),
        ("a\0b", "control"),
        ("a\nb", "control"),
        ("a\x9bb", "control"),
        ("a/" * 201, "200 levels"),
        ("ü" * 8_193, "16384 bytes"),
        ("a/+/b", "wildcard"),
        ("#", "wildcard"),
        ("a/b+", "wildcard"),
        ("$SYS/broker", "$"),
        ("$share/g/a", "$"),
        (DOOR.capture, "own"),
        (DOOR.restart, "own"),
        (DOOR.image, "own"),
        (DOOR.result, "own"),
        ("esp32cam/all/capture", "own"),
    ],
)
def test_an_answer_never_goes_to(topic: str, why: str) -> None:
    assert why in (response_topic_fault(topic, None, OURS) or "")


def test_home_assistant_is_told_nothing_by_an_answer() -> None:
    topic = "homeassistant/device/a/config"
    assert response_topic_fault(topic, None, OURS) is None
    why = response_topic_fault(topic, None, OURS, discovery_prefix="homeassistant")
    assert "Home Assistant's" in (why or "")
    assert response_topic_fault("home", None, OURS, discovery_prefix="homeassistant") is None


def test_an_answer_has_room_for_so_much_correlation_data_and_no_more() -> None:
    assert response_topic_fault("a", bytes(16 * 1024 - 1), OURS) is None
    assert "16384 bytes" in (response_topic_fault("a", bytes(16 * 1024), OURS) or "")


@pytest.mark.parametrize(
    "topic",
    [
        "replies/1",
        "/",
        " ",
        "a/$b",
        "/" * 200,
        "ü" * 8_192,
        "esp32cam/elsewhere/capture",
        "esp32cam/front_door/answers",
    ],
)
def test_an_answer_goes_wherever_else_it_is_wanted(topic: str) -> None:
    assert response_topic_fault(topic, None, OURS) is None


@given(st.text() | st.sampled_from([*OURS]))
def test_what_may_be_answered_can_be_published_and_is_not_ours(topic: str) -> None:
    if response_topic_fault(topic, None, OURS) is None:
        assert topic
        assert topic not in OURS
        assert not set(topic) & set("+#\0")
