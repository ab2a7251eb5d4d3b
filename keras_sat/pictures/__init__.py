"""Encoded pictures as pixels, and boxes on them."""
