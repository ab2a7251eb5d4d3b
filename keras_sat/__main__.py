"""python -m keras_sat COMMAND: the same as `keras-sat COMMAND`."""

from keras_sat.cli.main import main

main()
