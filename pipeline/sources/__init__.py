"""Where pictures and captions come from: one reader per corpus."""
