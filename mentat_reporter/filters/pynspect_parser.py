"""pynspect's parser and compiler, with their traps taken out.

As published, the lexer prints an unknown character and goes on without it; building the parser writes files
beside whatever module it finds; `5 > ConnCount` is compiled to `ConnCount > 5`; an IPv6 constant is
read as IPv4.
"""

from datetime import datetime
from functools import cache
from threading import Lock
from typing import Any

from pynspect import gparser, lexer
from pynspect.compilers import IDEAFilterCompiler, compile_ip_v6
from pynspect.rules import MathBinOpRule

from mentat_reporter.errors import RuleError

# `in` and `like` have no turned form: 'x' in Category and 'x' like Note keep the library's reading, in which
# the constant is the set or the pattern. (A pattern out of a message would be its sender's to choose.)
_TURNED = {"OP_GT": "OP_LT", "OP_GE": "OP_LE", "OP_LT": "OP_GT", "OP_LE": "OP_GE"}
_parsing = Lock()  # lexer and parser keep their state in themselves


def parse(text: str, now: datetime) -> Any:
    """Return the compiled rule tree of a text that is not blank; its functions know `now`."""
    with _parsing:
        tree = _parser().parse(text)
    return tree.traverse(_Compiler(now))


class _Compiler(IDEAFilterCompiler):  # type: ignore[misc]
    """The library's compiler, correct for constants on the left side and for IPv6."""

    def __init__(self, now: datetime) -> None:
        super().__init__()
        self._now = now

    def function(self, rule: Any, args: Any, **_kwargs: Any) -> Any:
        del args
        rule.now = self._now
        return rule

    def ipv6(self, rule: Any, **_kwargs: Any) -> Any:
        return compile_ip_v6(rule)

    def _compile_operation_rule(self, rule: Any, left: Any, right: Any, result_class: Any) -> Any:
        compiled = super()._compile_operation_rule(rule, left, right, result_class)
        if compiled.left is not right:  # the sides are as written
            return compiled
        if isinstance(compiled, MathBinOpRule):
            compiled.left, compiled.right = compiled.right, compiled.left
        else:
            compiled.operation = _TURNED.get(compiled.operation, compiled.operation)
        return compiled


@cache
def _parser() -> Any:
    """Given the library's classes, build the parser as its `build` does, but silently and in memory."""
    lex, yacc = lexer.plylex, gparser.ply.yacc
    parser = gparser.PynspectFilterParser()
    parser.p_error = _refuse_token
    parser.lexer = lexer.PynspectFilterLexer()
    parser.lexer.t_error = _refuse_character
    parser.lexer.build(errorlog=lex.NullLogger())
    parser.tokens = parser.lexer.tokens[1:]
    parser.parser = yacc.yacc(
        module=parser,
        tabmodule="pynspect.parsetab",  # the tables of the package; no file of that name from elsewhere
        write_tables=False,
        debug=False,
        errorlog=yacc.NullLogger(),
    )
    return parser


def _refuse_character(token: Any) -> None:
    # The value of an error token is all the text that is left.
    where = _where(token.lexer.lexdata, token.lexpos)
    raise RuleError(f"{where}: {token.value[0]!r} is not part of the language")


def _refuse_token(token: Any) -> None:
    if token is None:
        raise RuleError("at the end: the rule is not finished")
    # Tokens know the inner lexer or the library's wrapper of it.
    text = getattr(token.lexer, "lexer", token.lexer).lexdata
    raise RuleError(
        f"{_where(text, token.lexpos)}: cannot be understood from here: {text[token.lexpos :][:40]}"
    )


def _where(text: str, position: int) -> str:
    line_start = text.rfind("\n", 0, position) + 1
    return f"line {text.count(chr(10), 0, position) + 1}, column {position - line_start + 1}"
