"""What a caption costs in each system: arithmetic, memory traffic, memory held (docs/costs.md).

    python -m benchmarks.costs --regions 196 \\
        --flops 5e13 --bandwidth 1.5e12 --network 1e11 --calls 1.2e-3

It is computed from the sizes alone. Multiplications and additions of matrix products are counted,
two operations per pair; tests/benchmarks/test_costs.py compares them with the forward pass, product
by product.
Of everything else, only what grows with regions × steps or words × steps matters, as traffic.
"""

import argparse
from dataclasses import dataclass, replace

FLOAT = 4  # bytes


@dataclass(frozen=True)
class Sizes:
    """Sizes of a model and a batch, with their letters in the formulas.

    Attributes:
        regions: L.
        depth: D, the numbers of a region.
        words: V, of the vocabulary.
        width: W, of embeddings, states and attention.
        steps: T, the words of a caption; END is one of them.
        captions_an_image: N, the captions that share an image.
        batch: B, in captions.
    """

    regions: int = 196
    depth: int = 1024
    words: int = 2633
    width: int = 512
    steps: float = 11.8  # the mean over Flickr8k's captions
    captions_an_image: int = 1
    batch: int = 32


@dataclass(frozen=True)
class Cost:
    """The cost of one caption.

    Attributes:
        once: operations of the forward pass on the image, before any word; its captions share them.
        steps: operations of the forward pass for all words.
        seen: those of `steps` in products with the features themselves, which need no gradient.
        traffic: bytes that a training step reads and writes.
        traffic_forward: bytes that its forward pass reads and writes.
        memory: bytes that training holds for the backward pass.
        trained_once: what the gradients of `once` take, in multiples of it: 1 where only weights
            get a gradient.
    """

    once: float
    steps: float
    seen: float
    traffic: float
    traffic_forward: float
    memory: float
    trained_once: int

    def forward(self, sizes):
        """Operations of the forward pass."""
        return self.once / sizes.captions_an_image + self.steps

    def training(self, sizes):
        """Operations of a training step.

        A product's gradients are two more products of its size, if both factors get a gradient.
        """
        once = self.once * (1 + self.trained_once) / sizes.captions_an_image
        return once + 3 * self.steps - self.seen


def soft(s):
    """Soft and hard attention, with scalar gate and deep output (Xu et al. 2015)."""
    L = s.regions
    D = s.depth
    V = s.words
    W = s.width
    T = s.steps
    once = 2 * (L * D * W + 2 * D * W)  # keys; h_0 and c_0
    recurrence = W * W + L * W + L * D + W + (D + W) * 4 * W  # query, scores, context, gate, LSTM
    parallel = W * 4 * W + W * W + D * W + W * V  # words' part of the gates; L_h, L_z, L_o
    # Weights are read at every step, once for all captions of the batch.
    weights = ((D + W) * 4 * W + W * W) / s.batch
    # tanh(keys + query) is written, read for the scores, and read again for three gradients, two of
    # which are sums.
    traffic = 11 * L * W + 2 * L * D + 2 * weights + 8 * V
    traffic_forward = 5 * L * W + L * D + weights + 4 * V
    memory = L * W + 2 * L + 3 * V + 12 * W + 2 * D
    return Cost(
        once=once,
        steps=2 * T * (recurrence + parallel),
        seen=2 * T * L * D,
        traffic=T * FLOAT * traffic,
        traffic_forward=T * FLOAT * traffic_forward,
        memory=T * FLOAT * memory,
        trained_once=1,
    )


def show_and_tell(s):
    """One LSTM layer (Vinyals et al. 2015)."""
    D = s.depth
    V = s.words
    W = s.width
    T = s.steps
    weights = W * 4 * W / s.batch  # read at every step, once for all captions of the batch
    return Cost(
        once=2 * D * W,
        steps=2 * T * (2 * W * 4 * W + W * V),
        seen=0,
        traffic=T * FLOAT * (2 * weights + 8 * V + 20 * W),
        traffic_forward=T * FLOAT * (weights + 4 * V + 8 * W),
        memory=T * FLOAT * (3 * V + 12 * W),
        trained_once=1,
    )


