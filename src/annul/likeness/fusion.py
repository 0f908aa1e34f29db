"""Rewrite the LEADER network so that its runtime needs about half the time for the same result.

As it was exported, every GELU is eight nodes, every normalisation of channels eleven, and the runtime recognises neither: it
walks through memory again and again, and turns tensors between its own layout and the plain one before and after each. Here

- each GELU (x * 0.5 * (1 + tanh(0.798 * (x + 0.0447 * x ** 3)))) becomes the runtime's own FastGelu;
- each normalisation becomes one LayerNormalization with the channels last; a GELU, or a block of two 1 x 1 convolutions with a
  GELU between them, that follows it stays in that layout, the convolutions as products of matrices;
- each convolution by channel whose channels are not a multiple of four gets channels of zeros, for which the runtime is quick.

The file is pinned by its SHA-256 (`engines.WEIGHTS`), so its form is known; whatever else is found is refused. Results differ
in the last digits only; a test holds the two against each other.

Source: ONNX IR specification 8 (ModelProto, GraphProto, NodeProto, TensorProto) and operators 17; Protocol Buffers encoding;
onnxruntime contrib operators.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from annul.errors import Corrupt

ACTIVATIONS, NORMALISATIONS, BLOCKS, BY_CHANNEL = 27, 24, 11, 3
"""What is rewritten in the pinned network."""
QUICK_CHANNELS: Final = 4
"""The runtime's own layout takes channels in multiples of four."""
_GRAPH, _OPSET = 7, 8  # ModelProto
_NODE, _CONSTANT, _OUTPUT_OF_GRAPH = 1, 5, 12  # GraphProto
_INPUT, _OUTPUT, _OP_TYPE, _ATTRIBUTE, _DOMAIN = 1, 2, 4, 5, 7  # NodeProto
_DIMENSION, _TYPE, _NAME, _DATA, _FLOAT, _INT64 = 1, 2, 8, 9, 1, 7  # TensorProto and two of its types
_DOMAIN_NAME: Final = b"com.microsoft"
_CHANNELS_LAST, _CHANNELS_SECOND = (0, 2, 3, 1), (0, 3, 1, 2)

Fields = list[tuple[int, bytes | int]]
Tensor = NDArray[Any]


class _Node(NamedTuple):
    op: bytes
    inputs: tuple[bytes, ...]
    outputs: tuple[bytes, ...]
    attributes: tuple[bytes, ...] = ()
    domain: bytes = b""


def fuse(model: bytes) -> bytes:
    """Return the model with its activations, normalisations and blocks as few nodes each.

    Raises:
        Corrupt: it is not the network this was written for.
    """
    try:
        parts = list(_fields(model))
        (graph,) = (value for number, value in parts if number == _GRAPH and isinstance(value, bytes))
        written = _Graph(list(_fields(graph))).fused()
    except (IndexError, KeyError, ValueError, struct.error):
        raise Corrupt("The weights leader do not hold the network that is known.", where="LEADER.onnx") from None
    opset = _written([(1, _DOMAIN_NAME), (2, 1)])
    return _written([*((number, written if number == _GRAPH else value) for number, value in parts), (_OPSET, opset)])


