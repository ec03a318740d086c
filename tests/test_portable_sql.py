"""Portable SQL: models and tests keep to what DuckDB and PostgreSQL answer alike, and each mart declares its key.

Read here is the text of `sql/` with its macros put in, except those that `adapter.dispatch` chooses by engine: their
insides may differ, and each stands as one function call. `docs/portable-sql.md` says the same rules in words.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest
import sqlglot
import yaml
from sqlglot import exp
from sqlglot.tokens import TokenType

from lib.base.files import PROJECT
from lib.warehouse import difference
from tests.small_shop import SmallShop, csv, rows

SQL = PROJECT / "sql"
PAGE = PROJECT / "docs" / "portable-sql.md"
#: Folders of `sql/models` whose tables are published with a primary key.
KEYED = ("clean", "warehouse", "analytics")
#: Variables that a model goes through; of all others a text shows where they stand.
VARIABLES = {
    "non_products": ["^wrap"],
    "list_price_sources": {"order_items": ["web"], "order_lines": ["till", "web"]},
    "statuses": {"on its way": "sale"},
    "events": {"order_completed": "purchase"},
}
TYPES = {"varchar", "integer", "bigint", "decimal", "double precision", "boolean", "date", "timestamp"}


@dataclass(frozen=True)
class Query:
    """A query read twice: as its words, in lower case, and as what they mean."""

    words: tuple[str, ...]
    tree: exp.Expression

    def calls(self) -> Iterator[tuple[str, list[str]]]:
        """Each function called, with its arguments' words but those in further brackets."""
        for place, (name, bracket) in enumerate(zip(self.words, self.words[1:], strict=False), 1):
            if bracket == "(" and (name[0].isalpha() or name[0] == "_"):
                yield name, list(self._inside(place))

    def _inside(self, opening: int) -> Iterator[str]:
        depth = 0
        for word in self.words[opening:]:
            depth += (word == "(") - (word == ")")
            if depth == 0:
                return
            if depth == 1 and word not in "()":
                yield word


def read(sql: str) -> Query:
    """Return a query as it stands and as sqlglot understands it."""
    quotes = {TokenType.STRING: "'", TokenType.IDENTIFIER: '"'}
    tokens = sqlglot.tokenize(sql, read="duckdb")
    quoted = [(quotes.get(t.token_type, ""), " ".join(t.text.lower().split())) for t in tokens]
    return Query(tuple(f"{q}{text}{q}" for q, text in quoted), sqlglot.parse_one(sql, read="duckdb"))


Finder = Callable[[Query], list[str]]


def words(*phrases: str) -> Finder:
    """Find words or signs, alone or several in a row."""
    return lambda query: [p for p in phrases if f" {p} " in f" {' '.join(query.words)} "]


def calls(pattern: str) -> Finder:
    """Find calls of functions by their whole name."""
    return lambda query: [f"{name}(...)" for name, _ in query.calls() if re.fullmatch(pattern, name)]


def either(*finders: Finder) -> Finder:
    return lambda query: [found for finder in finders for found in finder(query)]


def bare_from(query: Query) -> list[str]:
    selects = len(list(query.tree.find_all(exp.Select)))
    return ["from without select"] if query.words.count("select") < selects else []


def changed_star(query: Query) -> list[str]:
    changes = {"except_": "exclude", "replace": "replace", "rename": "rename", "ilike": "ilike"}
    stars = query.tree.find_all(exp.Star)
    return [f"* {word}" for star in stars for name, word in changes.items() if star.args.get(name)]


def other_types(query: Query) -> list[str]:
    types = [" ".join(a[-a[::-1].index("as") :]) for name, a in query.calls() if name == "cast" and "as" in a]
    return [f"as {name}" for name in types if name not in TYPES] + words("decimal )")(query)


