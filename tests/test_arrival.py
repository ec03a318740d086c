"""How new rows arrive: the zone that times were read in, the hours that come of it, and the first rows as mapped."""

import pytest

from lib.clean.arrival import arrived
from tests.small_shop import SmallShop, csv


def of_shop(folder, *times: str, **source: str):
    shop = SmallShop(folder, {"orders": {}}, source={"time_zone": "", **source})
    rows = [f"o{n},{time},{n}" for n, time in enumerate(times)]
    shop.write("orders/1.csv", csv("order_id,ordered_at,total_amount", *rows))
    return arrived(shop.settings, shop.ingest().table["batch_id"])


@pytest.mark.parametrize(
    ("times", "source", "zone", "hours"),
    [
        (["2024-07-05 10:30", "2024-07-06 14:00"], {}, "Europe/Berlin, the shop's", "10:00 to 14:59, most from 10:00"),
        (
            ["2024-07-05 21:30"] * 3,
            {"time_zone": "America/New_York"},
            "America/New_York",
            "3:00 to 3:59, most from 3:00",
        ),
        (["2024-07-05", "2024-07-06"], {"time_zone": "America/New_York"}, "America/New_York", "dates only"),
        (
            ["2024-07-05", "2024-07-06 09:10"],
            {},
            "Europe/Berlin, the shop's",
            "9:00 to 9:59, most from 9:00; 50% are dates only",
        ),
    ],
)
def test_each_column_of_times_says_its_zone_and_the_hours_that_come_of_it(tmp_path, times, source, zone, hours):
    found = of_shop(tmp_path, *times, **source)
    (clock,) = found.clocks.to_dict("records")
    assert [clock[name] for name in ("source", "entity", "column", "zone", "rows", "hours")] == [
        *("exports", "orders", "ordered_at", zone, len(times), hours)
    ]
    assert found.problem == ""


def test_the_first_rows_are_shown_as_they_arrive_without_what_is_nowhere_stated(tmp_path):
    (sample,) = of_shop(tmp_path, *["2024-07-05"] * 5).samples.values()
    assert list(sample) == ["order_id", "ordered_at", "total_amount"] and len(sample) == 3


def test_where_nothing_is_new_nothing_arrives(tmp_path):
    shop = SmallShop(tmp_path, {"orders": {}})
    shop.write("orders/1.csv", csv("order_id,ordered_at", "1,2024-07-05"))
    shop.ingest()
    again = arrived(shop.settings, shop.ingest().table["batch_id"])
    assert again.clocks.empty and not again.samples
