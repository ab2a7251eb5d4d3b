"""Soft attention in PyTorch as it is usually written.

The time loop is an LSTMCell in a Python loop, and beam search takes one image at a time. The
benchmarks measure keras_sat beside it. It takes a `SoftCaptioner`'s weights, so that both compute
the same numbers.
"""

import torch
from torch import nn
from torch.nn import functional as F

from keras_sat.text.ids import END, PAD, START


class SoftAttention(nn.Module):
    """The paper's model (scalar gate, deep output), from features [B, L, D]."""

    def __init__(self, vocabulary_size, region_size, embedding_size, state_size, attention_size):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary_size, embedding_size)
        self.encoder_att = nn.Linear(region_size, attention_size)
        self.decoder_att = nn.Linear(state_size, attention_size)
        self.full_att = nn.Linear(attention_size, 1)
        self.f_beta = nn.Linear(state_size, 1)
        self.init_h = nn.Linear(region_size, state_size)
        self.init_c = nn.Linear(region_size, state_size)
        self.lstm = nn.LSTMCell(embedding_size + region_size, state_size)
        self.from_hidden = nn.Linear(state_size, embedding_size)
        self.from_context = nn.Linear(region_size, embedding_size, bias=False)
        self.logits = nn.Linear(embedding_size, vocabulary_size)

    @classmethod
    def of(cls, captioner):
        """With the weights of a `SoftCaptioner` that has the paper's settings."""
        config = captioner.config
        model = cls(
            captioner.vocabulary_size,
            captioner.region_size,
            config.embedding_size,
            config.state_size,
            config.attention_size,
        )
        lstm = captioner.lstm
        attend = captioner.attend
        read_out = captioner.read_out
        for layer, dense in (
            (model.encoder_att, attend._keys[0]),
            (model.decoder_att, attend._query),
            (model.full_att, attend._score),
            (model.f_beta, captioner.gate),
            (model.init_h, captioner.initial_hidden.layers[0]),
            (model.init_c, captioner.initial_cell.layers[0]),
            (model.from_hidden, read_out._from_hidden),
            (model.from_context, read_out._from_context),
            (model.logits, read_out._logits),
        ):
            layer.weight.data = _tensor(dense.kernel).T.contiguous()
            if layer.bias is not None:
                layer.bias.data = _tensor(dense.bias)
        model.embedding.weight.data = _tensor(captioner.embedding.table)
        model.embedding.weight.data[START] = 0
        kernels = torch.cat([_tensor(lstm._word.kernel), _tensor(lstm._context.kernel)])
        model.lstm.weight_ih.data = kernels.T.contiguous()
        model.lstm.weight_hh.data = _tensor(lstm._recurrent.kernel).T.contiguous()
        model.lstm.bias_ih.data = _tensor(lstm._word.bias)
        model.lstm.bias_hh.data.zero_()
        return model

    def start(self, features):
        mean = features.mean(dim=1)
        return torch.tanh(self.init_h(mean)), torch.tanh(self.init_c(mean))

    def step(self, words, features, state):
        """Words [B], features [B, L, D] → scores [B, V], α [B, L], state."""
        hidden, cell = state
        embedded = self.embedding(words)
        attended = torch.tanh(self.encoder_att(features) + self.decoder_att(hidden)[:, None])
        scores = self.full_att(attended)[..., 0]  # [B, L]
        alpha = F.softmax(scores, dim=1)
        gate = torch.sigmoid(self.f_beta(hidden))
        context = gate * (alpha[..., None] * features).sum(dim=1)  # [B, D]
        hidden, cell = self.lstm(torch.cat([embedded, context], dim=1), (hidden, cell))
        features = torch.tanh(embedded + self.from_hidden(hidden) + self.from_context(context))
        logits = self.logits(features)
        logits[:, [PAD, START]] = -1e9
        return logits, alpha, (hidden, cell)

    def loss(self, features, captions):
        """The mean loss of captions: their cross-entropy and the doubly stochastic penalty.

        Args:
            features: [B, L, D].
            captions: [B, T].
        """
        lengths = (captions != PAD).sum(dim=1)
        order = lengths.argsort(descending=True, stable=True)  # the longest first
        features = features[order]
        captions = captions[order]
        lengths = lengths[order]
        words = torch.cat([torch.full_like(captions[:, :1], START), captions[:, :-1]], dim=1)
        state = self.start(features)
        total = 0.0
        seen = torch.zeros(features.shape[:2])  # the attention to each region so far
        for t in range(int(lengths.max())):
            n = int((lengths > t).sum())  # the batch shrinks as captions end
            state = tuple(each[:n] for each in state)
            logits, alpha, state = self.step(words[:n, t], features[:n], state)
            total = total + F.cross_entropy(logits, captions[:n, t], reduction="sum")
            seen = torch.cat([seen[:n] + alpha, seen[n:]])
        return (total + ((1 - seen) ** 2).sum()) / len(captions)

    @torch.no_grad()
    def caption(self, features, beam, max_length):
        """The best caption of one image; the beam narrows as captions are finished.

        Args:
            features: [L, D].
            beam: how many hypotheses there are at first.
            max_length: T, the most words.
        Returns:
            The caption's words, a list, and its log-probability.
        """
        features = features[None].expand(beam, -1, -1)
        state = self.start(features)
        words = torch.full([beam], START)
        captions = torch.empty([beam, 0], dtype=torch.long)
        scores = torch.zeros(beam, 1)
        finished = []  # (log-probability, words)
        for t in range(max_length):
            logits, _, state = self.step(words, features[: len(words)], state)
            extended = scores + F.log_softmax(logits, dim=1)
            flat = extended[0] if t == 0 else extended.reshape(-1)
            best, places = flat.topk(beam - len(finished))
            parents = places // logits.shape[1]
            words = places % logits.shape[1]
            captions = torch.cat([captions[parents], words[:, None]], dim=1)
            unfinished = []
            for i, word in enumerate(words.tolist()):
                if word == END:
                    finished.append((float(best[i]), captions[i].tolist()))
                else:
                    unfinished.append(i)
            if not unfinished:
                break
            captions = captions[unfinished]
            words = words[unfinished]
            scores = best[unfinished, None]
            state = tuple(each[parents[unfinished]] for each in state)
        if not finished:
            finished = [(float(scores[0]), captions[0].tolist())]
        log_prob, caption = max(finished)
        return caption, log_prob


def inputs_of(batch):
    """What `SoftAttention.loss` takes, of a batch as keras_sat's models take it, with N = 1."""
    features = torch.from_numpy(batch["features"].numpy())
    captions = torch.from_numpy(batch["captions"].numpy()[:, 0]).long()
    return features.flatten(1, 2), captions


def training(model, batches):
    """A function that makes a training step on each batch, with Adam and clipped gradients."""
    optimizer = torch.optim.Adam(model.parameters(), 4e-4)
    inputs = [inputs_of(batch) for batch in batches]

    def train():
        for features, captions in inputs:
            optimizer.zero_grad()
            model.loss(features, captions).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()

    return train


def _tensor(variable):
    return torch.from_numpy(variable.numpy())
