"""esp32cam2mqtt: dependable still pictures from ESP32-CAM boards, over MQTT."""

__version__ = "0.1.0"