def is_double(node: Any) -> bool:
    if isinstance(node, exp.Cast):
        return bool(node.to.this == exp.DataType.Type.DOUBLE)
    if isinstance(node, exp.Mul | exp.Div | exp.Add | exp.Sub):
        return is_double(node.this) or is_double(node.expression)
    return isinstance(node, exp.Paren | exp.Nullif | exp.Coalesce | exp.Neg | exp.Sum) and is_double(node.this)


def exact_division(query: Query) -> list[str]:
    divisions = query.tree.find_all(exp.Div)
    return [d.sql() for d in divisions if not (is_double(d.this) or is_double(d.expression))]


def exact_mean(query: Query) -> list[str]:
    deviations = (exp.Stddev, exp.StddevSamp, exp.StddevPop, exp.Variance, exp.VariancePop)
    return [m.sql() for m in query.tree.find_all(exp.Avg, *deviations) if not is_double(m.this)]


def bare_trunc(query: Query) -> list[str]:
    truncs = query.tree.find_all(exp.DateTrunc, exp.TimestampTrunc)
    return [t.sql() for t in truncs if not isinstance(t.parent, exp.Cast)]


def descending(query: Query) -> list[str]:
    behind = zip(query.words, query.words[1:], (*query.words[2:], ""), strict=False)
    return [f"{expression} desc" for expression, word, after in behind if word == "desc" and after != "nulls"]


def unordered_text(query: Query) -> list[str]:
    return [f"{name}(...)" for name, a in query.calls() if name == "string_agg" and "order by" not in a]


def backslash(query: Query) -> list[str]:
    return [
        f"{word} {pattern}"
        for word, pattern in zip(query.words, query.words[1:], strict=False)
        if word == "like" and "\\" in pattern
    ]


def no_query(query: Query) -> list[str]:
    return [] if isinstance(query.tree, exp.Query) else [query.words[0]]


