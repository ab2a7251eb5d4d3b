"""What a caption costs each system, from its sizes alone: arithmetic, memory traffic, memory held (docs/costs.md).

    python -m benchmarks.costs --regions 196 --flops 5e13 --bandwidth 1.5e12 --network 1e11 --calls 1.2e-3

Multiplications and additions of matrix products are counted, two operations a pair; tests/benchmarks/test_costs.py holds the forward
pass to them, product by product. Of all else only what grows with regions × steps or words × steps matters, as traffic.
"""

import argparse
from dataclasses import dataclass, replace

FLOAT = 4  # bytes


@dataclass(frozen=True)
class Sizes:
    """Letters as in the formulas: L regions of D numbers, V words of E, states of H, attention of A, T steps (END is one);
    N captions share an image, B of them are a batch."""

    regions: int = 196
    depth: int = 1024
    words: int = 2633
    width: int = 512  # E, H and A
    steps: float = 11.8  # the mean over Flickr8k's captions
    captions_an_image: int = 1
    batch: int = 32


@dataclass(frozen=True)
class Cost:
    """Of one caption.

    once: operations of the forward pass on the image, before any word, shared by its captions; steps: those of all words.
    seen: of these, products with the features themselves, which need no gradient.
    traffic: bytes that a training step reads and writes; traffic_forward: those that its forward pass does.
    memory: bytes that training holds for the way back.
    trained_once: what the gradients of `once` take, in passes like it; 1 where only weights get one.
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
        """Operations of a training step: a product's gradients are two more of its size, where both factors get one."""
        return (
            self.once * (1 + self.trained_once) / sizes.captions_an_image
            + 3 * self.steps
            - self.seen
        )


def soft(s):
    """Soft and hard attention, with scalar gate and deep output (Xu et al. 2015)."""
    L, D, V, W, T = s.regions, s.depth, s.words, s.width, s.steps
    once = 2 * (L * D * W + 2 * D * W)  # keys; h_0 and c_0
    recurrence = W * W + L * W + L * D + W + (D + W) * 4 * W  # query, scores, context, gate, LSTM
    parallel = W * 4 * W + W * W + D * W + W * V  # words' part of the gates; L_h, L_z, L_o
    weights = (
        (D + W) * 4 * W + W * W
    ) / s.batch  # read at every step, by all captions of the batch together
    # tanh(keys + query) is written, read for the scores, read again for three gradients, two of which are sums.
    traffic = T * FLOAT * (11 * L * W + 2 * L * D + 2 * weights + 8 * V)
    forward = T * FLOAT * (5 * L * W + L * D + weights + 4 * V)
    memory = T * FLOAT * (L * W + 2 * L + 3 * V + 12 * W + 2 * D)
    return Cost(
        once,
        2 * T * (recurrence + parallel),
        2 * T * L * D,
        traffic,
        forward,
        memory,
        trained_once=1,
    )


def show_and_tell(s):
    """One LSTM layer (Vinyals et al. 2015)."""
    D, V, W, T = s.depth, s.words, s.width, s.steps
    traffic = T * FLOAT * (2 * W * 4 * W / s.batch + 8 * V + 20 * W)
    forward = T * FLOAT * (W * 4 * W / s.batch + 4 * V + 8 * W)
    memory = T * FLOAT * (3 * V + 12 * W)
    return Cost(
        2 * D * W, 2 * T * (2 * W * 4 * W + W * V), 0, traffic, forward, memory, trained_once=1
    )