class _Graph:
    """The nodes of a network while they are replaced, and its constants of type float."""

    def __init__(self, parts: Fields) -> None:
        self.others = [(number, value) for number, value in parts if number != _NODE]
        self.wanted = {dict(_fields(value))[1] for n, value in parts if n == _OUTPUT_OF_GRAPH and isinstance(value, bytes)}
        self.constants = dict(_tensor(value) for n, value in parts if n == _CONSTANT and isinstance(value, bytes))
        self.added: list[bytes] = []
        self.nodes = [_node(value) for n, value in parts if n == _NODE and isinstance(value, bytes)]
        self._index()

    def _index(self) -> None:
        self.made = {name: node for node in self.nodes for name in node.outputs}
        self.used: dict[bytes, list[_Node]] = {}
        for node in self.nodes:
            for name in node.inputs:
                self.used.setdefault(name, []).append(node)

    def fused(self) -> bytes:
        """Replace all there is to replace and return the GraphProto."""
        counts = []
        self.blocks = 0
        for op, replace in ((b"Tanh", self._activation), (b"Reciprocal", self._normalised), (b"Conv", self._by_channel)):
            found = [made for node in self.nodes if node.op == op and (made := replace(node))]
            self._replace(dict(found))
            counts.append(len(found))
        if (*counts, self.blocks) != (ACTIVATIONS, NORMALISATIONS, BY_CHANNEL, BLOCKS):
            raise ValueError
        kept = [(_NODE, _raw(node)) for node in self.nodes]
        return _written([*kept, *self.others, *((_CONSTANT, tensor) for tensor in self.added)])

    def _replace(self, instead: dict[bytes, list[_Node]]) -> None:
        """Put nodes in the place of those that make an output, and drop what only these needed."""
        kept = [new for node in self.nodes for new in instead.get(node.outputs[0], [node])]
        while True:
            needed = self.wanted | {name for node in kept for name in node.inputs}
            left = [node for node in kept if any(name in needed for name in node.outputs)]
            if len(left) == len(kept):
                break
            kept = left
        self.nodes = kept
        self._index()

    def _constant(self, name: bytes, value: Tensor) -> bytes:
        kind = _FLOAT if value.dtype == np.float32 else _INT64
        shape: Fields = [(_DIMENSION, side) for side in value.shape]
        self.added.append(_written([*shape, (_TYPE, kind), (_NAME, name), (_DATA, np.ascontiguousarray(value).tobytes())]))
        return name

    def _activation(self, tanh: _Node) -> tuple[bytes, list[_Node]]:
        (plus_one,) = self.used[tanh.outputs[0]]
        (product,) = self.used[plus_one.outputs[0]]
        half = self.made[_other(product, plus_one.outputs[0])]
        (x,) = (name for name in half.inputs if name in self.made)
        if (plus_one.op, product.op, half.op) != (b"Add", b"Mul", b"Mul"):
            raise ValueError
        return product.outputs[0], [_Node(b"FastGelu", (x,), product.outputs, (), _DOMAIN_NAME)]

    def _normalised(self, reciprocal: _Node) -> tuple[bytes, list[_Node]]:
        """Replace (x - mean) / sqrt(variance + epsilon) * gamma + beta, and what follows it channel by channel."""
        (scale,) = self.used[reciprocal.outputs[0]]
        gamma = self.constants[_other(scale, reciprocal.outputs[0])]
        of_mean, of_x = self.used[scale.outputs[0]]
        if self.made[_other(of_mean, scale.outputs[0])].op != b"Neg":
            of_mean, of_x = of_x, of_mean
        x = _other(of_x, scale.outputs[0])
        (shift,) = self.used[of_mean.outputs[0]]
        beta = self.constants[_other(shift, of_mean.outputs[0])]
        (end,) = self.used[of_x.outputs[0]]
        if {of_x.op, of_mean.op, scale.op} != {b"Mul"} or {shift.op, end.op} != {b"Add"}:
            raise ValueError
        added = self.made[self.made[reciprocal.inputs[0]].inputs[0]]
        (epsilon,) = (float(self.constants[name].item()) for name in added.inputs if name in self.constants)
        name = end.outputs[0]
        last, seen = (name + b"/last",), (name + b"/normal",)
        weights = [self._constant(name + part, value.reshape(-1)) for part, value in ((b"/gamma", gamma), (b"/beta", beta))]
        settings = (_integer(b"axis", -1), _float(b"epsilon", epsilon))
        made = [_turned(x, last[0], _CHANNELS_LAST), _Node(b"LayerNormalization", (*last, *weights), seen, settings)]
        followers = self.used[name]
        if len(followers) == 1 and followers[0].op == b"FastGelu":
            end = followers[0]
            made.append(end._replace(inputs=seen, outputs=(name + b"/active",)))
        elif len(followers) == 1 and (block := self._block(followers[0])):
            first, active, second = block
            end, within = second, (name + b"/wide", name + b"/active", name + b"/narrow", name + b"/sum")
            made += [
                _Node(b"MatMul", (*seen, self._matrix(first)), within[:1]),
                active._replace(inputs=(within[0], first.inputs[2]), outputs=within[1:2]),
                _Node(b"MatMul", (within[1], self._matrix(second)), within[2:3]),
                _Node(b"Add", (within[2], second.inputs[2]), within[3:]),
            ]
            self.blocks += 1
        made.append(_turned(made[-1].outputs[0], end.outputs[0], _CHANNELS_SECOND))
        return end.outputs[0], made

    def _block(self, first: _Node) -> tuple[_Node, _Node, _Node] | None:
        """Return convolution, GELU, convolution if these three alone follow one another, both convolutions 1 x 1."""
        nodes = [first]
        for op in (b"FastGelu", b"Conv"):
            followers = self.used.get(nodes[-1].outputs[0], [])
            if len(followers) != 1 or followers[0].op != op:
                return None
            nodes.append(followers[0])
        if nodes[0].op != b"Conv" or any(self.constants[n.inputs[1]].shape[2:] != (1, 1) for n in (nodes[0], nodes[2])):
            return None
        return nodes[0], nodes[1], nodes[2]

    def _matrix(self, convolution: _Node) -> bytes:
        return self._constant(convolution.outputs[0] + b"/matrix", self.constants[convolution.inputs[1]][:, :, 0, 0].T)

    def _by_channel(self, node: _Node) -> tuple[bytes, list[_Node]] | None:
        """Widen a convolution by channel with channels of zeros, and cut them off behind it."""
        kernels = self.constants[node.inputs[1]]
        channels, out = len(kernels), node.outputs[0]
        missing = -channels % QUICK_CHANNELS
        if kernels.shape[1] != 1 or channels < 16 or not missing or len(node.inputs) != 2:
            return None
        wide = np.concatenate([kernels, np.zeros((missing, *kernels.shape[1:]), np.float32)])
        around = self._constant(out + b"/pads", np.array([0, 0, 0, 0, 0, missing, 0, 0]))
        cut = [self._constant(out + part, np.array([k])) for part, k in ((b"/from", 0), (b"/to", channels), (b"/axis", 1))]
        kept = tuple(raw for raw in node.attributes if dict(_fields(raw))[1] != b"group")
        return out, [
            _Node(b"Pad", (node.inputs[0], around), (out + b"/padded",)),
            _Node(
                b"Conv", (out + b"/padded", self._constant(out + b"/kernels", wide)), (out + b"/wide",),
                (*kept, _integer(b"group", len(wide))),
            ),
            _Node(b"Slice", (out + b"/wide", *cut), (out,)),
        ]  # fmt: skip


