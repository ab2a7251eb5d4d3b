"""Attribute binding: does the caption give each object its own attributes, or another one's?

A bag of attributes ("red, blue, striped, ring, star") is enough for high n-gram scores. Attention
is needed to tell which of them belong together.
"""

_ARTICLES = ("a", "an", "the")


def misbound(words, phrases, references):
    """Judges whether a caption gives attributes to the wrong object.

    Every attribute in front of a noun that a phrase of the image names is judged. It is right if a
    true caption of the image says it of that noun, and wrong if the true captions say it of other
    nouns only. Words that no true caption says of anything are not judged.

    Args:
        words: the caption's.
        phrases: the image's `Phrase`s.
        references: the image's true captions. They and `words` are normalised.
    Returns:
        A list with one verdict per judged word, True if it is misbound.
    """
    attributes_of = _true_attributes(phrases, references)
    known = set().union(*attributes_of.values())
    verdicts = []
    attributes = []  # of the phrase so far; it begins after the noun before it
    for word in words:
        if word in attributes_of:
            for attribute in attributes:
                verdicts.append(attribute not in attributes_of[word])
        if word in known and word not in _ARTICLES:
            attributes.append(word)
        else:
            attributes = []
    return verdicts


def _true_attributes(phrases, references):
    """{noun: the words that the true captions put in front of it}."""
    attributes = {}
    for phrase in phrases:
        words = references[phrase.caption].split()[phrase.start : phrase.end - 1]
        attributes.setdefault(phrase.noun, set()).update(words)
    return attributes
