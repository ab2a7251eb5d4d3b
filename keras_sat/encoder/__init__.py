"""The CNN that turns pictures into feature maps, and what it reads."""
