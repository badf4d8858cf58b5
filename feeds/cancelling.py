"""What a loop asks after a wait that may have swallowed its task's cancellation.

On Python 3.11 `asyncio.wait_for` does so where what it waits for is done in the same step (a Redis
client with a socket timeout sends through it); on 3.11 and 3.12 a task group that meets a failure
while it is being cancelled raises that alone. Who catches it, or waits again, would never end.
"""

import asyncio


def stop_if_cancelled() -> None:
    """Raises CancelledError in a task that was asked to end."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
