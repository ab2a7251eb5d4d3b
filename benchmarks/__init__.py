"""One script a question, comparing like with like in one run."""
