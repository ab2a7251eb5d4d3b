"""The page to try captioners: a thin web application that asks their servers over gRPC."""
