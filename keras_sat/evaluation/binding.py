"""Attribute binding: does the caption give each thing its own attributes, or another one's?

A bag of attributes ("red, blue, striped, ring, star") is enough for high n-gram scores; which of them belong together is
what attention is needed for.
"""


def misbound(words, phrases, references):
    """Whether a caption's attribute words are given to the wrong thing, as a list of verdicts.

    Judged is every word in front of a noun whose things have known phrases: right, if a true caption of the image says it
    of that noun; wrong, if the true captions say it of other nouns only. (Words that none of them uses are not judged.)

    Args:
        words: of the caption. phrases: `Phrase`s of the image. references: its true captions; all normalised.
    """
    return list(_judge(words, _said(phrases, references)))


def _said(phrases, references):
    """{noun: words that the true captions put in front of it}."""
    said = {}
    for phrase in phrases:
        said.setdefault(phrase.noun, set()).update(
            references[phrase.caption].split()[phrase.start : phrase.end - 1]
        )
    return said


def _judge(words, said):
    """For each attribute word that can be judged, whether it is misbound. A phrase begins behind the noun before it."""
    of_any = set().union(*said.values())
    attributes = []
    for word in words:
        if word in said:
            yield from (attribute not in said[word] for attribute in attributes)
        if word in of_any and word not in ("a", "an", "the"):
            attributes.append(word)
        else:
            attributes = []
