"""All attackers, in one process: `python -m bench.hostile.attackers PORT KEY SECONDS EACH ONLY
CHANNEL…`; ONLY are names of attacks with commas between, or nothing for all.

Says "ready" when they have begun; after so many seconds what became of them, as JSON.
"""

import sys
import threading
import time

import msgspec

from bench.hostile.attacks import ATTACKS
from bench.hostile.peer import Ledger, Outcome, Target


def attacked(target: Target, each: int, only: str) -> list[Outcome]:
    """By so many attackers each. Returns when it is over."""
    attacks = [attack for attack in ATTACKS if not only or attack.name in only.split(",")]
    ledgers = [Ledger(attack.name, attack.deadline_s) for attack in attacks]
    threads = [
        threading.Thread(target=attack.run, args=(target, ledger))
        for attack, ledger in zip(attacks, ledgers, strict=True)
        for _ in range(each)
    ]
    for thread in threads:
        thread.start()
    print("ready", flush=True)
    for thread in threads:
        thread.join()
    return [ledger.outcome for ledger in ledgers]


def main() -> None:
    port, key, seconds, each, only, *channels = sys.argv[1:]
    target = Target(int(port), key, time.monotonic() + float(seconds), channels)
    print(msgspec.json.encode(attacked(target, int(each), only)).decode())


if __name__ == "__main__":
    main()
