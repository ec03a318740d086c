"""Names of time zones that exports write beside their times: Rails' (Square, Shopify), Windows', abbreviations.

Each stands for a zone of IANA. `zone_of` in `sql/cells/macros.sql` is made of them and of the zones that DuckDB knows.
"""


def _zones(text: str) -> dict[str, str]:
    pairs = (line.partition(" = ") for line in text.strip().splitlines())
    return {name.strip(): zone.strip() for names, _, zone in pairs for name in names.split(";")}


#: An abbreviation is the zone whose clocks show it, as some exports write EST in summer too; where zones with and
#: without summer time share it (AST, MST, AEST), its offset. Those of several zones (IST) are left out.
NAMES = _zones(
    """
    Eastern Time (US & Canada); Eastern Standard Time; Eastern Time = America/New_York
    Central Time (US & Canada); Central Standard Time; Central Time = America/Chicago
    Mountain Time (US & Canada); Mountain Standard Time; Mountain Time = America/Denver
    Pacific Time (US & Canada); Pacific Standard Time; Pacific Time = America/Los_Angeles
    Indiana (East); US Eastern Standard Time = America/Indiana/Indianapolis
    Arizona; US Mountain Standard Time = America/Phoenix
    Alaska; Alaskan Standard Time = America/Anchorage
    Hawaii; Hawaiian Standard Time = Pacific/Honolulu
    Atlantic Time (Canada); Atlantic Standard Time = America/Halifax
    Newfoundland; Newfoundland Standard Time = America/St_Johns
    Saskatchewan; Canada Central Standard Time = America/Regina
    Tijuana = America/Tijuana
    Chihuahua = America/Chihuahua
    Mazatlan = America/Mazatlan
    Central America; Central America Standard Time = America/Guatemala
    Guadalajara; Mexico City; Central Standard Time (Mexico) = America/Mexico_City
    Monterrey = America/Monterrey
    Bogota; SA Pacific Standard Time = America/Bogota
    Lima; Quito = America/Lima
    Caracas; Venezuela Standard Time = America/Caracas
    La Paz; SA Western Standard Time = America/La_Paz
    Santiago; Pacific SA Standard Time = America/Santiago
    Puerto Rico = America/Puerto_Rico
    Brasilia; E. South America Standard Time = America/Sao_Paulo
    Buenos Aires; Argentina Standard Time = America/Argentina/Buenos_Aires
    Montevideo; Montevideo Standard Time = America/Montevideo
    Georgetown = America/Guyana
    Greenland; Greenland Standard Time = America/Godthab
    Mid-Atlantic = Atlantic/South_Georgia
    Azores; Azores Standard Time = Atlantic/Azores
    Cape Verde Is.; Cape Verde Standard Time = Atlantic/Cape_Verde
    Dublin = Europe/Dublin
    Edinburgh; London; GMT Standard Time = Europe/London
    Lisbon = Europe/Lisbon
    Casablanca; Morocco Standard Time = Africa/Casablanca
    Monrovia; Greenwich Standard Time = Africa/Monrovia
    Belgrade; Central Europe Standard Time = Europe/Belgrade
    Bratislava = Europe/Bratislava
    Budapest = Europe/Budapest
    Ljubljana = Europe/Ljubljana
    Prague = Europe/Prague
    Sarajevo = Europe/Sarajevo
    Skopje = Europe/Skopje
    Warsaw; Central European Standard Time = Europe/Warsaw
    Zagreb = Europe/Zagreb
    Brussels; Romance Standard Time = Europe/Brussels
    Copenhagen = Europe/Copenhagen
    Madrid = Europe/Madrid
    Paris = Europe/Paris
    Amsterdam = Europe/Amsterdam
    Berlin; W. Europe Standard Time = Europe/Berlin
    Bern; Zurich = Europe/Zurich
    Rome = Europe/Rome
    Stockholm = Europe/Stockholm
    Vienna = Europe/Vienna
    West Central Africa; W. Central Africa Standard Time = Africa/Algiers
    Bucharest; GTB Standard Time = Europe/Bucharest
    Cairo; Egypt Standard Time = Africa/Cairo
    Helsinki; FLE Standard Time = Europe/Helsinki
    Kyiv = Europe/Kiev
    Riga = Europe/Riga
    Sofia = Europe/Sofia
    Tallinn = Europe/Tallinn
    Vilnius = Europe/Vilnius
    Athens = Europe/Athens
    Istanbul; Turkey Standard Time = Europe/Istanbul
    Minsk; Belarus Standard Time = Europe/Minsk
    Jerusalem; Israel Standard Time = Asia/Jerusalem
    Harare; Pretoria; South Africa Standard Time = Africa/Johannesburg
    Kaliningrad; Kaliningrad Standard Time = Europe/Kaliningrad
    Moscow; St. Petersburg; Russian Standard Time = Europe/Moscow
    Volgograd = Europe/Volgograd
    Samara = Europe/Samara
    Kuwait; Riyadh; Arab Standard Time = Asia/Riyadh
    Nairobi; E. Africa Standard Time = Africa/Nairobi
    Baghdad; Arabic Standard Time = Asia/Baghdad
    Tehran; Iran Standard Time = Asia/Tehran
    Abu Dhabi; Muscat; Arabian Standard Time = Asia/Dubai
    Baku; Azerbaijan Standard Time = Asia/Baku
    Tbilisi; Georgian Standard Time = Asia/Tbilisi
    Yerevan; Caucasus Standard Time = Asia/Yerevan
    Kabul; Afghanistan Standard Time; +04:30 = Asia/Kabul
    Ekaterinburg; Ekaterinburg Standard Time = Asia/Yekaterinburg
    Islamabad; Karachi; Pakistan Standard Time = Asia/Karachi
    Tashkent; West Asia Standard Time = Asia/Tashkent
    Chennai; Kolkata; Mumbai; New Delhi; India Standard Time; +05:30 = Asia/Kolkata
    Kathmandu; Nepal Standard Time; +05:45 = Asia/Kathmandu
    Dhaka; Bangladesh Standard Time = Asia/Dhaka
    Sri Jayawardenepura; Sri Lanka Standard Time = Asia/Colombo
    Almaty; Central Asia Standard Time = Asia/Almaty
    Novosibirsk; N. Central Asia Standard Time = Asia/Novosibirsk
    Rangoon; Myanmar Standard Time; +06:30 = Asia/Rangoon
    Bangkok; Hanoi; SE Asia Standard Time = Asia/Bangkok
    Jakarta = Asia/Jakarta
    Krasnoyarsk; North Asia Standard Time = Asia/Krasnoyarsk
    Beijing; China Standard Time = Asia/Shanghai
    Chongqing = Asia/Chongqing
    Hong Kong = Asia/Hong_Kong
    Urumqi = Asia/Urumqi
    Kuala Lumpur = Asia/Kuala_Lumpur
    Singapore; Singapore Standard Time = Asia/Singapore
    Taipei; Taipei Standard Time = Asia/Taipei
    Perth; W. Australia Standard Time = Australia/Perth
    Irkutsk; North Asia East Standard Time = Asia/Irkutsk
    Ulaanbaatar; Ulaanbaatar Standard Time = Asia/Ulaanbaatar
    Seoul; Korea Standard Time = Asia/Seoul
    Osaka; Sapporo; Tokyo; Tokyo Standard Time = Asia/Tokyo
    Yakutsk; Yakutsk Standard Time = Asia/Yakutsk
    Darwin; AUS Central Standard Time; +09:30 = Australia/Darwin
    Adelaide; Cen. Australia Standard Time = Australia/Adelaide
    Canberra; Melbourne = Australia/Melbourne
    Sydney; AUS Eastern Standard Time = Australia/Sydney
    Brisbane; E. Australia Standard Time = Australia/Brisbane
    Hobart; Tasmania Standard Time = Australia/Hobart
    Vladivostok; Vladivostok Standard Time = Asia/Vladivostok
    Guam; Port Moresby; West Pacific Standard Time = Pacific/Port_Moresby
    Magadan; Magadan Standard Time = Asia/Magadan
    New Caledonia; Central Pacific Standard Time = Pacific/Noumea
    Fiji; Fiji Standard Time = Pacific/Fiji
    Kamchatka; Russia Time Zone 11 = Asia/Kamchatka
    Marshall Is. = Pacific/Majuro
    Auckland; Wellington; New Zealand Standard Time = Pacific/Auckland
    Samoa; Samoa Standard Time = Pacific/Apia
    American Samoa; Midway Island = Pacific/Pago_Pago
    Z; UTC; GMT; WET; Coordinated Universal Time = UTC
    WET; WEST = WET
    BST = Europe/London
    CET; CEST; MEZ; MESZ = CET
    EET; EEST = EET
    MSK = Europe/Moscow
    JST = Asia/Tokyo
    KST = Asia/Seoul
    AEST = Etc/GMT-10
    AEDT = Etc/GMT-11
    NZST; NZDT = Pacific/Auckland
    BRT = America/Sao_Paulo
    AST = Etc/GMT+4
    ADT = Etc/GMT+3
    EST; EDT = America/New_York
    CST; CDT = America/Chicago
    MST = Etc/GMT+7
    MDT = Etc/GMT+6
    PST; PDT = America/Los_Angeles
    AKST; AKDT = America/Anchorage
    HST = Pacific/Honolulu
    """
)
