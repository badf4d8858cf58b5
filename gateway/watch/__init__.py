"""`tickgate watch`: channels live, in a terminal."""
