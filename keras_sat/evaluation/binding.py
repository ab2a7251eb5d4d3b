"""Attribute binding: does the caption give each thing its own attributes, or another one's?

A bag of attributes ("red, blue, striped, ring, star") is enough for high n-gram scores; which of them belong together is
what attention is needed for.
"""

from keras_sat.evaluation.generate import normalised_references


def misbound_share(captioned, records):
    """The share of attribute words that the captions give to the wrong thing, or None where there is nothing to judge.

    Judged is every word in front of a noun whose things have known phrases: right, if a true caption of the image says it
    of that noun; wrong, if the true captions say it of other nouns only. (Words that none of them uses are not judged.)

    Args:
        captioned: `Captioned` of images. records: {source id: `Record`} with phrases.
    """
    references = normalised_references(records.values())
    judged = [
        verdict
        for each in captioned
        for verdict in _judge(each.words, _said(records[each.source_id].phrases, references[each.source_id]))
    ]
    return sum(judged) / len(judged) if judged else None


def _said(phrases, references):
    """{noun: words that the true captions put in front of it}."""
    said = {}
    for phrase in phrases:
        said.setdefault(phrase.noun, set()).update(references[phrase.caption].split()[phrase.start : phrase.end - 1])
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