#: Each rule of the page, by its first column: how it is found, and texts that break it.
RULES: dict[str, tuple[Finder, tuple[str, ...]]] = {
    "`from` without `select`": (bare_from, ("from t", "with a as (from t) select x from a")),
    "`group by all`, `order by all`": (
        words("group by all", "order by all"),
        ("select x, count(*) from t group by all", "select x from t order  by all"),
    ),
    "`* exclude`, `* replace`, `columns(...)`": (
        either(changed_star, calls("columns")),
        (
            "select * exclude (x) from t",
            "select t.* replace (1 as x) from t",
            "select columns('x.*') from t",
            "select * rename (x as y) from t",
        ),
    ),
    "trailing comma, `==`": (
        words(", from", "=="),
        ("select x, from t", "select x from t where x == 1"),
    ),
    "`::`": (words("::"), ("select x::integer from t",)),
    "other types": (
        other_types,
        (
            "select cast(x as double) from t",
            "select cast(x as hugeint) from t",
            "select cast(x as text) from t",
            "select cast(x as text[]) from t",
            "select cast(x as ubigint) from t",
            "select cast(x as decimal) from t",
            "select cast(x as numeric(18, 4)) from t",
            "select cast(coalesce(x, cast(y as int)) as varchar) from t",
            "select cast(x as timestamptz) from t",
        ),
    ),
    "`try_cast`": (calls("try_cast|try"), ("select try_cast(x as integer) from t",)),
    "`/` of whole numbers or decimals": (
        either(exact_division, words("//")),
        (
            "select x / y from t",
            "select cast(x as decimal(18, 4)) / 2 from t",
            "select sum(x) / nullif(count(*), 0) from t",
            "select x // y from t",
        ),
    ),
    "`avg` of decimals": (
        either(exact_mean, calls("mean|corr|regr_.*|covar_.*")),
        ("select avg(x) from t", "select stddev_samp(x) from t", "select avg(cast(x as decimal(18, 4))) from t"),
    ),
    "`median`, `quantile`, `percentile_cont`": (
        calls("median|mad|.*quantile.*|percentile.*"),
        (
            "select median(x) from t",
            "select percentile_cont(0.5) within group (order by x) from t",
            "select quantile_cont(x, 0.5) from t",
            "select approx_quantile(x, 0.5) from t",
        ),
    ),
    "`desc` without `nulls`": (
        descending,
        (
            "select x from t order by x desc",
            "select row_number() over (partition by x order by count(*) desc, y) from t",
        ),
    ),
    "`string_agg` without `order by`": (
        either(unordered_text, calls("group_concat|listagg|array_agg|list")),
        (
            "select string_agg(x, ',') from t",
            "select string_agg((select max(y) from u order by 1), ',') from t",
            "select listagg(x, ',') from t",
        ),
    ),
    "`any_value`, `first`, `last`, `mode`, `arg_max`": (
        calls("any_value|arbitrary|first|last|mode|arg_max|arg_min|argmax|argmin|max_by|min_by"),
        (
            "select any_value(x) from t",
            "select first(x) from t",
            "select last(x order by y) from t",
            "select mode(x) from t",
            "select arg_max(x, y) from t",
        ),
    ),
    "`qualify`": (words("qualify"), ("select x from t qualify row_number() over (order by x) = 1",)),
    "`distinct on`": (words("distinct on"), ("select distinct on (x) x, y from t order by x, y",)),
    "`sample`": (
        words("using sample", "tablesample"),
        ("select x from t using sample 5", "select x from t tablesample 5%"),
    ),
    "`asof`, `lateral`, `positional`, `semi`, `anti` joins": (
        words("asof", "lateral", "positional join", "semi join", "anti join"),
        (
            "select t.x from t asof join u on t.x >= u.x",
            "select x from t, lateral (select t.x + 1) as u",
            "select x from t positional join u",
            "select t.x from t semi join u on t.x = u.x",
            "select t.x from t anti join u on t.x = u.x",
        ),
    ),
    "`materialized`": (
        words("materialized"),
        (
            "with a as materialized (select x from t) select x from a",
            "with a as not materialized (select x from t) select x from a",
        ),
    ),
    "`date_diff`, `date_part`, `age`": (
        calls("date_?(diff|part|sub|add)|age|epoch.*|make_(date|timestamp.*)|dayof.*|isodow|year|month|day|hour"),
        (
            "select date_diff('day', x, y) from t",
            "select datediff('day', x, y) from t",
            "select date_part('year', x) from t",
            "select age(x, y) from t",
            "select year(x) from t",
        ),
    ),
    "`date_trunc` without a cast": (
        bare_trunc,
        ("select date_trunc('month', x) from t", "select x from t where date_trunc('month', x) = y"),
    ),
    "`strptime`, `strftime`, `to_char`": (
        calls("try_strptime|strptime|strftime|to_char|to_date|to_timestamp|to_number|format|printf"),
        ("select strftime(x, '%Y') from t", "select strptime(x, '%Y') from t", "select to_char(x, 'YYYY') from t"),
    ),
    "clock and chance": (
        either(
            words("current_timestamp", "current_date", "current_time", "localtimestamp", "localtime"),
            calls("now|today|get_current_.*|.*_timestamp|random|uuid|gen_random_uuid|hash|nextval"),
        ),
        (
            "select now() from t",
            "select current_timestamp from t",
            "select x from t where x < current_date",
            "select today() from t",
            "select random() from t",
        ),
    ),
    "lists, structs, JSON, lambdas": (
        either(
            words("[", "{", "->", "->>", "#>", "lambda", "array", "struct"),
            calls(
                "list_.*|array_.*|struct_.*|json.*|to_json.*|from_json.*|row|map|map_.*|string_split|string_to_array|len_.*"
            ),
        ),
        (
            "select [1, 2] from t",
            "select {'a': x} from t",
            "select x[1] from t",
            "select list_sort(x) from t",
            "select array_length(x) from t",
            "select x -> 'a' from t",
            "select x ->> 'a' from t",
            "select struct_pack(a := x) from t",
            "select json_extract(x, '$.a') from t",
            "select to_json(x) from t",
            "select array[1, 2] from t",
            "select list_transform(x, y -> y + 1) from t",
        ),
    ),
    "`generate_series`, `unnest`, `range`": (
        calls("generate_series|unnest|range|sequence|explode"),
        ("select x from generate_series(1, 5) as s(x)", "select unnest(x) from t", "select x from range(5) as s(x)"),
    ),
    "`ilike`, `glob`, `similar to`, `regexp_*`": (
        either(words("ilike", "glob", "similar to", "~", "!~", "~*", "~~", "~~*", "rlike"), calls("regexp.*|.*_like")),
        (
            "select x from t where x ilike 'a%'",
            "select x from t where x glob 'a*'",
            "select x from t where x similar to 'a'",
            "select regexp_replace(x, 'a', 'b') from t",
            "select x from t where regexp_matches(x, 'a')",
            "select x from t where x ~ 'a'",
        ),
    ),
    "`like` with a backslash": (backslash, (r"select x from t where x like 'a\_b'",)),
    "`if`, `ifnull`, `nvl`, `len`": (
        calls("if|iff|ifnull|nvl|len|strlen|decode"),
        ("select if(x, 1, 2) from t", "select ifnull(x, 1) from t", "select len(x) from t"),
    ),
    "anything but a query": (
        no_query,
        (
            "create temp table t as select 1 as x",
            "delete from t",
            "insert into t select 1",
            "copy t to 'x.csv'",
            "set a = 1",
        ),
    ),
}

