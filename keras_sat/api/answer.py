"""What a captioner answers about one picture."""

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageShow

from keras_sat.utils import extras
from keras_sat.utils.errors import UserError
from keras_sat.visualize.attention import attention_overlay, save_figure, to_png
from keras_sat.visualize.heat import attention_maps
from keras_sat.visualize.hover import attention_html


@dataclass(frozen=True, eq=False, repr=False)
class Answer:
    """The captions of a picture, and where the captioner looked for each word of the best one.

    Attributes:
        name: the picture's file or URL; `picture 1`, … for one without a name.
        captions: the best first.
        scores: their log-probabilities.
        attention: float32 [T, L], for the T words of the best caption over L regions.
        boxes: float32 [L, 4], the regions (ymin, xmin, ymax, xmax) as fractions of the picture.
        picture: uint8 [H, W, 3], the picture that the regions refer to.
        facts: {name: T numbers}, what the model tells beside: `gate`, the β of Xu et al. 2015.
    """

    name: str
    captions: tuple[str, ...]
    scores: tuple[float, ...]
    attention: np.ndarray
    boxes: np.ndarray
    picture: np.ndarray
    facts: dict = field(default_factory=dict)

    @property
    def caption(self):
        """The best caption."""
        return self.captions[0]

    @property
    def score(self):
        """The log-probability of the best caption."""
        return self.scores[0]

    @property
    def words(self):
        """The T words of the best caption."""
        return self.caption.split()

    def attention_map(self, size=None):
        """Where in the picture the captioner looked, as `visualize.heat.attention_maps`.

        Args:
            size: (H, W) in pixels (default: the picture's).

        Returns:
            float32 [T, H, W]; each map adds up to 1.
        """
        return attention_maps(self.attention, self.boxes, size or self.picture.shape[:2])

    def fields(self, attention=True):
        """The answer as a dictionary for JSON.

        Args:
            attention: whether the words, their attention, the boxes and the facts are in it.
        """
        fields = {
            "caption": self.caption,
            "score": self.score,
            "captions": list(self.captions),
            "scores": list(self.scores),
        }
        if attention:
            fields["words"] = self.words
            fields["attention"] = self.attention.tolist()
            fields["boxes"] = self.boxes.tolist()
            for name, values in self.facts.items():
                fields[name] = values.tolist()
        return fields

    def overlay(self):
        """The picture once per word with the attention over it, a matplotlib Figure."""
        return attention_overlay(self.picture, self.words, self.attention, self.boxes, self.facts)

    def save(self, path):
        """Writes the overlay to a file, in the format that its suffix names."""
        save_figure(Path(path), self.overlay())

    def show(self):
        """Shows the overlay: in the notebook, or else with the system's picture viewer.

        Raises:
            UserError: there is neither.
        """
        png = to_png(self.overlay(), dpi=100)
        notebook = extras.notebook()
        if notebook:
            notebook.display(notebook.Image(data=png))
        elif not ImageShow.show(Image.open(io.BytesIO(png)), title=self.caption):
            raise UserError("show: no picture viewer here; save('attention.png') writes a file")

    def _repr_html_(self):
        """The picture and the caption, whose words show their attention when pointed at."""
        return attention_html(self.picture, self.words, self.attention, self.boxes, self.facts)

    def __str__(self):
        return self.caption

    def __repr__(self):
        return f"Answer({self.name!r}, {self.caption!r}, score={self.score:.3f})"
