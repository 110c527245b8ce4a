"""Latest and complete dumps: the stage, and the steps of the old procedure as filters."""
