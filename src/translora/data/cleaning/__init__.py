"""What would harm training, found and left out."""
