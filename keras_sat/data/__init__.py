"""What the captioners read: the record format, the input pipeline and the built-in data set."""
