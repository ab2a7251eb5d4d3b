"""The Penn Treebank tokeniser of published scores: the Java program that pycocoevalcap brings.

pycocoevalcap's own wrapper writes a file into its package, which may be read-only.
"""

import subprocess
from importlib import resources

from pycocoevalcap.tokenizer.ptbtokenizer import PUNCTUATIONS, STANFORD_CORENLP_3_4_1_JAR

from keras_sat.evaluation.java import java_command
from keras_sat.utils.errors import UserError


def tokenise(captions):
    """Tokenises captions as `pycocoevalcap.tokenizer.ptbtokenizer.PTBTokenizer` does.

    Args:
        captions: {image id: [caption, …]}.

    Returns:
        The same in lower case, words separated by spaces, without punctuation.

    Raises:
        UserError: there is no Java, or the program failed.
    """
    jar = resources.files("pycocoevalcap") / "tokenizer" / STANFORD_CORENLP_3_4_1_JAR
    program = java_command("-cp", jar, "edu.stanford.nlp.process.PTBTokenizer")
    images = []
    lines = []
    for image, texts in captions.items():
        for text in texts:
            images.append(image)
            lines.append(" ".join(text.split()))  # the program reads one caption per line
    finished = subprocess.run(
        [*program, "-preserveLines", "-lowerCase"],
        input="\n".join(lines).encode(),
        stdout=subprocess.PIPE,
    )
    answers = finished.stdout.decode().split("\n")
    if finished.returncode or len(answers) < len(lines):
        raise UserError(
            f"the Penn Treebank tokeniser's Java process failed (exit code {finished.returncode})"
        )
    tokenised = {}
    for image, answer in zip(images, answers):
        words = [word for word in answer.rstrip().split(" ") if word not in PUNCTUATIONS]
        tokenised.setdefault(image, []).append(" ".join(words))
    return tokenised
