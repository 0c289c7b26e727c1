"""The parts that ``esp32cam2mqtt demo`` plays beside the bridge: a board, its scene, a broker."""