GOOD = """
with recent as (
    select distinct order_id, max(updated_at) as updated_at
    from orders
    where status in ('now()', 'ilike') and email like '%_@_%' and name like 'a!_b' escape '!'
    group by order_id
)
select
    recent.order_id, cast(date_trunc('month', recent.updated_at) as date) as month,
    extract(year from recent.updated_at) as year,
    cast(sum(a) as double precision) / nullif(cast(sum(b) as double precision), 0) as share,
    avg(cast(a as double precision)) as mean, count(*) filter (where a > 0) as sold,
    string_agg(name, ',' order by name) as names, cast(sum(a) as decimal(18, 4)) as amount,
    first_value(a) over (order by b desc nulls last, recent.order_id) as kept,
    label('sale') as kind
from recent
left join lines on lines.order_id = recent.order_id
where not exists (select 1 from refused where refused.order_id = recent.order_id)
group by recent.order_id
union all
select 'x', null, null, null, null, 1, null, cast(null as decimal(18, 4)), null, 'y'
"""


@cache
def page() -> dict[str, str]:
    """What to use instead of each construct, as the table of the page has it."""
    table = PAGE.read_text(encoding="utf-8").split("| instead of |", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table]
    return {refused: use for refused, use, _ in cells}


def broken(sql: str) -> list[str]:
    """Each rule that a query breaks, with what was found and what to use instead."""
    try:
        query = read(sql)
    except sqlglot.ParseError as error:
        return [f"cannot be read: {' '.join(str(error).split())}"]
    return [f"{what!r} ({name}): use {page()[name]}" for name, (find, _) in RULES.items() for what in find(query)]


