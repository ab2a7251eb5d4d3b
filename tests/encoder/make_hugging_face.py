"""Makes tests/encoder/hugging_face: tiny checkpoints of `transformers`, and its answers.

    pip install transformers==4.57.6 torch==2.13.0
    python tests/encoder/make_hugging_face.py

Weights are drawn at random. Every family has two layers. answers.npz holds, per checkpoint, the
library's hidden states for pictures of the size that it was made for and of a larger one, for which
the positions are interpolated.
"""

import json
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers.image_utils import IMAGENET_STANDARD_MEAN, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

FOLDER = Path(__file__).parent / "hugging_face"
SIZES = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "image_size": 28,
    "patch_size": 7,
}
MODELS = {
    "vit": transformers.ViTModel(
        transformers.ViTConfig(**SIZES, intermediate_size=40), add_pooling_layer=False
    ),
    "deit": transformers.DeiTModel(
        transformers.DeiTConfig(**SIZES, intermediate_size=40), add_pooling_layer=False
    ),
    "clip": transformers.CLIPVisionModel(
        transformers.CLIPVisionConfig(**SIZES, intermediate_size=40)
    ),
    "siglip": transformers.SiglipVisionModel(
        transformers.SiglipVisionConfig(**SIZES, intermediate_size=40)
    ),
    "dinov2": transformers.Dinov2Model(transformers.Dinov2Config(**SIZES, mlp_ratio=2)),
    "dinov2_with_registers": transformers.Dinov2WithRegistersModel(
        transformers.Dinov2WithRegistersConfig(**SIZES, mlp_ratio=2, num_register_tokens=3)
    ),
}


def randomize(model):
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            middle = 1.0 if "norm" in name and name.endswith("weight") else 0.0
            draws = torch.randn(parameter.shape, generator=generator)
            parameter.copy_(middle + 0.15 * draws)


def main():
    answers = {}
    for name, model in MODELS.items():
        randomize(model)
        model.eval()
        shard = "20KB" if name == "vit" else "1GB"
        model.save_pretrained(FOLDER / name, max_shard_size=shard)
        mean = OPENAI_CLIP_MEAN if name == "clip" else IMAGENET_STANDARD_MEAN
        deviation = OPENAI_CLIP_STD if name == "clip" else [0.5, 0.5, 0.5]
        facts = {"image_mean": list(mean), "image_std": list(deviation)}
        (FOLDER / name / "preprocessor_config.json").write_text(json.dumps(facts) + "\n")
        for size in (28, 42):
            pixels = np.random.default_rng(size).integers(0, 256, [1, size, size, 3])
            standard = (pixels / 255 - np.array(mean)) / np.array(deviation)
            inputs = torch.tensor(standard.transpose(0, 3, 1, 2), dtype=torch.float32)
            options = {} if name.startswith("dino") else {"interpolate_pos_encoding": True}
            with torch.no_grad():
                found = model(inputs, output_hidden_states=True, **options)
                last = found.last_hidden_state
                if name == "clip":  # the only one that leaves its last norm out
                    last = model.vision_model.post_layernorm(last)
            answers[f"{name}_{size}_last"] = last.numpy()
            answers[f"{name}_{size}_block_0"] = found.hidden_states[1].numpy()
    np.savez_compressed(FOLDER / "answers.npz", **answers)


if __name__ == "__main__":
    main()
