"""All attackers, in one process: `python -m bench.hostile.attackers PORT KEY SECONDS CHANNEL…`.

Says "ready" when they have begun; after so many seconds what became of them, as JSON.
"""

import sys
import threading
import time

import msgspec

from bench.hostile.attacks import ATTACKS
from bench.hostile.peer import Ledger, Outcome, Target


def attacked(target: Target) -> list[Outcome]:
    """Returns when it is over."""
    ledgers = [Ledger(attack.name, attack.deadline_s) for attack in ATTACKS]
    threads = [
        threading.Thread(target=attack.run, args=(target, ledger))
        for attack, ledger in zip(ATTACKS, ledgers, strict=True)
    ]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    for thread in threads:
        thread.join()
    return [ledger.outcome for ledger in ledgers]


def main() -> None:
    port, key, seconds, *channels = sys.argv[1:]
    target = Target(int(port), key, time.monotonic() + float(seconds), channels)
    print(msgspec.json.encode(attacked(target)).decode())


if __name__ == "__main__":
    main()
