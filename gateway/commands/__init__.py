"""What the commands do; `gateway.cli` is their table. Here and there only, both packages meet."""
