"""Programs that look into an image, behind one small interface."""
