import pytest

from keras_sat.utils.errors import UserError, command, explain


def test_a_message_is_one_line_without_control_characters(capsys):
    error = UserError("a\x1b[2J\nb: größe\udc80")
    assert explain(error) == r"a\x1b[2J b: größe\udc80"

    @command
    def main():
        raise error

    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err == "error: " + r"a\x1b[2J b: größe\udc80" + "\n"
