"""Damages to the bytes of a file or a message."""


def mutated(encoded, rng):
    """Bytes with some flipped bits, or with a part cut off, cut out, repeated or inserted."""
    encoded = bytearray(encoded)
    place = rng.randrange(len(encoded))
    change = rng.choice(["flip", "end", "out", "twice", "in"])
    if change == "flip":
        for _ in range(rng.choice([1, 10, 100])):
            encoded[rng.randrange(len(encoded))] ^= 1 << rng.randrange(8)
    elif change == "end":
        del encoded[place:]
    elif change == "out":
        del encoded[place : place + rng.choice([1, 30, 1000])]
    elif change == "twice":
        encoded[place:place] = encoded[: rng.randrange(1000)]
    else:
        encoded[place:place] = rng.randbytes(rng.choice([1, 40]))
    return bytes(encoded)
