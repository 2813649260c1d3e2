"""What the workshop stands on: places, the machine, built tools."""