@cache
def project() -> dict[str, str]:
    """Every query of the dbt project by where it stands, its macros put in but for those chosen by engine."""
    configs: list[dict[str, Any]] = []
    macros = "\n".join(p.read_text("utf-8") for p in sorted(SQL.glob("macros/**/*.sql")))
    tests = "\n".join(p.read_text("utf-8") for p in sorted(SQL.glob("tests/generic/*.sql")))
    tests = tests.replace("{% endtest %}", "{% endmacro %}").replace("{% test ", "{% macro test_")
    # Macros that give a word of the language, or nothing, where the others give an expression.
    silent = {"inlined", "gather_statistics"}
    increment = {"is": False}

    def dispatch(name: str, package: str) -> Callable[..., str]:
        assert package == "shop", f"adapter.dispatch({name!r}, {package!r}): the package of this project is 'shop'"
        return lambda *arguments: "" if name in silent else f"{name}({', '.join(map(str, arguments))})"

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, extensions=["jinja2.ext.do"], autoescape=False)
    environment.globals.update(
        ref=lambda name: name,
        source=lambda schema, table: f"{schema}.{table}",
        var=lambda name, *_: VARIABLES.get(name, name),
        env_var=lambda _, default="": default,
        config=lambda **values: configs.append(values) or "",
        adapter=SimpleNamespace(dispatch=dispatch),
        target=SimpleNamespace(schema="public"),
        this="t",
        # What a model asks where it is built whole, and in an increment.
        is_incremental=lambda: increment["is"],
    )
    module = environment.from_string(macros + tests).module
    environment.globals.update({n: getattr(module, n) for n in dir(module) if not n.startswith("_")})

    queries = {}
    for path in [p for folder in ("models/**", "tests", "queries/**") for p in sorted(SQL.glob(f"{folder}/*.sql"))]:
        configs.clear()
        place = path.relative_to(PROJECT).as_posix()
        for increment["is"] in (True, False):
            sql = environment.from_string(path.read_text("utf-8")).render()
            queries[f"{place} (increment)" if increment["is"] else place] = sql
        if queries[f"{place} (increment)"] == queries[place]:
            del queries[f"{place} (increment)"]
        for values in configs:
            queries |= {f"{place} ({n})": sql for n, sql in _configured(values)}
    for path, model in declared():
        columns = [(c["name"], test) for c in model.get("columns", []) for test in c.get("data_tests", [])]
        for column, test in [*columns, *((None, test) for test in model.get("data_tests", []))]:
            ((name, options),) = test.items() if isinstance(test, dict) else [(test, {})]
            place = f"{path}: {name} of {model['name']}{'.' + column if column else ''}"
            queries |= {f"{place} ({n})": sql for n, sql in _configured(options.get("config", {}))}
            if f"test_{name}" in environment.globals:
                given = {k: environment.from_string(v).render() for k, v in options.get("arguments", {}).items()}
                place += f" {options.get('name', '')} {given}"
                given |= {"column_name": column} if column else {}
                queries[place] = str(environment.globals[f"test_{name}"]("t", **given))  # type: ignore[operator]
    return queries


