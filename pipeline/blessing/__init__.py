"""From a trained run to a served version: two verdicts on it, and the push that obeys them."""
