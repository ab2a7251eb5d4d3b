"""Which files of a corpus may be opened. A path may be anything that Beam's file systems open."""

import os
import posixpath
import stat
from dataclasses import dataclass

from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems

from keras_sat.utils.errors import UserError

OUTSIDE = "outside the source"
_WAY_OUT = "name its folder with --images DIR or give --allow-outside"


@dataclass(frozen=True)
class Roots:
    """The folders that a corpus' paths may lead to, and the greatest size of a picture's file.

    Attributes:
        folders: the source, and the folder of `--images` if there is one.
        allow_outside: whether paths may leave these folders.
        max_bytes: larger pictures are refused.
    """

    folders: tuple[str, ...]
    allow_outside: bool = False
    max_bytes: int = 1 << 30

    @classmethod
    def of(cls, config, folder):
        """The roots of a `keras_sat.config.Prepare` whose corpus lies in a folder."""
        folders = (folder, config.images) if config.images else (folder,)
        return cls(folders, config.allow_outside, config.max_megabytes << 20)

    def check(self, path):
        """Returns the path if it stays inside the roots, links resolved.

        Raises:
            UserError: it leaves them, as `reason: detail`.
        """
        if self.allow_outside:
            return path
        target = resolved(path)
        for folder in self.folders:
            root = resolved(folder)
            if target == root or target.startswith(root.rstrip("/") + "/"):
                return path
        raise UserError(f"{OUTSIDE}: {_WAY_OUT}: {path} leads to {target}")

    def read(self, path):
        """The bytes of a picture's file.

        Raises:
            UserError: the file is outside the roots, not a regular file, or too large.
            OSError: it cannot be read.
        """
        if "\0" in path:
            raise UserError("not readable: a NUL character in its name")
        self.check(path)
        with open_file(path) as file:
            content = file.read(self.max_bytes + 1)
        if len(content) > self.max_bytes:
            limit = self.max_bytes >> 20
            raise UserError(f"file too large: {path} has more than max_megabytes ({limit})")
        return content


def is_local(path):
    """Whether a path has no scheme, such as gs://."""
    return FileSystems.get_scheme(path) is None


def resolved(path):
    """The absolute path without links and `..`. Object stores have no links."""
    if is_local(path):
        return os.path.realpath(path)
    scheme, _, rest = path.partition("://")
    return f"{scheme}://{posixpath.normpath(rest)}"


def open_file(path):
    """A binary file, open for reading.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: it is no regular file. Reading a pipe might wait for ever, reading a device might
            never end.
        OSError: it cannot be read.
    """
    if is_local(path) and not stat.S_ISREG(os.stat(path).st_mode):
        raise UserError(f"not a regular file: {path}")
    return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)


def exists(path):
    """Whether there is such a file or folder."""
    system = FileSystems.get_filesystem(path)
    if system.exists(path):
        return True
    if system.has_dirs():
        return False
    # Object stores know a folder only by the files in it.
    return bool(system.match([f"{path}/*"], [1])[0].metadata_list)
