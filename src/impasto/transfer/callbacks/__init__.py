"""What watches and steers a run: checkpoints, time budget."""
