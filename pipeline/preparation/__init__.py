"""The components of data preparation, under TFX's names."""

import logging

# Apache Beam warns about optional packages while it is imported, and logs the errors that it raises
# as well. This package is therefore imported before Beam is.
logging.getLogger().setLevel(logging.CRITICAL)
