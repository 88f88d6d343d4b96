"""Which GPU a job may use; to be settled before TensorFlow or JAX is imported.

Snakemake counts GPUs (`resources: gpu=1`) but never says which one a job gets, so two jobs of one machine
would both take device 0. A job therefore locks a free device. The lock is the kernel's (flock): it goes with
the process, also after kill -9, and leaves no stale file to clean up.
"""

import contextlib
import fcntl
import logging
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path

from nmfp.errors import NmfpError

log = logging.getLogger("nmfp")

VISIBLE = "CUDA_VISIBLE_DEVICES"
ALLOCATION = "SLURM_JOB_ID"


@contextlib.contextmanager
def claim(
    count: int,
    environment: MutableMapping[str, str] = os.environ,
    folder: str | Path | None = None,
    installed: Callable[[], list[str]] | None = None,
    patience: float | None = None,
    pause: float = 1.0,
) -> Iterator[list[str]]:
    """Make `count` GPUs visible to this process, and no other; yield their names. An empty list is the CPU.

    Call it before the first import of TensorFlow or JAX: both read the environment once. It lets their GPU
    memory grow with use instead of taking all of it.

    - `count` 0: no device is visible, whatever the machine has.
    - Inside a SLURM allocation of at most `count` devices: those that SLURM gave, untouched.
    - Otherwise `count` free ones of CUDA_VISIBLE_DEVICES, or of all devices where that is not set; waits
      while other jobs of this user hold them.
    - A machine without a GPU: the CPU, with a line in the log.

    Args:
        count: devices asked for; a rule's `resources.gpu`.
        environment: where CUDA_VISIBLE_DEVICES is read and set; restored at the end.
        folder: where lock files lie; one of this user and allocation in the temporary folder by default.
        installed: lists the machine's devices; asks nvidia-smi by default.
        patience: seconds to wait for a device; None waits for ever.
        pause: seconds between two looks.

    Raises:
        NmfpError: more devices are asked for than there are, or none came free within `patience`.
    """
    before = environment.get(VISIBLE)
    devices, assigned = _candidates(count, environment, installed or installed_devices)
    environment.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    environment.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    try:
        with contextlib.ExitStack() as locks:
            if devices and not assigned:
                folder = Path(folder) if folder else lock_folder(environment)
                devices = _lock(locks, devices, count, folder, patience, pause)
            if not assigned:
                environment[VISIBLE] = ",".join(devices)
            log.info("running on %s", f"GPU {', '.join(devices)}" if devices else "the CPU")
            yield devices
    finally:
        if before is None:
            environment.pop(VISIBLE, None)
        else:
            environment[VISIBLE] = before


def requested(snakemake) -> int:
    """GPUs that a job's rule asks for: 0 after `--resources gpu=0`, or where resources are not given."""
    return int(getattr(snakemake, "resources", {}).get("gpu", 0) or 0)


def _candidates(count: int, environment, installed) -> tuple[list[str], bool]:
    """The devices to choose from, and whether a scheduler has already chosen them for this job alone."""
    if count <= 0:
        return [], False
    visible = environment.get(VISIBLE)
    if visible is None:
        # CUDA counts the fastest device first unless told otherwise; nvidia-smi counts by slot
        environment.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
        devices = installed()
    else:
        devices = _usable(visible)
    if ALLOCATION in environment and visible is not None and len(devices) <= count:
        return devices, True
    if devices and len(devices) < count:
        raise NmfpError(
            f"The job asks for {count} GPUs and {len(devices)} can be seen; lower the rule's gpu, "
            f"or widen {VISIBLE}."
        )
    return devices, False


def _usable(visible: str) -> list[str]:
    """Names in CUDA_VISIBLE_DEVICES; CUDA ignores all from the first invalid one (-1, NoDevFiles) on."""
    devices = []
    for name in (part.strip() for part in visible.split(",")):
        if not (name.isdigit() or name.startswith(("GPU-", "MIG-"))):
            break
        devices.append(name)
    return devices


def installed_devices() -> list[str]:
    """Indices of the machine's GPUs by slot, as nvidia-smi counts them; none without a driver."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    command = [program, "--query-gpu=index", "--format=csv,noheader"]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("nvidia-smi failed (%s); no GPU will be used", error)
        return []
    return [line.strip() for line in run.stdout.splitlines() if line.strip().isdigit()]


def lock_folder(environment=os.environ) -> Path:
    """Where this user's lock files lie. An allocation has its own: SLURM may count devices from 0 in each."""
    allocation = f"-{environment[ALLOCATION]}" if ALLOCATION in environment else ""
    return Path(tempfile.gettempdir()) / f"nmfp-devices-{os.getuid()}{allocation}"


def _lock(
    locks, devices: list[str], count: int, folder: Path, patience: float | None, pause: float
) -> list[str]:
    """Hold `count` of `devices`; all or none: two jobs that each want two never wait for each other."""
    folder.mkdir(parents=True, exist_ok=True)
    start = told = time.monotonic()
    while True:
        with contextlib.ExitStack() as attempt:
            held = []
            for name in devices:
                if len(held) < count and _try_lock(attempt, folder / f"{name.replace('/', '_')}.lock"):
                    held.append(name)
            if len(held) == count:
                locks.push(attempt.pop_all())
                return held
        now = time.monotonic()
        if patience is not None and now - start >= patience:
            raise NmfpError(
                f"No GPU came free within {patience:g} s ({', '.join(devices)} are held by other jobs); "
                "run fewer GPU jobs at once with --resources gpu=N."
            )
        if now - told >= 60:
            log.info("waiting for a free GPU since %d s", now - start)
            told = now
        time.sleep(pause)


def _try_lock(stack: contextlib.ExitStack, path: Path) -> bool:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return False
    stack.callback(os.close, handle)
    return True
