"""How glibc keeps memory; to be settled when a process starts to compute with Keras."""

import ctypes
import logging
import os
from collections.abc import Mapping

log = logging.getLogger("nmfp")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_LARGEST = 2**31 - 1  # mallopt takes an int
_OWN = {
    _M_MMAP_THRESHOLD: ("MALLOC_MMAP_THRESHOLD_", "glibc.malloc.mmap_threshold"),
    _M_TRIM_THRESHOLD: ("MALLOC_TRIM_THRESHOLD_", "glibc.malloc.trim_threshold"),
}


def keep_large_blocks(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Let this process keep the memory of large arrays for the next ones; returns the variables it stood in for.

    A training step asks for the same hundreds of megabytes each time. glibc takes blocks above a threshold from
    the system and gives them back when they are freed, so that each step waits for zeroed pages; here it keeps
    them. Memory does not grow beyond its peak. A threshold that the user's environment sets is left alone
    (MALLOC_MMAP_THRESHOLD_, MALLOC_TRIM_THRESHOLD_ or GLIBC_TUNABLES), and so is a C library that has no mallopt.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    done = []
    for parameter, (variable, tunable) in _OWN.items():
        if variable in environment or tunable in environment.get("GLIBC_TUNABLES", ""):
            log.debug("%s is the user's", variable)
        elif mallopt is None or not mallopt(parameter, _LARGEST):
            log.debug("the C library takes no %s", variable)
        else:
            done.append(variable)
    return done
