"""Where customers live: countries and their shares, cities, postal codes, phones and ways of paying.

And where the shop has branch stores.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class City:
    """A city, its region, its weight in the country, and a postal code pattern (`#` digit, `?` letter)."""

    name: str
    region: str
    postal: str
    weight: float


@dataclass(frozen=True)
class Country:
    """A country, the Faker locale of its names, and the shares of `payments.METHODS` its customers choose."""

    code: str
    weight: float
    locale: str
    dial: str
    methods: tuple[float, ...]
    cities: tuple[City, ...]


# Shares of payment methods: card, paypal, invoice, bank_transfer, gift_card, instalments.
COUNTRIES = (
    Country(
        "DE",
        56,
        "de_DE",
        "+49 15",
        (20, 34, 27, 8, 1, 10),
        (
            City("Berlin", "Berlin", "10###", 36),
            City("Hamburg", "Hamburg", "20###", 19),
            City("München", "Bayern", "80###", 15),
            City("Köln", "Nordrhein-Westfalen", "50###", 11),
            City("Frankfurt am Main", "Hessen", "60###", 8),
            City("Stuttgart", "Baden-Württemberg", "70###", 6),
            City("Düsseldorf", "Nordrhein-Westfalen", "40###", 6),
            City("Leipzig", "Sachsen", "04###", 6),
            City("Dortmund", "Nordrhein-Westfalen", "44###", 5),
            City("Bremen", "Bremen", "28###", 5),
            City("Dresden", "Sachsen", "01###", 5),
            City("Hannover", "Niedersachsen", "30###", 5),
            City("Nürnberg", "Bayern", "90###", 5),
            City("Kiel", "Schleswig-Holstein", "24###", 3),
            City("Mainz", "Rheinland-Pfalz", "55###", 3),
            City("Erfurt", "Thüringen", "99###", 2),
        ),
    ),
    Country(
        "AT",
        11,
        "de_AT",
        "+43 66",
        (27, 27, 26, 7, 1, 12),
        (
            City("Wien", "Wien", "1##0", 19),
            City("Graz", "Steiermark", "80##", 4),
            City("Linz", "Oberösterreich", "40##", 3),
            City("Salzburg", "Salzburg", "50##", 2),
            City("Innsbruck", "Tirol", "60##", 2),
        ),
    ),
    Country(
        "FR",
        8,
        "fr_FR",
        "+33 6 ",
        (58, 26, 3, 4, 2, 7),
        (
            City("Paris", "Île-de-France", "750##", 21),
            City("Marseille", "Provence-Alpes-Côte d'Azur", "1300#", 9),
            City("Lyon", "Auvergne-Rhône-Alpes", "6900#", 6),
            City("Toulouse", "Occitanie", "31#00", 5),
            City("Nantes", "Pays de la Loire", "44#00", 4),
            City("Strasbourg", "Grand Est", "67#00", 3),
        ),
    ),
    Country(
        "NL",
        8,
        "nl_NL",
        "+31 6 ",
        (14, 17, 14, 45, 1, 9),
        (
            City("Amsterdam", "Noord-Holland", "10## ??", 9),
            City("Rotterdam", "Zuid-Holland", "30## ??", 7),
            City("Den Haag", "Zuid-Holland", "25## ??", 6),
            City("Utrecht", "Utrecht", "35## ??", 4),
            City("Eindhoven", "Noord-Brabant", "56## ??", 3),
        ),
    ),
    Country(
        "CH",
        6,
        "de_CH",
        "+41 7",
        (34, 16, 36, 5, 2, 7),
        (
            City("Zürich", "Zürich", "80##", 8),
            City("Genf", "Genf", "120#", 4),
            City("Basel", "Basel-Stadt", "40##", 4),
            City("Bern", "Bern", "30##", 3),
            City("Luzern", "Luzern", "600#", 2),
        ),
    ),
    Country(
        "PL",
        5,
        "pl_PL",
        "+48 5",
        (26, 14, 4, 46, 2, 8),
        (
            City("Warszawa", "Mazowieckie", "00-###", 18),
            City("Kraków", "Małopolskie", "30-###", 8),
            City("Wrocław", "Dolnośląskie", "50-###", 7),
            City("Poznań", "Wielkopolskie", "60-###", 5),
            City("Gdańsk", "Pomorskie", "80-###", 5),
        ),
    ),
    Country(
        "IT",
        4,
        "it_IT",
        "+39 3",
        (38, 43, 2, 8, 3, 6),
        (
            City("Roma", "Lazio", "001##", 28),
            City("Milano", "Lombardia", "201##", 14),
            City("Napoli", "Campania", "801##", 9),
            City("Torino", "Piemonte", "101##", 8),
            City("Bologna", "Emilia-Romagna", "401##", 4),
        ),
    ),
    Country(
        "ES",
        2,
        "es_ES",
        "+34 6",
        (55, 27, 2, 8, 2, 6),
        (
            City("Madrid", "Comunidad de Madrid", "280##", 33),
            City("Barcelona", "Cataluña", "080##", 16),
            City("Valencia", "Comunitat Valenciana", "460##", 8),
            City("Sevilla", "Andalucía", "410##", 7),
        ),
    ),
)


@dataclass(frozen=True)
class Store:
    """A branch store; stores of one city are next to each other in `STORES`."""

    id: str
    name: str
    city: str
    country: str


STORES = (
    Store("S01", "Berlin Friedrichstraße", "Berlin", "DE"),
    Store("S02", "Berlin Schlossstraße", "Berlin", "DE"),
    Store("S03", "Hamburg Mönckebergstraße", "Hamburg", "DE"),
    Store("S04", "München Neuhauser Straße", "München", "DE"),
    Store("S05", "Köln Schildergasse", "Köln", "DE"),
    Store("S06", "Frankfurt Zeil", "Frankfurt am Main", "DE"),
    Store("S07", "Wien Mariahilfer Straße", "Wien", "AT"),
    Store("S08", "Zürich Bahnhofstrasse", "Zürich", "CH"),
)
