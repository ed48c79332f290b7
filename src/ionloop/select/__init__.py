"""Which frames are worth a DFT calculation."""