def _configured(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The SQL in a test's options, each as a query."""
    for option, form in (("where", "select * from t where {}"), ("fail_calc", "select {} from t")):
        if option in config:
            yield option, form.format(config[option])
    if "tested" in config.get("meta", {}):
        yield "tested", config["meta"]["tested"]


@cache
def declared() -> list[tuple[str, dict[str, Any]]]:
    """Every model's entry in the .yml files, each with its file."""
    files = sorted(SQL.glob("models/**/*.yml"))
    return [
        (file.relative_to(PROJECT).as_posix(), model)
        for file in files
        for model in yaml.safe_load(file.read_text("utf-8")).get("models", [])
    ]


def keys(model: str) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """A model's key and further indexes, as publishing reads them."""
    return difference.declared().get(model, ((), ()))


#: Models of these folders; one that is built into the schema of another is none of its marts.
KEYED_MODELS = [
    (f, p.stem)
    for f in KEYED
    for p in sorted((SQL / "models" / f).glob("*.sql"))
    if "config(schema=" not in p.read_text(encoding="utf-8")
]


@pytest.mark.parametrize("place", project())
def test_a_query_of_the_project_is_portable(place):
    found = broken(project()[place])
    assert not found, f"{place}\n" + "\n".join(found) + f"\nWhy, and which macros there are: {PAGE.name}"


@pytest.mark.parametrize(("rule", "sql"), [(name, sql) for name, (_, texts) in RULES.items() for sql in texts])
def test_what_does_not_travel_is_found(rule, sql):
    assert any(f"({rule}): use {page()[rule]}" in message for message in broken(sql)), broken(sql)


def test_what_travels_is_let_through():
    assert broken(GOOD) == []


def test_the_page_and_the_rules_agree():
    assert list(page()) == list(RULES)


def test_what_is_dispatched_has_a_form_for_each_engine():
    text = "\n".join(p.read_text("utf-8") for p in SQL.glob("macros/**/*.sql"))
    forms = set(re.findall(r"{% macro (\w+)\(", text))
    for name in re.findall(r"adapter\.dispatch\('(\w+)'", text):
        assert f"default__{name}" in forms or {f"duckdb__{name}", f"postgres__{name}"} <= forms, name


def test_every_mart_declares_its_key():
    assert [f"{schema}.{model}" for schema, model in KEYED_MODELS if not keys(model)[0]] == []


@pytest.mark.parametrize(("schema", "model"), KEYED_MODELS)
def test_keys_and_indexes_are_columns(schema, model):
    columns = read(project()[f"sql/models/{schema}/{model}.sql"]).tree.named_selects
    key, indexes = keys(model)
    named = {*key, *(c for index in indexes for c in index)}
    assert named - set(columns) == set()


def test_indexes_are_no_copies_of_the_key():
    for model, (key, others) in difference.declared().items():
        indexes = [key, *others]
        starts = [
            i for a, i in enumerate(indexes) for b, other in enumerate(indexes) if a != b and other[: len(i)] == i
        ]
        assert starts == [], model


def test_a_key_is_there_once_in_every_row(tmp_path):
    entities = ("customers", "products", "orders", "order_items", "payments", "events", "order_lines")
    (tmp_path / "rates.csv").write_text("date,currency,rate\n2024-01-01,USD,0.9\n2024-01-06,USD,0.8\n")
    shop = SmallShop(tmp_path, {e: {} for e in entities}, {"exchange_rates": str(tmp_path / "rates.csv")})
    event = "event_id,event_at,event_type,visitor_id,session_id"
    shop.write("events/1.csv", csv(event, "e,2024-01-05,view,v,s", "E,2024-01-05,view,V,s", "e,2024-01-05,view,v,s"))
    shop.write("customers/1.csv", csv("customer_id,country", "anna,DE", "Anna,AT", "anna,DE", "unknown,FR"))
    shop.write("products/1.csv", csv("product_id,name,category", "p,Pen,Paper", "P,Pen,paper", "unknown,Q,"))
    shop.write(
        "orders/1.csv",
        csv(
            "order_id,ordered_at,customer_id,status",
            "1,2024-01-05T12:00Z,anna,completed",
            "2,2024-01-06,,RÜCKGABE",
            "2,2024-01-07,Anna,cancelled",
        ),
    )
    shop.write("orders/2.csv", csv("order_id,ordered_at,customer_id,status", "1,2024-01-05T12:00Z,anna,shipped"))
    items = "order_id,line_number,product_id,quantity,unit_price"
    shop.write("order_items/1.csv", csv(items, "1,1,p,1,9.99", "1,,p,1,9.99", "1,,none,-1,3", "1,2,P,1,3", "9,1,p,1,1"))
    shop.write("payments/1.csv", csv("order_id,method,amount", "1,card,10", "1,Card,10", "1,,5"))
    shop.write(
        "order_lines/1.csv",
        csv(
            f"ordered_at,customer_id,{items}",
            "2024-03-01,new,f,,p,1,2",
            "2024-03-01,new,f,1,x,1,2",
            "2024-03-02,,,,x,1,2",
        ),
    )
    checks = [
        f"select '{table}', count(*), (select count(*) from (select distinct {', '.join(key)} from {table})),"
        f" count(*) filter (where {' or '.join(f'{column} is null' for column in key)}) from {table}"
        for schema, model in KEYED_MODELS
        for table, key in [(f"{schema}.{model}", keys(model)[0])]
    ]
    for table, number, different, nulls in rows(shop.build(), " union all ".join(checks)):
        assert number > 0, f"{table} has no row to check"
        assert (different, nulls) == (number, 0), table
