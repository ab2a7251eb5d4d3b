"""What a folder of pictures and captions looks like from outside."""

import os
from dataclasses import dataclass, field

from apache_beam.io.filesystems import FileSystems

from keras_sat.utils.errors import UserError
from pipeline.sources.paths import exists, is_local
from pipeline.sources.pictures import is_picture

_MOST_OPENED = 50  # files of a folder that are looked into


@dataclass(frozen=True)
class Seen:
    """The names in a folder, or one file in it.

    Attributes:
        folder: the folder.
        file: the name of the file if the source is a file.
        names: the names of the folder's files, or of that file alone.
        folders: the names of the folders in it.
    """

    folder: str
    file: str = ""
    names: tuple[str, ...] = field(default=(), repr=False)
    folders: tuple[str, ...] = field(default=(), repr=False)

    @classmethod
    def at(cls, source):
        """Looks at a folder or file.

        Raises:
            UserError: there is no such folder or file.
        """
        check_exists(source)
        is_file = os.path.isfile(source) if is_local(source) else FileSystems.exists(source)
        if is_file:
            folder, name = FileSystems.split(source)
            return cls(folder or ".", name, (name,))
        if not is_local(source):
            return cls(source, "", *_remote_names(source))
        return cls(source, "", *_local_names(source))

    def within(self, *names):
        """What the folders of these names look like, of those that there are; all without names."""
        chosen = [name for name in self.folders if not names or name in names]
        return [Seen.at(FileSystems.join(self.folder, name)) for name in chosen]

    def files(self, *suffixes):
        """The paths of the files whose names end so."""
        found = [name for name in self.names if name.lower().endswith(suffixes)]
        return [FileSystems.join(self.folder, name) for name in found]

    def few(self, *suffixes):
        """The paths of the files whose names end so, to look into; none if there are many."""
        found = self.files(*suffixes)
        return found if len(found) <= _MOST_OPENED else []

    def has(self, name):
        """Whether there is a file or folder of this name, which may have folders in it."""
        return not self.file and exists(FileSystems.join(self.folder, name))

    def pictures(self):
        """The names of the pictures."""
        return [name for name in self.names if is_picture(name)]

    def __str__(self):
        """How many files of which kind there are: `2 .tar files, 3 folders (a, b, c)`."""
        counts = {}
        for name in self.names:
            suffix = os.path.splitext(name)[1].lower() or "suffix-less"
            counts[suffix] = counts.get(suffix, 0) + 1
        parts = []
        for suffix, count in sorted(counts.items(), key=_most_first):
            parts.append(f"{count} {suffix} file{'s' if count > 1 else ''}")
        if self.folders:
            parts.append(f"the folders {', '.join(self.folders[:5])}")
        return ", ".join(parts) or "nothing"


def check_exists(source):
    """Checks that a local source is there; others show it when they are opened.

    Raises:
        UserError: there is no such local folder or file.
    """
    if is_local(source) and not os.path.exists(source):
        raise UserError(f"{source}: no such folder")


def _most_first(item):
    suffix, count = item
    return -count, suffix


def _local_names(folder):
    """(files, folders) of a local folder, in order. Hidden ones are passed over."""
    files = []
    folders = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith("."):
                (folders if entry.is_dir() else files).append(entry.name)
    return tuple(sorted(files)), tuple(sorted(folders))


def _remote_names(folder):
    """(files, folders) of a folder in an object store, which knows folders by the files in them."""
    system = FileSystems.get_filesystem(folder)
    prefix = folder.rstrip("/") + "/"
    files = set()
    folders = set()
    for pattern in (f"{prefix}*", f"{prefix}*/*"):
        for found in system.match([pattern])[0].metadata_list:
            first, slash, _ = found.path.removeprefix(prefix).partition("/")
            (folders if slash else files).add(first)
    if not files and not folders:
        raise UserError(f"{folder}: no such folder, or nothing in it")
    return tuple(sorted(files)), tuple(sorted(folders))