def _other(node: _Node, name: bytes) -> bytes:
    """Return the input of a node with two that is not `name`."""
    (other,) = (each for each in node.inputs if each != name)
    return other


def _turned(source: bytes, target: bytes, order: Sequence[int]) -> _Node:
    whole: Fields = [(8, side) for side in order]
    return _Node(b"Transpose", (source,), (target,), (_written([(1, b"perm"), *whole, (20, 7)]),))


def _integer(name: bytes, value: int) -> bytes:
    return _written([(1, name), (3, value % (1 << 64)), (20, 2)])


def _float(name: bytes, value: float) -> bytes:
    return _written([(1, name)]) + _number(2 << 3 | 5) + struct.pack("<f", value) + _written([(20, 1)])


def _node(raw: bytes) -> _Node:
    found = list(_fields(raw))

    def texts(wanted: int) -> tuple[bytes, ...]:
        return tuple(value for number, value in found if number == wanted and isinstance(value, bytes))

    return _Node(texts(_OP_TYPE)[0], texts(_INPUT), texts(_OUTPUT), texts(_ATTRIBUTE), b"".join(texts(_DOMAIN)))


def _raw(node: _Node) -> bytes:
    named: Fields = [*((_INPUT, name) for name in node.inputs), *((_OUTPUT, name) for name in node.outputs)]
    whose: Fields = [(_DOMAIN, node.domain)] if node.domain else []
    return _written([*named, (_OP_TYPE, node.op), *((_ATTRIBUTE, raw) for raw in node.attributes), *whose])


def _tensor(raw: bytes) -> tuple[bytes, Tensor]:
    """Read a constant; one that is not of floats is given without its values."""
    found = list(_fields(raw))
    told = dict(found)
    name, data = told[_NAME], told.get(_DATA, b"")
    if not isinstance(name, bytes) or not isinstance(data, bytes):
        raise ValueError
    if told[_TYPE] != _FLOAT:
        return name, np.zeros(0, np.float32)
    shape = [side for number, side in found if number == _DIMENSION and isinstance(side, int)]
    return name, np.frombuffer(data, np.float32).reshape(shape)


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Give number and value of each field; fields of fixed width do not occur."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        value, at = _varint(message, at)
        if tag & 7 == 0:
            yield tag >> 3, value
        elif tag & 7 == 2 and at + value <= len(message):
            yield tag >> 3, message[at : at + value]
            at += value
        else:
            raise ValueError


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = message[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def _written(fields: Sequence[tuple[int, bytes | int]]) -> bytes:
    parts = []
    for number, value in fields:
        if isinstance(value, int):
            parts.append(_number(number << 3) + _number(value))
        else:
            parts.append(_number(number << 3 | 2) + _number(len(value)) + value)
    return b"".join(parts)


def _number(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes(out) + bytes((value,))