def areas(s):
    """The full joint distribution over a grid, marginal feedback (Pedersoli et al. 2017)."""
    L, D, V, W, T = s.regions, s.depth, s.words, s.width, s.steps
    once = 2 * (L * D * W + L * W * V + D * W)  # R θ_wr, then C = W θ_wr R; h_0
    recurrence = (
        (D + W) * 3 * W + W * W + W * V + W * D + L * D + L * V + L * D
    )  # GRU, a, b, Σ_w, pooled regions
    parallel = W * 3 * W + L * V  # words' part of the gates; Σ_r
    weights = (((D + W) * 3 + W + V + D) * W) / s.batch
    # C is read at every step, in both directions; written, raised to exponentials and differentiated once.
    traffic = FLOAT * (
        T * (2 * L * V / s.captions_an_image + 2 * weights + 12 * V)
        + 14 * L * V / s.captions_an_image
    )
    forward = FLOAT * (
        T * (L * V / s.captions_an_image + weights + 6 * V) + 5 * L * V / s.captions_an_image
    )
    memory = FLOAT * (T * (4 * V + 4 * L + 12 * W + 2 * D) + 5 * L * V / s.captions_an_image)
    return Cost(
        once,
        2 * T * (recurrence + parallel),
        4 * T * L * D,
        traffic,
        forward,
        memory,
        trained_once=2,
    )


SYSTEMS = {"soft": soft, "show_and_tell": show_and_tell, "areas": areas}
PARAMETERS = {  # of weights: words · widths, LSTM or GRU, attention or interaction, output
    "soft": lambda s: (
        2 * s.words * s.width + s.width * (4 * (2 * s.width + s.depth) + 4 * s.depth + 2 * s.width)
    ),
    "show_and_tell": lambda s: 2 * s.words * s.width + s.width * (8 * s.width + s.depth),
    "areas": lambda s: (
        s.words * s.width + s.width * (3 * (2 * s.width + s.depth) + 3 * s.depth + s.width)
    ),
}


def step_seconds(system, sizes, flops, bandwidth, network, calls, devices=1):
    """A training step of `sizes.batch` captions on each device.

    Args:
        flops: operations a second of a device. bandwidth: bytes a second of its memory. network: bytes a second between
        devices. calls: seconds that starting the operations of one word takes, however small they are.
    """
    cost = SYSTEMS[system](sizes)
    work = (
        sizes.batch * (cost.training(sizes) / flops + cost.traffic / bandwidth)
        + sizes.steps * calls
    )
    # Every gradient goes around a ring of devices twice, a share at a time.
    return work + 2 * (devices - 1) / devices * FLOAT * PARAMETERS[system](sizes) / network


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--regions", type=int, default=196)
    parser.add_argument("--words", type=int, default=2633)
    parser.add_argument("--each", type=int, default=1, help="captions that share an image")
    for name in ("flops", "bandwidth", "network", "calls"):
        parser.add_argument(f"--{name}", type=float, help="of a device, see step_seconds")
    args = parser.parse_args()
    rates = args.flops, args.bandwidth, args.network, args.calls
    if any(rates) and not all(rates):
        parser.error("--flops, --bandwidth, --network and --calls go together")
    base = Sizes(args.regions, words=args.words, captions_an_image=args.each)
    print(
        "| system | GFLOP forward | GFLOP training | MB traffic | MB held | million weights |\n|---|---|---|---|---|---|"
    )
    for system, of in SYSTEMS.items():
        cost = of(base)
        figures = (
            cost.forward(base) / 1e9,
            cost.training(base) / 1e9,
            cost.traffic / 1e6,
            cost.memory / 1e6,
        )
        print(
            f"| {system} |",
            " | ".join(f"{each:.2f}" for each in (*figures, PARAMETERS[system](base) / 1e6)),
            "|",
        )
    if all(rates):
        print(
            "\nCaptions a second:\n\n| system | batch of all devices | 1 device | 2 | 4 | 8 |\n|---|---|---|---|---|---|"
        )
        for system in SYSTEMS:
            for batch in (64, 512, 4096):
                found = []
                for devices in (1, 2, 4, 8):
                    sizes = replace(base, batch=batch // devices)
                    found.append(f"{batch / step_seconds(system, sizes, *rates, devices):,.0f}")
                print(f"| {system} | {batch} |", " | ".join(found), "|")


if __name__ == "__main__":
    main()
