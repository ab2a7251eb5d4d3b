"""Data preparation with Apache Beam, and the chain from a corpus to a pushed model."""
