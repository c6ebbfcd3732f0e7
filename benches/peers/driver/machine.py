"""How busy the machine is, and what processes use of it."""

import os
import pathlib
import re
import time

CORES = os.cpu_count()
TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")

IDLE_SHARE = 0.9
PATIENCE = 300  # seconds


class CpuTimes:
    """Processor time of the whole machine since it started, in seconds."""

    def __init__(self):
        line = pathlib.Path("/proc/stat").read_text().splitlines()[0]
        fields = [int(field) / TICKS_A_SECOND for field in line.split()[1:9]]
        self.total = sum(fields)
        self.idle = fields[3] + fields[4]
        self.stolen = fields[7]

    def shares_since(self, earlier):
        """The idle share of the time since then, and the share that the hypervisor gave away."""
        total = max(self.total - earlier.total, 1e-9)
        return (self.idle - earlier.idle) / total, (self.stolen - earlier.stolen) / total


def wait_until_idle():
    """Waits until the machine was idle for a second. Gives up after some minutes: the figure then
    says how idle it was."""
    deadline = time.monotonic() + PATIENCE
    while True:
        before = CpuTimes()
        time.sleep(1)
        idle, _ = CpuTimes().shares_since(before)
        if idle >= IDLE_SHARE or time.monotonic() > deadline:
            return round(idle, 2)


def cpu_seconds(pids):
    ticks = 0
    for pid in pids:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS_A_SECOND


def peak_mib(pids):
    kib = 0
    for pid in pids:
        status = pathlib.Path(f"/proc/{pid}/status").read_text()
        kib += int(re.search(r"VmHWM:\s+(\d+)", status)[1])
    return round(kib / 1024, 1)


def children(pid):
    return [int(child) for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
