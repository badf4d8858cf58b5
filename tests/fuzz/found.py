"""What a fuzz test raises: which inputs did it, and what happened."""


class Found(AssertionError):  # noqa: N818 - what a fuzz test looks for
    """`numbers` are of the inputs, in the order in which they came."""

    def __init__(self, kind: str, seed: int, numbers: range, said: object, detail: str) -> None:
        self.args = (
            f"{kind}: {detail}\n  again: python -m tests.fuzz {kind} --seed {seed} "
            f"--first {numbers.start} --inputs {len(numbers)}\n  said: {said!r}"[:4_000],
        )
