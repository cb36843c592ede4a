"""Parses statements with PostgreSQL's own grammar: NUL-separated texts in, a JSON tree or `null` per line out."""

import sys

from pglast.parser import ParseError, parse_sql_json

for text in sys.stdin.buffer.read().decode().split("\0"):
    try:
        print(parse_sql_json(text))
    except ParseError:
        print("null")
