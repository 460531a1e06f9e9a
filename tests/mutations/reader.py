"""What documents say to another reader of YAML.

Reads batches from standard input: a line with the number of documents, then for each a line with its length
in bytes and the bytes. Answers each batch with one line of JSON a document: {"error": why}, or {"odd": what
YAML keeps for itself, "tree": the nodes}. A node is ["s", text, is it plain], ["l", nodes] or
["m", pairs of nodes].
"""

import json
import sys

import yaml

LOADER = getattr(yaml, "CLoader", yaml.Loader)


class Tree:
    """The nodes of one document, from its events."""

    def __init__(self, text):
        self.events = yaml.parse(text, Loader=LOADER)
        self.odd = []
        self.root = None
        self.documents = 0
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                self.documents += 1
                if event.version or event.tags:
                    self.odd.append("directive")
                if self.documents == 1:
                    self.root = self.node(next(self.events))
            elif not isinstance(event, (yaml.StreamStartEvent, yaml.StreamEndEvent, yaml.DocumentEndEvent)):
                self.odd.append("more")
        if self.documents > 1:
            self.odd.append("documents")

    def node(self, event):
        if isinstance(event, yaml.AliasEvent):
            self.odd.append("alias")
            return ["a"]
        if event.anchor is not None:
            self.odd.append("anchor")
        if event.tag is not None:
            self.odd.append("tag")
        if isinstance(event, yaml.ScalarEvent):
            return ["s", event.value, event.style in (None, "")]
        if isinstance(event, yaml.SequenceStartEvent):
            return ["l", list(self.nodes(yaml.SequenceEndEvent))]
        nodes = list(self.nodes(yaml.MappingEndEvent))
        pairs = list(zip(nodes[::2], nodes[1::2]))
        if any(key == ["s", "<<", True] for key, _ in pairs):
            self.odd.append("merge key")
        return ["m", pairs]

    def nodes(self, end):
        for event in self.events:
            if isinstance(event, end):
                return
            yield self.node(event)


def read(text):
    try:
        tree = Tree(text)
        return {"odd": tree.odd, "tree": tree.root}
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        return {"error": " ".join(str(error).split())}


def main():
    source, sink = sys.stdin.buffer, sys.stdout
    while header := source.readline():
        texts = [source.read(int(source.readline())) for _ in range(int(header))]
        for text in texts:
            sink.write(json.dumps(read(text)) + "\n")
        sink.flush()


main()
