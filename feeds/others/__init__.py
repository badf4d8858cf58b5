"""What other feeds processes on the same Redis publish, as the bus has it."""
