"""The shop's exchange rates: read from the file that `shop.exchange_rates` names, checked whole before any is used.

A rate is how many units of the shop's currency one unit of another is worth. Which day's rate an amount is converted
at is SQL: `sql/models/warehouse/dim_exchange_rate.sql`.
"""

import io
from pathlib import Path

import pandas as pd

from lib.base.errors import ConfigError
from lib.base.files import PROJECT
from lib.settings import Settings

COLUMNS = ("date", "currency", "rate")

#: Beyond these a rate does not fit its column; no two currencies are so far apart.
_SMALLEST, _LARGEST = 1e-9, 1e7


def read_exchange_rates(settings: Settings) -> pd.DataFrame:
    """Return the shop's exchange rates, columns rate_date, currency and rate; none where it names no file.

    The file is CSV with a header; fields are separated by commas, semicolons or tabs, and with the latter two a rate
    may have a decimal comma.

    Raises ConfigError with the first thing that is wrong in the file, and where.
    """
    none = pd.DataFrame({"rate_date": pd.Series(dtype="datetime64[us]"), "currency": [], "rate": []})
    given = settings.shop.exchange_rates
    if not given:
        return none
    path = (PROJECT / Path(given).expanduser()).resolve()
    where = f"shop.exchange_rates: {path.name}"
    rates = _read(path, where)
    rates["line"] = range(2, len(rates) + 2)
    rates["currency"] = rates["currency"].str.upper()
    rates["rate_date"] = pd.to_datetime(rates["date"], format="%Y-%m-%d", errors="coerce")
    rates["number"] = pd.to_numeric(rates["rate"], errors="coerce")
    wrong = {
        "date": (rates["rate_date"].isna(), "a date such as 2025-12-31"),
        "currency": (~rates["currency"].str.fullmatch("[A-Z]{3}"), "a code of three letters such as USD"),
        "rate": (~rates["number"].between(_SMALLEST, _LARGEST), "a number above zero such as 0.9231"),
    }
    for column, (found, expected) in wrong.items():
        if found.any():
            row = rates[found].iloc[0]
            raise ConfigError(f"{where}, line {row['line']}: {column} {row[column]!r} is not {expected}.")
    own = rates[(rates["currency"] == settings.shop.currency) & (rates["number"] != 1)]
    if len(own):
        raise ConfigError(
            f"{where}, line {own['line'].iloc[0]}: one {settings.shop.currency} cannot be worth {own['rate'].iloc[0]}:"
            " it is the shop's own currency (shop.currency). A rate says what one unit of another is worth in it."
        )
    rates = rates.drop_duplicates(["rate_date", "currency", "number"])
    twice = rates[rates.duplicated(["rate_date", "currency"])]
    if len(twice):
        row = twice.iloc[0]
        raise ConfigError(
            f"{where}, line {row['line']}: a second rate of {row['currency']} on {row['date']}, {row['rate']},"
            " that differs from the first. Leave one of them."
        )
    return rates[["rate_date", "currency", "number"]].rename(columns={"number": "rate"}).reset_index(drop=True)


def _read(path: Path, where: str) -> pd.DataFrame:
    """Return the file's rows as texts, its columns by their names in lower case."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ConfigError(f"{where}: no such file in {path.parent}. Relative paths start at {PROJECT}.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where} cannot be read as UTF-8 text: {error}") from None
    header = text.partition("\n")[0]
    separator = max(",;\t", key=header.count)
    try:
        rows = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False, skipinitialspace=True)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise ConfigError(f"{where} is no CSV file: {' '.join(str(error).split())}") from None
    rows.columns = [str(name).strip().lower() for name in rows.columns]
    missing = [name for name in COLUMNS if name not in rows]
    if missing:
        raise ConfigError(
            f"{where} has no column {', '.join(map(repr, missing))}; it has {', '.join(map(repr, rows.columns))}."
            f" Expected are {', '.join(COLUMNS)}: a day, a currency, and what one unit of it is worth in the shop's."
        )
    rows = rows[list(COLUMNS)].fillna("").apply(lambda column: column.str.strip())
    if separator != ",":
        rows["rate"] = rows["rate"].str.replace(",", ".", regex=False)
    return rows
