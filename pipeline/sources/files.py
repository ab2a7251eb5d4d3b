"""What the readers of picture files share, and of files that list them."""

import hashlib

from apache_beam.io.filesystems import FileSystems

from keras_sat.data.record import Record
from keras_sat.utils.errors import UserError
from pipeline.sources import text
from pipeline.sources.base import Source
from pipeline.sources.paths import Roots, exists, open_file

_BLOCK = 1 << 20  # bytes that are read at once


class FileSource(Source):
    """A corpus of picture files and of files that list them.

    Attributes:
        folder: the corpus' folder.
        roots: the `Roots`.
        listings: the paths of the files that list pictures and captions, set by `read_from`.
    """

    listings = ()

    def __init__(self, config, folder=None):
        self.folder = folder or config.source
        self.roots = Roots.of(config, self.folder)

    def read_from(self, *listings):
        """Notes and checks the files that list pictures and captions.

        Raises:
            UserError: one leads outside of the roots.
        """
        for path in listings:
            self.roots.check(path)
        self.listings = listings

    def folder_of_pictures(self, names):
        """The first folder of these names in the roots. Without one, the folder of `--images`.

        Raises:
            UserError: there is none.
        """
        for root in self.roots.folders:
            found = existing(root, dict(zip(names, names)))
            if found:
                return next(iter(found.values()))
        if len(self.roots.folders) > 1:
            return self.roots.folders[-1]
        raise UserError(
            f"{self.folder}: has no folder of pictures; expected {' or '.join(names)}, "
            "or --images DIR"
        )

    def load(self, item):
        if not item.path:
            where = self.listings[0] if self.listings else self.folder
            raise FileNotFoundError(
                f"the corpus has captions for it, but does not list it ({where})"
            )
        return Record(item.id, item.captions, self.roots.read(item.path))

    def fingerprint(self):
        """The hash of the listings' content. The pictures themselves are taken to be unchanged."""
        digest = hashlib.sha256()
        for path in self.listings:
            with open_file(path) as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
        return f"{type(self).__name__} {digest.hexdigest()[:16]}"


def digest_of(texts):
    """The hash of some texts."""
    digest = hashlib.sha256()
    for each in texts:
        digest.update(each.encode(errors="surrogatepass") + b"\0")
    return digest.hexdigest()[:16]


def first_of(folder, names, what):
    """The path of the first of these names that the folder has.

    Args:
        folder: where to look.
        names: names relative to the folder.
        what: what is looked for, as the message calls it.

    Raises:
        UserError: it has none of them.
    """
    for name in names:
        path = FileSystems.join(folder, name)
        if exists(path):
            return path
    raise UserError(f"{folder}: has no {what}; expected {' or '.join(names)}")


def existing(folder, names):
    """{key: path} of those of {key: name} that the folder has."""
    paths = {key: FileSystems.join(folder, name) for key, name in names.items()}
    return {key: path for key, path in paths.items() if exists(path)}


def partitions(lists, captions):
    """The ranges of a corpus that has a list of images per split and one file of captions.

    Args:
        lists: {split: path of its list}.
        captions: the path of the captions.

    Returns:
        [(split or "captions", range)].
    """
    parts = []
    for kind, path in [*lists.items(), ("captions", captions)]:
        parts += [(kind, part) for part in text.ranges(path)]
    return parts
