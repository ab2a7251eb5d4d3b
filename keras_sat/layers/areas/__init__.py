"""What a captioner attends to, one kind per file, behind one interface:

regions, boxes, present = areas(inputs, noise)

inputs     {"features": the CNN's feature map [B, h, w, D]}; for proposals also "boxes" [B, M, 4],
           padded with zeros, and optionally "region_features", a second map to pool from
regions    descriptors [B, L, D]
boxes      float32 [B, L, 4] (ymin, xmin, ymax, xmax in 0–1), for drawing and for attention
           correctness
present    bool [B, L]: whether the region exists; padding does not
"""

from keras_sat.layers.areas.grid import Grid
from keras_sat.layers.areas.proposals import Proposals
from keras_sat.layers.areas.transformer import SpatialTransformer

__all__ = ["Grid", "Proposals", "SpatialTransformer"]
