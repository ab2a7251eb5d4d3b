"""Where the pictures of a corpus lie."""

import os

from apache_beam.io.filesystems import FileSystems

from keras_sat.pictures.formats import SUFFIXES
from keras_sat.utils.errors import UserError
from pipeline.sources.paths import exists, is_local, resolved

# The folders in which pictures are looked for if a corpus names them without a folder.
USUAL = ("", "images", "Images", "train", "val", "validation", "test")
AMBIGUOUS = "ambiguous picture"


def is_picture(name):
    """Whether a file's name ends as a picture's does."""
    return name.lower().endswith(SUFFIXES)


class Pictures:
    """The folders that hold the pictures of a corpus."""

    def __init__(self, folders):
        """Notes the folders.

        Args:
            folders: the folders that exist, at least one.
        """
        self._folders = tuple(folders)
        self._listed = None  # the pictures in an object store, which is asked once

    @classmethod
    def under(cls, roots, names=USUAL):
        """The folders of these names under the roots; the first root if there is none."""
        found = {}
        for root in roots:
            for name in names:
                path = FileSystems.join(root, name) if name else root
                if exists(path):
                    # Where names have no case, images/ and Images/ are one folder.
                    same = os.stat(path).st_ino if is_local(path) else path
                    found.setdefault(same, path)
        return cls(found.values() or roots[:1])

    def path(self, name):
        """The path of a picture.

        Args:
            name: its path relative to one of the folders, or an absolute path.

        Raises:
            UserError: several folders have such a picture.
        """
        paths = [FileSystems.join(folder, name) for folder in self._folders]
        if len(paths) == 1 or "\0" in name:
            return paths[0]
        found = [path for path in paths if self._has(path)]
        if len(found) > 1 and len({resolved(path) for path in found}) > 1:
            raise UserError(f"{AMBIGUOUS}: {name} may be {' or '.join(found)}; name its folder")
        return found[0] if found else paths[0]

    def _has(self, path):
        if not is_local(path):
            if self._listed is None:
                self._listed = set()
                for folder in self._folders:
                    self._listed.update(walk(folder))
            return path in self._listed
        try:
            return exists(path)
        except (ValueError, OSError):  # a name that no file can have
            return False


def walk(folder, suffixes=SUFFIXES):
    """Yields the paths of the pictures in and below a folder. Hidden ones are passed over.

    Args:
        folder: the folder.
        suffixes: how the files' names end.
    """
    if not is_local(folder):
        pattern = f"{folder.rstrip('/')}/**"
        for found in FileSystems.match([pattern])[0].metadata_list:
            if found.path.lower().endswith(suffixes):
                yield found.path
        return
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.lower().endswith(suffixes) and not name.startswith("."):
                yield os.path.join(place, name)
