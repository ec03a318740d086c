"""A corner shop whose till exports a file of order lines now and then, for tests of whole runs."""

SOURCES = """
shop: {name: Corner shop, currency: EUR, time_zone: Europe/Berlin}
quality: {min_score: %s}
sources:
  till:
    kind: files
    path: "%s"
    entities:
      order_lines: {files: "*.csv"}
"""
HEADER = "order_id,ordered_at,product_id,product_name,quantity,unit_price,customer_id\n"
SOLD = "{n},2025-01-0{day} 1{hour}:15,p{pen},Pen {pen},2,1.50,c{customer}\n"
#: Lines without an amount and a name, which the gate refuses.
BAD = HEADER + "".join(f"b{n},2025-02-01 10:00,q{n},,2,0,\n" for n in range(400))


def sold(first: int, last: int) -> str:
    """Return an export of so many orders, one line each, numbered from the first to before the last."""
    lines = (SOLD.format(n=n, day=1 + n % 9, hour=n % 8, pen=n % 5, customer=n % 7) for n in range(first, last))
    return HEADER + "".join(lines)
