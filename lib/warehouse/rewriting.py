"""Queries as notebooks and analysts write them, turned into what psycopg2 accepts, on the tables of a private copy."""


def as_psycopg2(sql: str, prefix: str, names: set[str], has_parameters: bool) -> str:
    """Return a query for psycopg2, with the tables of a private copy where that has them.

    `names` are the copy's relations as prefix + schema.table. Only a name that is among them is changed, so a column
    of a table's alias stays what it is. What is no SQL stays as it is: the server says what is wrong.
    """
    # Only queries on PostgreSQL need it.
    from sqlglot import TokenError, TokenType, tokenize

    try:
        tokens = tokenize(sql, dialect="postgres")
    except TokenError:
        tokens = []
    parts: list[str] = []
    end = 0

    def put(start: int, text: str) -> None:
        parts.extend((sql[end:start].replace("%", "%%") if has_parameters else sql[end:start], text))

    for place, token in enumerate(tokens):
        if has_parameters and token.token_type == TokenType.PLACEHOLDER:
            put(token.start, "%s")
            end = token.end + 1
        elif token.token_type == TokenType.DOT and 0 < place < len(tokens) - 1:
            schema, table = tokens[place - 1], tokens[place + 1]
            own = f"{prefix}{schema.text}.{table.text}".lower()
            if own in names:
                put(schema.start, own)
                end = table.end + 1
    put(len(sql), "")
    return "".join(parts)
