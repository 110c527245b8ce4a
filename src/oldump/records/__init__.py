"""What a row means: pure, no input or output."""
