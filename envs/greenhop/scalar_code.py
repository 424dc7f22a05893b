"""Straight-line arithmetic (unrolled.py) as C++ text, the same for a lane of a vector register and for a GPU thread.

The text is cut into parts, functions of some thousand lines: compilers take more than twice as long for twice as long a
function, and parts compile side by side. A number that a later part needs waits in a slot of a scratch array; slots are
used again as soon as nobody waits for what they hold. What is read (an input, a row) is read anew instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from torch import Tensor

from greenhop.unrolled import Node, Unrolled, operands

Layout = Literal["first", "last"]  # where the batch is: `[B, n]` or `[n, B]`
Run = Callable[[int, Sequence[Tensor]], None]  # (environments, arrays in the order of `Code.arrays`)
READ = ("const", "input", "row")  # not computed

_INFIX = {"add": "+", "sub": "-", "mul": "*", "rem": "%"}


@dataclass
class Part:
    """One function: its lines, and the arrays it uses by name."""

    lines: list[str] = field(default_factory=list)
    arrays: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Code:
    """The parts in the order they run, and what they expect."""

    parts: list[Part]
    arrays: list[str]  # every array by name: t… tables, i… inputs, o… results, in the order of a call's arguments
    types: dict[str, str]  # of an array's elements
    slots: int  # of the scratch array, what waits for later parts first
    turned: list[tuple[str, int, int]]  # batch-first results: name, elements, and the slot where lanes gather theirs


def write_code(
    made: Unrolled, order: Sequence[int], inputs: Sequence[Layout], results: Sequence[Layout], part_size: int
) -> Code:
    """Text of the nodes in `order` in parts of `part_size`; `inputs` and `results` say how arrays lie in memory."""
    inputs = ["last" if n == 1 else x for x, (n, _) in zip(inputs, made.inputs, strict=True)]
    results = ["last" if len(nodes) == 1 else x for x, nodes in zip(results, made.results, strict=True)]
    order = [i for i in order if made.nodes[i].kind != "int" and made.nodes[i].op not in READ]
    chunks = [order[at : at + part_size] for at in range(0, max(len(order), 1), part_size)]
    part_of = {i: k for k, chunk in enumerate(chunks) for i in chunk}
    slots, n_slots = _slots(made, chunks, part_of)
    wanted: dict[int, list[tuple[int, int]]] = {}
    for r, result in enumerate(made.results):
        for j, i in enumerate(result):
            wanted.setdefault(i, []).append((r, j))
    turned: list[tuple[str, int, int]] = []
    for r, nodes in enumerate(made.results):
        if results[r] == "first":
            turned.append((f"o{r}", len(nodes), n_slots))
            n_slots += len(nodes)
    gathers = {name: slot for name, _, slot in turned}
    writers = [_Writer(made, inputs, gathers, part_of, slots, k) for k in range(len(chunks))]
    for writer, chunk in zip(writers, chunks, strict=True):
        for i in chunk:
            writer.compute(i)
            for r, j in wanted.pop(i, ()):
                writer.store(r, j, i)
    for i, places in wanted.items():  # read, not computed, or of integers
        for r, j in places:
            writers[-1].store(r, j, i)
    arrays = {f"t{k}": "REAL" if table.dtype.is_floating_point else "int64_t" for k, table in enumerate(made.tables)}
    arrays |= {f"i{k}": _TYPES[kind] for k, (_, kind) in enumerate(made.inputs)}
    arrays |= {f"o{r}": _TYPES[made.kind(result)] for r, result in enumerate(made.results)}
    return Code([writer.part for writer in writers], list(arrays), arrays, n_slots, turned)


_TYPES = {"float": "REAL", "int": "int64_t", "bool": "bool"}


def _slots(made: Unrolled, chunks: Sequence[Sequence[int]], part_of: dict[int, int]) -> tuple[dict[int, int], int]:
    """A slot for every number that a later part needs."""
    last: dict[int, int] = {}
    for k, chunk in enumerate(chunks):
        for i in chunk:
            for a in operands(made.nodes[i]):
                if part_of.get(a, k) < k:
                    last[a] = k
    ending: dict[int, list[int]] = {}
    for i, k in last.items():
        ending.setdefault(k, []).append(i)
    slots: dict[int, int] = {}
    free: list[int] = []
    count = 0
    for k, chunk in enumerate(chunks):
        for i in chunk:
            if i in last:
                slots[i] = free.pop() if free else count
                count = max(count, slots[i] + 1)
        free += [slots[i] for i in ending.get(k, ())]
    return slots, count


class _Writer:
    """Writes one part."""

    def __init__(
        self,
        made: Unrolled,
        inputs: Sequence[Layout],
        gathers: dict[str, int],
        part_of: dict[int, int],
        slots: dict[int, int],
        number: int,
    ) -> None:
        self.made, self.inputs, self.gathers, self.part_of, self.slots = made, inputs, gathers, part_of, slots
        self.number, self.part = number, Part()
        self._here: set[int] = set()
        self._rows: dict[tuple[int, int], str] = {}

    def compute(self, i: int) -> None:
        """A line for node `i`, after what it needs; into its slot, where later parts wait for it."""
        self._line(i)
        if i in self.slots:
            self.part.lines.append(f"s[{self.slots[i]}] = keep(v{i});")

    def store(self, which: int, place: int, i: int) -> None:
        """A result's element."""
        array, total = f"o{which}", len(self.made.results[which])
        self.part.arrays.add(array)
        if array in self.gathers:
            slot = self.gathers[array] + place
            self.part.lines.append(f"put_first({array}, {place}, {total}, {slot}, {self._ref(i)});")
        else:
            self.part.lines.append(f"put_last({array}, {place}, {self._ref(i)});")

    def _ref(self, i: int) -> str:
        """How a line names node `i`, which is brought here first if it is elsewhere."""
        node = self.made.nodes[i]
        if node.op == "const":
            return _literal(node)
        if i not in self._here:
            if self.part_of.get(i, self.number) < self.number:
                self._here.add(i)
                self.part.lines.append(f"const {_LANES[node.kind]} v{i} = back_{node.kind}(s[{self.slots[i]}]);")
            else:
                self._line(i)
        return f"v{i}"

    def _line(self, i: int) -> None:
        node = self.made.nodes[i]
        text = self._text(node)  # may first write lines that it needs
        self._here.add(i)
        self.part.lines.append(f"const {_LANES[node.kind]} v{i} = {text};")

    def _text(self, node: Node) -> str:
        if node.op == "input":
            which, place = node.args
            array, total = f"i{which}", self.made.inputs[which][0]
            if self.inputs[which] == "last":
                self.part.arrays.add(array)
                return f"get_last({array}, {place})"
            if array not in self.part.arrays:
                self.part.arrays.add(array)
                self.part.lines.append(f"FIRST({array}, {total});")
            return f"get_first({array}, {place}, {total})"
        if node.op == "row":
            which, index, column = node.args
            return f"cell({self._row(which, index)}, {column})"
        args = [self._ref(a) for a in node.args]
        return f"{args[0]} {_INFIX[node.op]} {args[1]}" if node.op in _INFIX else f"f_{node.op}({', '.join(args)})"

    def _row(self, which: int, index: int) -> str:
        if (which, index) not in self._rows:
            name, ref = f"r{which}_{index}", self._ref(index)
            self.part.arrays.add(f"t{which}")
            self.part.lines.append(f"ROW({name}, t{which}, {ref}, {self.made.tables[which].shape[1]});")
            self._rows[which, index] = name
        return self._rows[which, index]


_LANES = {"float": "F", "int": "I", "bool": "M"}


def _literal(node: Node) -> str:
    if node.kind == "int":
        return f"I_({node.args[0]})"
    if node.kind == "bool":
        return f"M_({str(node.args[0]).lower()})"
    value = float(node.args[0])
    if value in (float("inf"), float("-inf")):
        return f"F_({'-' if value < 0 else ''}INFINITY)"
    return f"F_({value.hex()})"


def function(code: Code, number: int, head: str, pointers: Sequence[str]) -> str:
    """A part as a C++ function whose arrays are casts of what `pointers` names, in the order of `code.arrays`."""
    part = code.parts[number]
    lines = [head.format(number=number) + " {"]
    for name, pointer in zip(code.arrays, pointers, strict=True):
        if name in part.arrays:
            kind = f"{'' if name[0] == 'o' else 'const '}{code.types[name]}*"
            lines.append(f"{kind} __restrict__ {name} = ({kind}){pointer};")
    return "\n".join([*lines, *part.lines, "}\n"])
