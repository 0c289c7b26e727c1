"""Make the photographs beside this file from originals in scikit-image's wheel, see README.md.

pip download --no-deps scikit-image==0.26.0 && unzip scikit_image-*.whl 'skimage/data/*'
python tests/data/make.py skimage/data
"""

import io
import random
import struct
import sys
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageFilter

HERE = Path(__file__).parent


def photo(original: Path, width: int, height: int) -> Image.Image:
    """The original, scaled and cropped to a size, with the noise of a cheap sensor on it."""
    with Image.open(original) as opened:
        picture = opened.convert("RGB")
    picture.info.clear()  # a comment of the original's encoder
    scale = max(width / picture.width, height / picture.height)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)))
    picture = picture.crop((0, 0, width, height))
    noise = [
        Image.frombytes("L", picture.size, random.Random(seed).randbytes(width * height))
        .filter(ImageFilter.BoxBlur(0.6))
        .point([round(128 + (value - 128) / 10) for value in range(256)])
        for seed in range(3)
    ]
    return ImageChops.add(picture, Image.merge("RGB", noise), offset=-128)


def encode(picture: Image.Image, **options: Any) -> bytes:
    """4:2:2 is what an OV2640's own encoder makes; pillow's number for it is 1."""
    data = io.BytesIO()
    picture.save(data, "JPEG", subsampling=1, **options)
    return data.getvalue()


def exif(thumbnail: bytes, orientation: int) -> bytes:
    """An EXIF block with an orientation in its first directory and a thumbnail in its second."""
    first = struct.pack("<HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 26)
    # where the thumbnail begins, and how long it is
    second = struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, len(thumbnail), 0)
    return b"Exif\0\0II*\0\x08\0\0\0" + first + second + thumbnail


def main(originals: Path) -> None:
    """Write every photograph; the same pillow writes the same bytes."""
    coffee, chelsea, rocket = (
        originals / name for name in ("coffee.png", "chelsea.png", "rocket.jpg")
    )
    thumbnail = encode(photo(chelsea, 80, 60), quality=50)
    for name, data in {
        "vga.jpg": encode(photo(rocket, 640, 480), quality=40),
        "svga.jpg": encode(photo(coffee, 800, 600), quality=60),
        "uxga.jpg": encode(photo(coffee, 1600, 1200), quality=30),
        "progressive.jpg": encode(photo(chelsea, 451, 300), quality=60, progressive=True),
        "exif.jpg": encode(photo(chelsea, 320, 240), quality=50, exif=exif(thumbnail, 6)),
    }.items():
        (HERE / name).write_bytes(data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
