"""Who may do what, and how much of it: keys, tokens, tickets, plans, limits, usage."""
