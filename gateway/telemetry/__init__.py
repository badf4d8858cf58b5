"""What an operator reads of us while we run: logs, requests, traces."""
