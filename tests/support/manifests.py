"""Changed copies of prepared data sets, which are as sound as if they had been prepared so."""

import json

from keras_sat.data.prepared import manifest_fingerprint
from keras_sat.utils.hashing import write_sums


def rewrite_manifest(folder, **changes):
    """Changes keys of a data set's manifest, with its fingerprint and the folder's hashes."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text()) | changes
    manifest["fingerprint"] = manifest_fingerprint(manifest)
    path.write_text(json.dumps(manifest))
    write_sums(folder)
