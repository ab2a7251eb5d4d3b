"""The Python interface: `keras_sat.load` gives a captioner of pictures, which gives answers."""
