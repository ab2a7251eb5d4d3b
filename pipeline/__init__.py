"""Data preparation with Apache Beam: components under TFX's names, one a file, each from folder to folder."""
