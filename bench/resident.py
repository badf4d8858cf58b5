"""How much memory this process holds."""

import resource


def resident_kib() -> float:
    with open("/proc/self/statm") as line:
        return int(line.read().split()[1]) * resource.getpagesize() / 1_024
