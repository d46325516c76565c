"""Several of a board's quantities by one call to NVML, into the same memory every time.

The binding's own call makes and fills a new array at every look, member by member, and looks at its library under a
name: that costs more processor time than all the rest of a look. This module is handed the binding and never imports
it, and must not know what the fields mean.
"""

from __future__ import annotations

import struct
from ctypes import byref
from types import ModuleType
from typing import Any, Final

_FIELD_VALUE: Final = struct.Struct("@IIqqII8s")
"""``nvmlFieldValue_t``: field, scope, timestamp, latency, type of the value, return code, value."""
_NUMBERS: Final = tuple(map(struct.Struct, ("@d", "@I", "@L", "@Q", "@q", "@i", "@H")))
"""How a value is read, in the order of ``nvmlValueType_t``."""


class FieldQuery:
    """The same fields of one board, asked for as often as wanted, by one thread at a time.

    Args:
        nvml: the binding, initialised.
        handle: NVML's handle of the board.
        fields: identifiers, ``NVML_FI_…``.
    """

    def __init__(self, nvml: ModuleType, handle: Any, fields: tuple[int, ...]) -> None:
        self._nvml, self._handle, self._count = nvml, handle, len(fields)
        self._call = getattr(nvml.nvmlLib, "nvmlDeviceGetFieldValues", None)
        self._array = (nvml.c_nvmlFieldValue_t * len(fields))()
        for value, field in zip(self._array, fields, strict=True):
            value.fieldId = field

    def values(self) -> list[float | Exception]:
        """Each field's number in NVML's unit, in the order asked for, or the error in its place.

        Raises:
            NVMLError: if NVML refuses the call as a whole.
        """
        nvml = self._nvml
        if self._call is None:
            raise nvml.NVMLError(nvml.NVML_ERROR_FUNCTION_NOT_FOUND)
        code = self._call(self._handle, self._count, byref(self._array))
        if code != nvml.NVML_SUCCESS:
            raise nvml.NVMLError(code)
        return [
            nvml.NVMLError(code) if code else _NUMBERS[kind].unpack_from(value)[0]
            for _, _, _, _, kind, code, value in _FIELD_VALUE.iter_unpack(self._array)
        ]
