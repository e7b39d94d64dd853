"""The networks that can be trained, as torch modules.  torch is imported inside the functions and nowhere else.

Loop workers never call this: they use the fused forward.  A network returns logits (B, 3) in the order down, flat, up
(MES-ML-06).  Called by training and by the tests that compare it with the fused forward.
"""

from collections import OrderedDict
from typing import TYPE_CHECKING

from trading.learning.artifacts import NORM_EPSILON

if TYPE_CHECKING:
    import torch

HIDDEN = (256, 128, 64)  # MES-ML-01
DROPOUT = 0.3


def feed_forward(inputs: int, hidden: tuple[int, ...] = HIDDEN, dropout: float = DROPOUT) -> "torch.nn.Module":
    """MES-ML-01: per hidden layer Linear, BatchNorm, ReLU, Dropout, Kaiming initialisation; then a linear head of 3."""
    from torch import nn

    class Block(nn.Sequential):
        def __init__(self, width_in: int, width_out: int) -> None:
            linear = nn.Linear(width_in, width_out)
            nn.init.kaiming_normal_(linear.weight, nonlinearity="relu")
            nn.init.zeros_(linear.bias)
            norm = nn.BatchNorm1d(width_out, eps=NORM_EPSILON)
            super().__init__(OrderedDict(linear=linear, norm=norm, relu=nn.ReLU(), dropout=nn.Dropout(dropout)))

    class FeedForward(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = (inputs, *hidden)
            self.hidden = nn.Sequential(*(Block(widths[i], widths[i + 1]) for i in range(len(hidden))))
            self.head = nn.Linear(widths[-1], 3)

        def forward(self, x: "torch.Tensor") -> "torch.Tensor":
            logits: torch.Tensor = self.head(self.hidden(x))
            return logits

    return FeedForward()


def tensors_of(network: "torch.nn.Module") -> "dict[str, torch.Tensor]":
    """The tensors that an artifact stores; BatchNorm's counter of batches is no part of the answer."""
    return {
        name: tensor.detach().contiguous().clone()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def weights_of(network: "torch.nn.Module") -> bytes:
    """The same tensors as the bytes of a safetensors file."""
    from safetensors.torch import save

    return save(tensors_of(network))
