"""A million inputs of each kind that strangers can send: `make fuzz`; a sample in `make test`.

An input is made from its seed and number alone, so that every failure can be had again.
"""
