"""From the text of a condition to a tree of tuples: `(kind, ...)`. The grammar is CEL's."""

import re

from values import Uint, Written, WrittenInt

TOKEN = re.compile(
    r"""\s*(?:(?P<comment>//[^\n]*)
    |(?P<text>[rRbB]{0,2}(?:'''(?:\\.|[^\\])*?'''|\"\"\"(?:\\.|[^\\])*?\"\"\"|'(?:\\.|[^\\'\n])*'|"(?:\\.|[^\\"\n])*"))
    |(?P<number>0[xX][0-9a-fA-F]+[uU]?|(?:\d+\.\d+|\.\d+)(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+|\d+[uU]?)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<sign>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])
    )""",
    re.X | re.S,
)
ESCAPES = dict(zip("abfnrtv\\?\"'`", "\a\b\f\n\r\t\v\\?\"'`"))
LEVELS = [["||"], ["&&"], ["==", "!=", "<", "<=", ">", ">=", "in"], ["+", "-"], ["*", "/", "%"]]


def tokens(text):
    found, at = [], 0
    text = text.rstrip()
    while at < len(text):
        match = TOKEN.match(text, at)
        if not match:
            raise SyntaxError(f"not a condition at {at}: {text}")
        at = match.end()
        if match.lastgroup != "comment":
            found.append((match.lastgroup, match[match.lastgroup]))
    return found + [("end", "")]


def text_of(token):
    """The text or bytes that a literal stands for."""
    start = min(token.index(quote) for quote in "'\"" if quote in token)
    prefix, body = token[:start].lower(), token[start:]
    body = body[3:-3] if len(body) >= 6 and body[:3] == body[0] * 3 else body[1:-1]
    if "r" not in prefix:
        body = re.sub(
            r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{3}|.)",
            lambda m: ESCAPES[m[1]] if m[1] in ESCAPES
            else chr(int(m[1], 8)) if m[1][0].isdigit() else chr(int(m[1][1:], 16)),
            body, flags=re.S)
    return body.encode() if "b" in prefix else body


def number_of(token):
    if token[-1] in "uU":
        return Uint(token[:-1], 0)
    if token[:2] in ("0x", "0X"):
        return WrittenInt(token, 16)
    return Written(token) if set(token) & set(".eE") else WrittenInt(token)


class Parser:
    def __init__(self, text):
        self.tokens, self.at = tokens(text), 0

    def peek(self):
        return self.tokens[self.at][1]

    def take(self, *wanted):
        """The next token, if it is one of these."""
        kind, token = self.tokens[self.at]
        if kind != "text" and token in wanted:
            self.at += 1
            return token
        return None

    def need(self, wanted):
        if not self.take(wanted):
            raise SyntaxError(f"{wanted} expected, {self.peek()!r} found")

    def whole(self):
        tree = self.condition()
        if self.tokens[self.at][0] != "end":
            raise SyntaxError(f"{self.peek()!r} is too much")
        return tree

    def condition(self):
        tree = self.level(0)
        if self.take("?"):
            yes = self.level(0)
            self.need(":")
            return ("choice", tree, yes, self.condition())
        return tree

    def level(self, depth):
        if depth == len(LEVELS):
            return self.unary()
        tree = self.level(depth + 1)
        while operator := self.take(*LEVELS[depth]):
            tree = (operator, tree, self.level(depth + 1))
        return tree

    def unary(self):
        if self.take("!"):
            return ("not", self.unary())
        if self.take("-"):
            inner = self.unary()
            if inner[0] == "value" and isinstance(inner[1], (Written, WrittenInt)):
                return ("value", type(inner[1])(-inner[1]))
            return ("minus", inner)
        return self.member()

    def member(self):
        tree = self.primary()
        while True:
            if self.take("."):
                name = self.name()
                tree = ("method", name, tree, self.items(")")) if self.take("(") else ("field", tree, name)
            elif self.take("["):
                tree = ("item", tree, self.condition())
                self.need("]")
            else:
                return tree

    def name(self):
        kind, token = self.tokens[self.at]
        if kind != "name":
            raise SyntaxError(f"a name expected, {token!r} found")
        self.at += 1
        return token

    def items(self, end):
        items = []
        while not self.take(end):
            items.append(self.condition())
            if not self.take(","):
                self.need(end)
                break
        return items

    def primary(self):
        kind, token = self.tokens[self.at]
        if kind == "text":
            self.at += 1
            return ("value", text_of(token))
        if kind == "number":
            self.at += 1
            return ("value", number_of(token))
        if self.take("("):
            tree = self.condition()
            self.need(")")
            return tree
        if self.take("["):
            return ("list", self.items("]"))
        if self.take("{"):
            return ("map", self.pairs())
        name = self.name()
        if name in ("true", "false", "null"):
            return ("value", {"true": True, "false": False, "null": None}[name])
        if self.take("("):
            return ("call", name, self.items(")"))
        return ("name", name)

    def pairs(self):
        pairs = []
        while not self.take("}"):
            key = self.condition()
            self.need(":")
            pairs.append((key, self.condition()))
            if not self.take(","):
                self.need("}")
                break
        return pairs


KNOWN = {}


def parse(text):
    if text not in KNOWN:
        KNOWN[text] = Parser(text).whole()
    return KNOWN[text]
