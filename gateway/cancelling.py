"""What a loop asks after a wait that may have swallowed its task's cancellation.

`feeds.cancelling` says when that is, and serves the other package.
"""

import asyncio


def stop_if_cancelled() -> None:
    """Raises CancelledError in a task that was asked to end."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
