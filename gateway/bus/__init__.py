"""Redis as a worker hears it: what is published, and what Redis keeps of channels."""
