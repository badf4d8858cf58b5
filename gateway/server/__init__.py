"""EDGE (uvicorn): our protocol classes."""
