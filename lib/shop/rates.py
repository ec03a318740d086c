"""How often the simulated shop spoils what it delivers, as `simulation.defects` of pipeline.yml says."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lib.base.errors import ConfigError
from lib.settings import describe

Rate = Annotated[float, Field(ge=0, le=0.5)]


class Defects(BaseModel):
    """How often the simulated shop spoils what it delivers; see `lib.shop.defects.KINDS` for what each kind is.

    A rate is the share of orders, customers, products or events hit (of days and of weeks for the last two), times
    `scale`. Where `enabled` is false nothing is spoiled and no ledger is kept.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = True
    scale: float = Field(1, ge=0, le=20)
    exact_duplicate: Rate = 0.002
    near_duplicate: Rate = 0.002
    resent_changed: Rate = 0.001
    missing_value: Rate = 0.002
    whitespace: Rate = 0.003
    letter_case: Rate = 0.003
    mojibake: Rate = 0.002
    number_text: Rate = 0.002
    date_format: Rate = 0.002
    ambiguous_date: Rate = 0.0005
    local_time: Rate = 0.001
    invalid_email: Rate = 0.002
    invalid_country: Rate = 0.002
    invalid_currency: Rate = 0.001
    wrong_sign: Rate = 0.002
    zeroed: Rate = 0.001
    wrong_unit: Rate = 0.001
    future_date: Rate = 0.001
    before_signup: Rate = 0.001
    out_of_sequence: Rate = 0.001
    orphan: Rate = 0.001
    total_mismatch: Rate = 0.001
    payment_mismatch: Rate = 0.001
    price_spike: Rate = 0.0005
    category_swap: Rate = 0.005
    double_customer: Rate = 0.002
    late_event: Rate = 0.005
    duplicated_event: Rate = 0.005
    volume_change: Rate = 0.02
    stale_source: Rate = 0.02

    def rate(self, kind: str) -> float:
        """Return the share that a kind hits, 0 where nothing is to be spoiled."""
        return float(getattr(self, kind)) * self.scale if self.enabled else 0.0


def defects_of(configured: Mapping[str, Any]) -> Defects:
    """Return the section `simulation.defects` of pipeline.yml as rates; raise ConfigError that names a wrong key."""
    try:
        return Defects.model_validate(configured)
    except ValidationError as error:
        raise ConfigError(describe(error, "pipeline.yml", Defects, "simulation.defects")) from None
