"""Breaks of what is a whole JPEG."""

from tests.faults.breaks.rule import JPEG, WRONG, Break

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
