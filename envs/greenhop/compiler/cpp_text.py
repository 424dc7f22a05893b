"""Straight-line arithmetic (unrolled.py) as C++ text, the same for a lane of a vector register and for a GPU thread.

The text is cut into parts, functions of some thousand lines: compilers take more than twice as long for twice as long a
function, and parts compile side by side. A number that a later part needs waits in a slot of a scratch array; slots are
used again as soon as nobody waits for what they hold. What is read (an input, a row) is read anew instead. Lanes read
rows and batch-first inputs from slots too, into which an opening part turns them; a closing part turns results back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from torch import Tensor

from greenhop.compiler.unroll import Node, Unrolled, operands

Layout = Literal["first", "last"]  # where the batch is: `[B, n]` or `[n, B]`
Turned = str | tuple[int, int]  # an array by name, or a row: which table, index node
READ = ("const", "input", "row")  # not computed


class Call(Protocol):
    """A program's call with its arrays in place, to be repeated."""

    def __call__(self) -> None: ...

    def replace(self, at: int, x: Tensor) -> None:
        """Array number `at` is `x` from now on."""


# of (environments, arrays in the order of `Code.arrays`, threads of a CPU)
Bind = Callable[[int, Sequence[Tensor], int], Call]

_INFIX = {"add": "+", "sub": "-", "mul": "*", "rem": "%"}


@dataclass
class Part:
    """One function: its lines, and the arrays it uses by name."""

    lines: list[str] = field(default_factory=list)
    arrays: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Code:
    """The parts in the order they run, and what they expect."""

    opening: Part  # with lanes: turns what lies batch first
    parts: list[Part]
    closing: Part  # with lanes: turns results back
    arrays: list[str]  # every array by name: t… tables, i… inputs, o… results, in the order of a call's arguments
    types: dict[str, str]  # of an array's elements
    waiting: int  # slots for what waits for later parts
    slots: int  # of the scratch array with lanes: those, and what is turned


def write_code(
    made: Unrolled, order: Sequence[int], inputs: Sequence[Layout], results: Sequence[Layout], part_size: int
) -> Code:
    """Text of the nodes in `order` in parts of `part_size`; `inputs` and `results` say how arrays lie in memory."""
    inputs = ["last" if n == 1 else x for x, (n, _) in zip(inputs, made.inputs, strict=True)]
    results = ["last" if len(nodes) == 1 else x for x, nodes in zip(results, made.results, strict=True)]
    rows = sorted({made.nodes[i].args[:2] for i in order if made.nodes[i].op == "row"})
    order = [i for i in order if made.nodes[i].kind != "int" and made.nodes[i].op not in READ]
    chunks = [order[at : at + part_size] for at in range(0, max(len(order), 1), part_size)]
    part_of = {i: k for k, chunk in enumerate(chunks) for i in chunk}
    waiting, n_waiting = _slots(made, chunks, part_of)
    first = [f"i{k}" for k, at in enumerate(inputs) if at == "first"]
    first += [f"o{r}" for r, at in enumerate(results) if at == "first"]
    turned, n_slots = _turned(made, [*first, *rows], n_waiting)
    opening, *writers, closing = [_Writer(made, part_of, waiting, turned, k) for k in range(-1, len(chunks) + 1)]
    opening.turn()
    closing.turn_back()
    wanted: dict[int, list[tuple[int, int]]] = {}
    for r, result in enumerate(made.results):
        for j, i in enumerate(result):
            wanted.setdefault(i, []).append((r, j))
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
    parts = [writer.part for writer in writers]
    return Code(opening.part, parts, closing.part, list(arrays), arrays, n_waiting, n_slots)


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


def _turned(made: Unrolled, what: Sequence[Turned], slot: int) -> tuple[dict[Turned, int], int]:
    """The first slot of everything that lanes turn, from `slot` on, and how many slots there are then."""
    slots: dict[Turned, int] = {}
    for x in what:
        slots[x] = slot
        slot += made.tables[x[0]].shape[1] if isinstance(x, tuple) else _elements(made, x)
    return slots, slot


def _elements(made: Unrolled, array: str) -> int:
    """Of an input or a result by name, for one environment."""
    number = int(array[1:])
    return made.inputs[number][0] if array[0] == "i" else len(made.results[number])


class _Writer:
    """Writes one part."""

    def __init__(
        self, made: Unrolled, part_of: dict[int, int], waiting: dict[int, int], turned: dict[Turned, int], number: int
    ) -> None:
        self.made, self.part_of, self.waiting, self.turned = made, part_of, waiting, turned
        self.number, self.part = number, Part()
        self._here: set[int] = set()
        self._rows: dict[tuple[int, int], str] = {}

    def turn(self) -> None:
        """Rows and batch-first inputs, into their slots."""
        for what, slot in self.turned.items():
            if isinstance(what, tuple):
                which, index = what
                columns = self.made.tables[which].shape[1]
                self.part.arrays.add(f"t{which}")
                self.part.lines.append(f"TURN_ROW(t{which}, {self._ref(index)}, {columns}, {slot});")
            elif what[0] == "i":
                self.part.arrays.add(what)
                self.part.lines.append(f"TURN({what}, {_elements(self.made, what)}, {slot});")

    def turn_back(self) -> None:
        """Batch-first results, from their slots."""
        for what, slot in self.turned.items():
            if isinstance(what, str) and what[0] == "o":
                self.part.arrays.add(what)
                self.part.lines.append(f"TURN_BACK({what}, {_elements(self.made, what)}, {slot});")

    def compute(self, i: int) -> None:
        """A line for node `i`, after what it needs; into its slot, where later parts wait for it."""
        self._line(i)
        if i in self.waiting:
            self.part.lines.append(f"s[{self.waiting[i]}] = keep(v{i});")

    def store(self, which: int, place: int, i: int) -> None:
        """A result's element."""
        array, total = f"o{which}", len(self.made.results[which])
        self.part.arrays.add(array)
        if array in self.turned:
            slot = self.turned[array] + place
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
                self.part.lines.append(f"const {_LANES[node.kind]} v{i} = back_{node.kind}(s[{self.waiting[i]}]);")
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
            self.part.arrays.add(array)
            if array in self.turned:
                return f"get_first({array}, {place}, {total}, {self.turned[array] + place})"
            return f"get_last({array}, {place})"
        if node.op == "row":
            which, index, column = node.args
            return f"cell({self._row(which, index)}, {column}, {self.turned[which, index] + column})"
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


def function(code: Code, part: Part, head: str, pointers: Sequence[str]) -> str:
    """A part as a C++ function whose arrays are casts of what `pointers` names, in the order of `code.arrays`."""
    lines = [head + " {"]
    for name, pointer in zip(code.arrays, pointers, strict=True):
        if name in part.arrays:
            kind = f"{'' if name[0] == 'o' else 'const '}{code.types[name]}*"
            lines.append(f"{kind} __restrict__ {name} = ({kind}){pointer};")
    return "\n".join([*lines, *part.lines, "}\n"])
