"""Whisper's encoder on torch, with the weights of CTranslate2's model.bin. Imports torch."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from transcriber_worker.inference.batched.weights import WeightsFile


@dataclass(frozen=True, slots=True)
class Linear:
    weight: Tensor
    """(outputs, inputs)."""
    bias: Tensor

    def __call__(self, heard: Tensor) -> Tensor:
        return functional.linear(heard, self.weight, self.bias)


@dataclass(frozen=True, slots=True)
class Norm:
    gamma: Tensor
    beta: Tensor

    def __call__(self, heard: Tensor) -> Tensor:
        return functional.layer_norm(heard, self.gamma.shape, self.gamma, self.beta)


@dataclass(frozen=True, slots=True)
class Convolution:
    weight: Tensor
    """(outputs, inputs, 3)."""
    bias: Tensor
    stride: int

    def __call__(self, heard: Tensor) -> Tensor:
        return functional.gelu(functional.conv1d(heard, self.weight, self.bias, stride=self.stride, padding=1))


@dataclass(frozen=True, slots=True)
class Layer:
    before_attention: Norm
    asked: Linear
    """Queries, keys and values one after another."""
    answered: Linear
    before_thought: Norm
    wide: Linear
    narrow: Linear
    heads: int

    def __call__(self, heard: Tensor) -> Tensor:
        heard = heard + self._attended(self.before_attention(heard))
        return heard + self.narrow(functional.gelu(self.wide(self.before_thought(heard))))

    def _attended(self, heard: Tensor) -> Tensor:
        rows, length, width = heard.shape
        asked = self.asked(heard).view(rows, length, 3, self.heads, width // self.heads)
        queries, keys, values = asked.permute(2, 0, 3, 1, 4)
        # Fused where the device can: the scores, 90 MB a row of a large model in float16, are never written out.
        found = functional.scaled_dot_product_attention(queries, keys, values)
        return self.answered(found.transpose(1, 2).reshape(rows, length, width))


@dataclass(frozen=True, slots=True)
class Network:
    """From features to states."""

    convolutions: tuple[Convolution, Convolution]
    positions: Tensor
    """(1500, width)."""
    layers: tuple[Layer, ...]
    last: Norm

    def __call__(self, features: Tensor) -> Tensor:
        """`features`: (rows, mel bands, frames), an even number of them. Returns (rows, frames / 2, width)."""
        heard = features
        for convolution in self.convolutions:
            heard = convolution(heard)
        # Else every layer's values would lie across, and be read a number at a time.
        heard = heard.transpose(1, 2).contiguous()
        heard = heard + self.positions[: heard.shape[1]]
        for layer in self.layers:
            heard = layer(heard)
        return self.last(heard)


class Reader:
    """Reads a network's weights onto a device, one after another: what is never needed at once is never held."""

    def __init__(self, file: WeightsFile, place: torch.device, dtype: torch.dtype) -> None:
        self._file = file
        self._place = place
        self._dtype = dtype

    def network(self) -> Network:
        """Raises `ValueError` for weights that are not those of Whisper's encoder."""
        heads = self._file.integer("encoder/num_heads")
        names = {name.split("/")[1] for name in self._file.weights if name.startswith("encoder/layer_")}
        count = len(names - {"layer_norm"})
        return Network(
            convolutions=(self._convolution("conv1", 1), self._convolution("conv2", 2)),
            positions=self._tensor("position_encodings/encodings"),
            layers=tuple(self._layer(f"layer_{number}", heads) for number in range(count)),
            last=self._norm("layer_norm"),
        )

    def _layer(self, name: str, heads: int) -> Layer:
        return Layer(
            before_attention=self._norm(f"{name}/self_attention/layer_norm"),
            asked=self._linear(f"{name}/self_attention/linear_0"),
            answered=self._linear(f"{name}/self_attention/linear_1"),
            before_thought=self._norm(f"{name}/ffn/layer_norm"),
            wide=self._linear(f"{name}/ffn/linear_0"),
            narrow=self._linear(f"{name}/ffn/linear_1"),
            heads=heads,
        )

    def _linear(self, name: str) -> Linear:
        return Linear(self._tensor(f"{name}/weight"), self._tensor(f"{name}/bias"))

    def _norm(self, name: str) -> Norm:
        return Norm(self._tensor(f"{name}/gamma"), self._tensor(f"{name}/beta"))

    def _convolution(self, name: str, stride: int) -> Convolution:
        return Convolution(self._tensor(f"{name}/weight"), self._tensor(f"{name}/bias"), stride)

    def _tensor(self, name: str) -> Tensor:
        return torch.from_numpy(self._file.floats(f"encoder/{name}")).to(self._place, self._dtype)
