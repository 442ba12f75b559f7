"""What edge-asd does on this machine, measured: imported by ``edge-asd bench`` only."""
