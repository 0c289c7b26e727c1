"""Turn pictures for cameras that hang sideways: losslessly with libturbojpeg, else with pillow.

libturbojpeg turns the compressed blocks themselves, which costs no quality and little time, but
only if the picture is made of whole ones, as a sensor's usual sizes are. Only the pixels come
along: EXIF's orientation would turn them a second time, and its thumbnail show the old picture.
"""

import ctypes
import ctypes.util
import functools
import importlib.util
import io

from bridge import jpeg
from bridge.errors import BadImage, Unsupported
from bridge.jpeg import Jpeg

# Up to 12 bytes of memory a pixel, either way. The largest sensor on these boards has 5 million.
_MAX_PIXELS = 64_000_000

_NEEDED = "turning a picture needs pillow: pip install 'esp32cam2mqtt[images]'"

# From turbojpeg.h, unchanged since 1.2; version 3 of the library still has these functions.
_OPERATIONS = {90: 5, 180: 6, 270: 7}  # TJXOP_ROT90 ...
_PERFECT = 1  # TJXOPT_PERFECT: refuse what isn't made of whole blocks
_COPY_NONE = 64  # TJXOPT_COPYNONE: no EXIF
_LIMIT_SCANS = 32768  # TJFLAG_LIMITSCANS: a progressive picture can be made to take minutes
_WARNING = 0  # TJERR_WARNING
# What it says of a whole picture that it can't turn.
_ONLY_PILLOW = ("not perfect", "subsampling type")


class _Transform(ctypes.Structure):
    """tjtransform."""

    _fields_ = (
        ("region", ctypes.c_int * 4),
        ("op", ctypes.c_int),
        ("options", ctypes.c_int),
        ("data", ctypes.c_void_p),
        ("custom_filter", ctypes.c_void_p),
    )


def check_available() -> None:
    """Say at start-up rather than at the first picture that nothing here can turn one.

    Raises:
        Unsupported: Neither library is installed; names what to install.
    """
    if _turbojpeg() is None and importlib.util.find_spec("PIL") is None:
        raise Unsupported(_NEEDED)


def rotate(image: Jpeg, degrees: int) -> Jpeg:
    """Turn a picture clockwise by 0, 90, 180 or 270 degrees; takes long enough to want a thread.

    Raises:
        BadImage: Its data can't be decoded, or it has too many pixels.
        Unsupported: A library is missing; names what to install.
    """
    if degrees == 0:
        return image
    if degrees not in _OPERATIONS:
        raise ValueError(f"expected 0, 90, 180 or 270 degrees, got {degrees}")
    if image.width * image.height > _MAX_PIXELS:
        raise BadImage(
            f"{image.width}x{image.height} pixels are too many to turn: at most {_MAX_PIXELS}"
        )
    data = bytes(image.data)
    return jpeg.parse(_turned_blocks(data, degrees) or _turned_pixels(data, degrees))


def _turned_blocks(data: bytes, degrees: int) -> bytes | None:
    """Turn it losslessly, or return None where that takes pillow."""
    library = _turbojpeg()
    if library is None or not (handle := library.tjInitTransform()):
        return None
    turned = ctypes.c_void_p()
    size = ctypes.c_ulong()
    how = _Transform(op=_OPERATIONS[degrees], options=_PERFECT | _COPY_NONE)
    try:
        failed = library.tjTransform(
            handle,
            data,
            len(data),
            1,
            ctypes.byref(turned),
            ctypes.byref(size),
            ctypes.byref(how),
            _LIMIT_SCANS,
        )
        # A warning is about pixels that look wrong, as they did before: an OV2640 causes some.
        if failed and library.tjGetErrorCode(handle) != _WARNING:
            reason = library.tjGetErrorStr2(handle).decode(errors="replace")
            if any(known in reason for known in _ONLY_PILLOW):
                return None
            raise BadImage(f"can't be turned: {reason}")
        return ctypes.string_at(turned, size.value)
    finally:
        library.tjFree(turned)
        library.tjDestroy(handle)


def _turned_pixels(data: bytes, degrees: int) -> bytes:
    """Decode, turn and encode it again, as much like the original as pillow can."""
    try:
        from PIL import Image, JpegImagePlugin
    except ImportError:
        raise Unsupported(_NEEDED) from None

    # pillow counts the other way round.
    method = {
        90: Image.Transpose.ROTATE_270,
        180: Image.Transpose.ROTATE_180,
        270: Image.Transpose.ROTATE_90,
    }[degrees]
    turned = io.BytesIO()
    try:
        with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as picture:
            tables = picture.quantization
            sampling = JpegImagePlugin.get_sampling(picture)
            picture.transpose(method).save(
                turned, "JPEG", qtables=tables, subsampling=sampling, comment=b""
            )
    except Exception as exc:  # what pillow raises on corrupt data is anything
        raise BadImage(f"can't be turned: {exc}") from exc
    return turned.getvalue()


@functools.cache
def _turbojpeg() -> ctypes.CDLL | None:
    """The system's library, Debian's libturbojpeg0, or None if there is none."""
    try:
        library = ctypes.CDLL(ctypes.util.find_library("turbojpeg") or "libturbojpeg.so.0")
        library.tjInitTransform.restype = ctypes.c_void_p
        library.tjTransform.argtypes = (
            ctypes.c_void_p,
            ctypes.c_char_p,
            ctypes.c_ulong,
            ctypes.c_int,
            ctypes.POINTER(ctypes.c_void_p),
            ctypes.POINTER(ctypes.c_ulong),
            ctypes.POINTER(_Transform),
            ctypes.c_int,
        )
        library.tjGetErrorCode.argtypes = (ctypes.c_void_p,)
        library.tjGetErrorStr2.argtypes = (ctypes.c_void_p,)
        library.tjGetErrorStr2.restype = ctypes.c_char_p
        library.tjFree.argtypes = (ctypes.c_void_p,)
        library.tjDestroy.argtypes = (ctypes.c_void_p,)
    except (OSError, AttributeError):  # not there, or older than 2.0
        return None
    return library
