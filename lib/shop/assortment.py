"""What the shop trades in: the categories with their words, price levels, seasons and return rates."""

from dataclasses import dataclass

QUALITIES = (
    "Classic",
    "Compact",
    "Essential",
    "Premium",
    "Original",
    "Pro",
    "Eco",
    "Nordic",
    "Pure",
    "Family",
)

# January to December.
EVEN = (1.0,) * 12
SUMMER = (0.7, 0.7, 0.9, 1.2, 1.4, 1.5, 1.5, 1.3, 1.0, 0.8, 0.6, 0.6)
GIFTS = (0.7, 0.7, 0.8, 0.9, 0.8, 0.8, 0.8, 0.8, 0.9, 1.1, 1.6, 2.0)
DARK_MONTHS = (1.2, 1.1, 0.9, 0.9, 0.8, 0.8, 0.8, 0.8, 1.0, 1.2, 1.3, 1.2)


@dataclass(frozen=True)
class Category:
    """A category: `share` of the products, prices in euros, the chance that a line comes back."""

    name: str
    share: float
    typical_price: float
    price_spread: float
    return_rate: float
    seasons: tuple[float, ...]
    brands: tuple[str, ...]
    subcategories: dict[str, tuple[str, ...]]


CATEGORIES = (
    Category(
        "Fashion",
        20,
        36,
        0.55,
        0.043,
        EVEN,
        ("Lindau", "Marlowe & Finch", "Ostara", "Felt & Thread", "Vestra"),
        {
            "Shirts": ("Linen Shirt", "Oxford Shirt", "T-Shirt", "Polo Shirt"),
            "Knitwear": ("Merino Pullover", "Cardigan", "Roll-Neck Jumper"),
            "Shoes": ("Sneakers", "Chelsea Boots", "Loafers"),
            "Accessories": ("Wool Scarf", "Leather Belt", "Canvas Tote"),
        },
    ),
    Category(
        "Home & Living",
        17,
        32,
        0.6,
        0.014,
        DARK_MONTHS,
        ("Nordhaus", "Casa Lume", "Brightwell", "Hearthside", "Linnea"),
        {
            "Lighting": ("Table Lamp", "Floor Lamp", "Pendant Light"),
            "Textiles": ("Wool Throw", "Bed Linen Set", "Bath Towel", "Cushion Cover"),
            "Decoration": ("Ceramic Vase", "Scented Candle", "Picture Frame"),
            "Storage": ("Storage Basket", "Wall Shelf", "Coat Rack"),
        },
    ),
    Category(
        "Kitchen",
        14,
        28,
        0.6,
        0.012,
        GIFTS,
        ("Kupferberg", "Saltwood", "Ferro Cucina", "Graefe", "Morgenrot"),
        {
            "Cookware": ("Cast Iron Pan", "Stock Pot", "Saucepan"),
            "Tableware": ("Dinner Plate Set", "Espresso Cups", "Water Carafe"),
            "Knives": ("Chef's Knife", "Bread Knife", "Paring Knife"),
            "Coffee & Tea": ("French Press", "Tea Kettle", "Burr Grinder"),
        },
    ),
    Category(
        "Electronics",
        13,
        64,
        0.7,
        0.024,
        GIFTS,
        ("Voltaris", "Kinnara", "Halden", "Pixeon", "Sonnwerk"),
        {
            "Audio": ("Headphones", "Bluetooth Speaker", "Earbuds"),
            "Smart Home": ("Smart Plug", "Motion Sensor", "Indoor Camera"),
            "Accessories": ("Power Bank", "USB-C Charger", "Laptop Stand"),
            "Wearables": ("Fitness Tracker", "Sports Watch"),
        },
    ),
    Category(
        "Beauty",
        11,
        17,
        0.5,
        0.007,
        EVEN,
        ("Alba Botanica", "Seren", "Maison Tilleul", "Rosenhof", "Kaolin"),
        {
            "Face Care": ("Day Cream", "Night Serum", "Clay Mask"),
            "Body Care": ("Body Lotion", "Hand Cream", "Shower Oil"),
            "Hair Care": ("Shampoo Bar", "Hair Mask", "Conditioner"),
            "Fragrance": ("Eau de Parfum", "Room Spray"),
        },
    ),
    Category(
        "Sports & Outdoor",
        11,
        39,
        0.6,
        0.02,
        SUMMER,
        ("Bergfuchs", "Trailmark", "Kestrel", "Alpstern", "Strandgut"),
        {
            "Camping": ("Sleeping Bag", "Camping Stove", "Headlamp"),
            "Fitness": ("Yoga Mat", "Kettlebell", "Resistance Bands"),
            "Cycling": ("Bike Helmet", "Bike Light Set", "Pannier Bag"),
            "Hiking": ("Daypack", "Trekking Poles", "Water Bottle"),
        },
    ),
    Category(
        "Toys & Games",
        8,
        22,
        0.5,
        0.009,
        GIFTS,
        ("Holzwurm", "Puzzlewick", "Kleine Welt", "Tumble & Co", "Spielhof"),
        {
            "Board Games": ("Strategy Game", "Card Game", "Travel Game"),
            "Wooden Toys": ("Building Blocks", "Train Set", "Pull-Along Duck"),
            "Puzzles": ("500-Piece Puzzle", "1000-Piece Puzzle"),
            "Crafts": ("Craft Box", "Watercolour Set"),
        },
    ),
    Category(
        "Pantry",
        6,
        9,
        0.4,
        0.003,
        EVEN,
        ("Feinkost Adler", "Oliveto", "Hofladen", "Tante Emmi", "Cacaoterra"),
        {
            "Coffee": ("Espresso Beans", "Filter Coffee"),
            "Oils & Vinegars": ("Olive Oil", "Balsamic Vinegar"),
            "Sweets": ("Dark Chocolate", "Almond Nougat", "Honey"),
            "Pasta & Grains": ("Spelt Pasta", "Risotto Rice"),
        },
    ),
)
