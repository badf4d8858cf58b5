"""The dashboard in a real Chromium, on a real `tickgate run` of the generated market."""