def areas(s):
    """The full joint distribution over a grid, marginal feedback (Pedersoli et al. 2017)."""
    L = s.regions
    D = s.depth
    V = s.words
    W = s.width
    T = s.steps
    N = s.captions_an_image
    once = 2 * (L * D * W + L * W * V + D * W)  # R θ_wr, then C = W θ_wr R; h_0
    gru = (D + W) * 3 * W
    recurrence = gru + W * W + W * V + W * D + L * D + L * V + L * D  # a, b, Σ_w, pooled regions
    parallel = W * 3 * W + L * V  # words' part of the gates; Σ_r
    weights = (((D + W) * 3 + W + V + D) * W) / s.batch
    # C is read at every step, in both directions. It is written, exponentiated and differentiated
    # once.
    traffic = T * (2 * L * V / N + 2 * weights + 12 * V) + 14 * L * V / N
    traffic_forward = T * (L * V / N + weights + 6 * V) + 5 * L * V / N
    memory = T * (4 * V + 4 * L + 12 * W + 2 * D) + 5 * L * V / N
    return Cost(
        once=once,
        steps=2 * T * (recurrence + parallel),
        seen=4 * T * L * D,
        traffic=FLOAT * traffic,
        traffic_forward=FLOAT * traffic_forward,
        memory=FLOAT * memory,
        trained_once=2,
    )


SYSTEMS = {"soft": soft, "show_and_tell": show_and_tell, "areas": areas}


# The numbers of weights, without biases: embeddings and output; LSTM or GRU; attention or
# interaction, and the initial state.


def _soft_parameters(s):
    recurrent = 4 * (2 * s.width + s.depth)
    return 2 * s.words * s.width + s.width * (recurrent + 4 * s.depth + 2 * s.width)


def _show_and_tell_parameters(s):
    return 2 * s.words * s.width + s.width * (8 * s.width + s.depth)


def _areas_parameters(s):
    recurrent = 3 * (2 * s.width + s.depth)
    return s.words * s.width + s.width * (recurrent + 3 * s.depth + s.width)


PARAMETERS = {
    "soft": _soft_parameters,
    "show_and_tell": _show_and_tell_parameters,
    "areas": _areas_parameters,
}


def step_seconds(system, sizes, flops, bandwidth, network, calls, devices=1):
    """Seconds of a training step of `sizes.batch` captions on each device.

    Args:
        system: its name.
        sizes: a `Sizes`.
        flops: operations per second of a device.
        bandwidth: bytes per second of a device's memory.
        network: bytes per second between devices.
        calls: seconds that it takes to start the operations of one word, however small they are.
        devices: how many there are.
    """
    cost = SYSTEMS[system](sizes)
    caption = cost.training(sizes) / flops + cost.traffic / bandwidth
    work = sizes.batch * caption + sizes.steps * calls
    # Every gradient goes around a ring of devices twice, a share at a time.
    return work + 2 * (devices - 1) / devices * FLOAT * PARAMETERS[system](sizes) / network


def _print_costs(sizes):
    print(
        "| system | GFLOP forward | GFLOP training | MB traffic | MB held | million weights |\n"
        "|---|---|---|---|---|---|"
    )
    for system, cost_of in SYSTEMS.items():
        cost = cost_of(sizes)
        figures = (
            cost.forward(sizes) / 1e9,
            cost.training(sizes) / 1e9,
            cost.traffic / 1e6,
            cost.memory / 1e6,
            PARAMETERS[system](sizes) / 1e6,
        )
        print(f"| {system} |", " | ".join(f"{figure:.2f}" for figure in figures), "|")


def _print_rates(base, flops, bandwidth, network, calls):
    print(
        "\nCaptions a second:\n\n"
        "| system | batch of all devices | 1 device | 2 | 4 | 8 |\n"
        "|---|---|---|---|---|---|"
    )
    for system in SYSTEMS:
        for batch in (64, 512, 4096):
            rates = []
            for devices in (1, 2, 4, 8):
                sizes = replace(base, batch=batch // devices)
                seconds = step_seconds(system, sizes, flops, bandwidth, network, calls, devices)
                rates.append(f"{batch / seconds:,.0f}")
            print(f"| {system} | {batch} |", " | ".join(rates), "|")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--regions", type=int, default=196)
    parser.add_argument("--words", type=int, default=2633)
    parser.add_argument("--each", type=int, default=1, help="captions that share an image")
    for name in ("flops", "bandwidth", "network", "calls"):
        parser.add_argument(f"--{name}", type=float, help="of a device, see step_seconds")
    args = parser.parse_args()
    device = (args.flops, args.bandwidth, args.network, args.calls)
    if any(device) and not all(device):
        parser.error("--flops, --bandwidth, --network and --calls go together")
    sizes = Sizes(args.regions, words=args.words, captions_an_image=args.each)
    _print_costs(sizes)
    if all(device):
        _print_rates(sizes, *device)


if __name__ == "__main__":
    main()
