"""docker/compose.yaml, read: what can be wrong in it without its being run."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from bridge.config import load

DOCKER = Path(__file__).parents[1] / "docker"
TEXT = (DOCKER / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
USERS = re.findall("^user (.+)$", (DOCKER / "mosquitto/acl").read_text(), re.MULTILINE)

each = pytest.mark.parametrize("name", SERVICES)


def test_the_configuration_of_the_bridge_is_right_and_names_what_is_mounted(tmp_path: Path) -> None:
    text = (DOCKER / "config/config.yaml").read_text()
    (tmp_path / "password").write_text("secret")
    there = text.replace("/run/mqtt/password", str(tmp_path / "password"))
    assert there != text
    (tmp_path / "config.yaml").write_text(there)
    config = load(tmp_path / "config.yaml")
    assert config.mqtt.host in SERVICES
    assert config.mqtt.username in USERS
    places = [volume.split(":")[1] for volume in SERVICES["bridge"]["volumes"]]
    assert {str(config.storage.path), "/run/mqtt", "/config"} == set(places)


@each
def test_what_a_service_mounts_is_there_or_is_made(name: str) -> None:
    for volume in SERVICES[name].get("volumes", ()):
        source, target, *mode = volume.split(":")
        assert target.startswith("/")
        assert mode in ([], ["ro"])
        if not source.startswith("./"):
            assert source in COMPOSE["volumes"]
        elif source.startswith("./passwords/"):
            assert source.removeprefix("./passwords/") in USERS
        elif source != "./passwords":
            assert (DOCKER / source).exists()


@each
def test_a_service_waits_for_what_it_needs_to_be_ready(name: str) -> None:
    needs = {"mosquitto": {"condition": "service_healthy"}}
    if name == "mosquitto":
        needs = {"passwords": {"condition": "service_completed_successfully"}}
    assert SERVICES[name].get("depends_on") == (None if name == "passwords" else needs)
    assert "healthcheck" in SERVICES["mosquitto"]


@each
def test_a_service_of_ours_may_do_nothing_that_it_need_not(name: str) -> None:
    service = SERVICES[name]
    if "profiles" in service:
        assert set(service["profiles"]) == {name, "all"}
    else:
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_all_but_what_ends_at_once_comes_back_and_the_bridge_has_time_to_end() -> None:
    assert {name for name in SERVICES if "restart" not in SERVICES[name]} == {"passwords"}
    assert {it.get("restart", "unless-stopped") for it in SERVICES.values()} == {"unless-stopped"}
    assert float(SERVICES["bridge"]["stop_grace_period"].removesuffix("s")) > 5  # its own limit


def test_the_broker_sends_at_once_and_remembers() -> None:
    text = (DOCKER / "mosquitto/mosquitto.conf").read_text().splitlines()
    assert {"set_tcp_nodelay true", "persistence true"} < set(text)


@each
def test_a_service_can_be_reached_from_outside_only_if_it_asks_who_is_there(name: str) -> None:
    for port in SERVICES[name].get("ports", ()):
        assert name == "home-assistant" or port.startswith("127.0.0.1:")


def test_the_users_that_the_text_speaks_of_have_passwords() -> None:
    spoken = set(re.findall(r"user (\w+)$|-u (\w+)", TEXT, re.MULTILINE))
    assert {name for pair in spoken for name in pair if name} <= set(USERS)
    readers = [reader.partition("=")[0] for reader in SERVICES["passwords"]["command"]]
    assert set(readers) < set(USERS)
