"""The CNN that turns pictures into feature maps, and its inputs."""
