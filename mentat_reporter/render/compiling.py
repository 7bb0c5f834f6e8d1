"""From the source of a template to what runs: compiled once for all languages, escaping with a memory."""

from typing import TYPE_CHECKING, Final

from jinja2 import nodes
from jinja2.bccache import Bucket, BytecodeCache
from jinja2.compiler import CodeGenerator, Frame

if TYPE_CHECKING:
    from types import CodeType

_FILES: Final = 512


class Generator(CodeGenerator):
    """Jinja2's own, but what it writes escapes by the `escaped` of its environment, which has a memory."""

    def _output_child_pre(
        self, node: nodes.Expr, frame: Frame, finalize: CodeGenerator._FinalizeInfo
    ) -> None:
        if finalize.src is None and frame.eval_ctx.autoescape and not frame.eval_ctx.volatile:
            self.write("environment.escaped(")
        else:
            super()._output_child_pre(node, frame, finalize)


class SharedCode(BytecodeCache):
    """Compiled templates by their files and text, for environments that differ in nothing but the language.

    Compiling takes longer than rendering a hundred reports, and most languages meet the same files. What
    a language changes must therefore not be computed while compiling: such filters take the context.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], CodeType] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._known.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code is not None:
            if len(self._known) >= _FILES:
                self._known.clear()
            self._known[bucket.key, bucket.checksum] = bucket.code


SHARED_CODE: Final = SharedCode()
