"""The rules of the contract, each with a break of it that a test must not survive."""

from tests.faults.breaks.connection import CONNECTION
from tests.faults.breaks.picture import PICTURE
from tests.faults.breaks.request import REQUEST
from tests.faults.breaks.result import RESULT
from tests.faults.breaks.rule import Break
from tests.faults.breaks.wires import LEGACY, V1

__all__ = ["BREAKS", "Break"]

BREAKS = [*CONNECTION, *LEGACY, *V1, *PICTURE, *REQUEST, *RESULT]
