"""Makes the parts that the configuration asks for."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from bridge.camera import Camera, target_with_path
from bridge.config import CameraConfig, Config, HomeAssistantConfig, MqttConfig, StorageConfig
from bridge.discovery import Place
from bridge.entities import Described
from bridge.errors import BridgeError, ConfigError, Unsupported
from bridge.mqtt import Broker
from bridge.opening import Target
from bridge.storage import Storage
from bridge.threads import Pool
from bridge.tls import Tls


def make_camera(
    camera: CameraConfig,
    pool: Pool,
    *,
    lost: Callable[[BridgeError], None],
    met: Callable[[], None],
) -> Camera:
    """The camera of that configuration, not connected yet."""
    tls = camera.tls
    target = Target(
        url=camera.url,
        username=camera.username,
        password=_secret(camera.password),
        ca_file=None if tls is None else tls.ca_file,
        fingerprint=None if tls is None else tls.fingerprint,
        insecure=tls is not None and tls.insecure,
    )
    return Camera(
        camera,
        target=target_with_path(target, camera.protocol),
        key=_secret(camera.key),
        pool=pool,
        lost=lost,
        met=met,
    )


def check_extras(configuration: Config) -> None:
    """Find out at the start, and not at the first picture, that something is not installed.

    Raises:
        ConfigError: what asks for it, and how to install it.
    """
    turned = [name for name, camera in configuration.cameras.items() if camera.rotate]
    if turned:
        from bridge.rotate import check_available

        try:
            check_available()
        except Unsupported as exc:
            raise ConfigError([f"cameras.{turned[0]}.rotate: {exc}"]) from exc


def make_storage(storage: StorageConfig) -> Storage:
    """The storage of that configuration, not started yet."""
    assert storage.path is not None
    return Storage(
        path=storage.path,
        filename=storage.filename,
        latest=storage.latest,
        durability=storage.durability,
        keep=storage.keep,
    )


def broker(mqtt: MqttConfig) -> Broker:
    """Where the broker of that configuration is."""
    return Broker(
        host=mqtt.host,
        port=mqtt.port,
        username=mqtt.username,
        password=_secret(mqtt.password),
        client_id=mqtt.client_id,
        version=mqtt.version,
        transport=mqtt.transport,
        path=mqtt.path,
        keepalive=mqtt.keepalive,
        max_payload=mqtt.max_payload,
        tls=None if mqtt.tls is None else Tls("mqtt.tls", mutual=True, **dict(mqtt.tls)),
    )


def _secret(value: Any) -> str | None:
    return None if value is None else value.get_secret_value()


def place(homeassistant: HomeAssistantConfig) -> Place | None:
    """Where Home Assistant is told of the cameras, if at all."""
    if not homeassistant.enabled:
        return None
    return Place(prefix=homeassistant.discovery_prefix, form=homeassistant.discovery)


def described(camera: CameraConfig, storage: StorageConfig) -> Described:
    """What Home Assistant is told of that camera."""
    host = urlsplit(camera.url).hostname
    return Described(
        camera.name,
        area=camera.area,
        host=f"[{host}]" if host and ":" in host else host,
        has_image="image" in camera.publish,
        is_kept=storage.path is not None,
        on_call=not camera.keep_open,
    )
